//! What a long run shows meanwhile: a bar and a live line, on a terminal only.

use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::latency::Outcome;
use crate::load::{Live, Measured};
use crate::output;

/// How often the line is drawn.
const TICK: Duration = Duration::from_millis(250);

/// Waits for a run of `length` and shows how it goes, under the name `what`.
pub(super) async fn watch(
    mut running: JoinHandle<anyhow::Result<Measured>>,
    live: &Live,
    length: Duration,
    what: &str,
) -> anyhow::Result<Measured> {
    let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let bar = ProgressBar::with_draw_target(Some(length_ms), output::progress());
    if bar.is_hidden() {
        return running.await.context("the generator failed")?;
    }
    if let Ok(style) = ProgressStyle::with_template("{prefix}[{bar:12}] {wide_msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(what.to_owned());
    let started = Instant::now();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let measured = loop {
        tokio::select! {
            biased;
            ended = &mut running => break ended.context("the generator failed")?,
            _ = ticks.tick() => {
                let elapsed = started.elapsed();
                bar.set_position(u64::try_from(elapsed.min(length).as_millis()).unwrap_or(u64::MAX));
                bar.set_message(line(live, elapsed, length));
            }
        }
    };
    bar.finish_and_clear();
    measured
}

fn line(live: &Live, elapsed: Duration, length: Duration) -> String {
    let in_flight = live.in_flight();
    live.look(|measured| {
        let lost = measured.count(Outcome::TimedOut) + measured.count(Outcome::Refused);
        format!(
            "{:.0}/{:.0} s  offered {}  in flight {in_flight}  answered {}  {}  lost {lost}  not sent {}",
            elapsed.as_secs_f64(),
            length.as_secs_f64(),
            measured.offered() + in_flight,
            measured.answered(),
            measured.recorder.headline().labelled_percentile(0.95),
            measured.count(Outcome::NotSent),
        )
    })
}
