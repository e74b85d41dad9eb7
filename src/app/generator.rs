//! Runs the load generator on its own thread, with a progress line on a terminal.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio::{runtime, task};

use crate::latency::Outcome;
use crate::load::{Control, Live, LoadMetrics, Measured, Plan, Transport};
use crate::output;

/// How often the progress line is redrawn.
const TICK: Duration = Duration::from_millis(250);

/// Runs load plans.
#[derive(Clone, Debug, Default)]
pub(super) struct Generator {
    /// Ends a run early.
    pub(super) control: Control,
    /// The metrics to record, if any.
    pub(super) metrics: Option<LoadMetrics>,
}

impl Generator {
    /// Runs `plan`, with `what` as the prefix of the progress line. Dropping the future gives up all requests.
    ///
    /// # Errors
    /// When the thread cannot be started or panics.
    pub(super) async fn run<T: Transport>(
        &self,
        plan: Plan,
        transport: Arc<T>,
        what: &str,
    ) -> anyhow::Result<Measured> {
        let live = Live::new(plan.slo, self.metrics.clone());
        let control = self.control.child();
        let _ended_with_this_future =
            [&control.stopping, &control.aborted].map(|token| token.clone().drop_guard());
        let length = plan.length();
        let running = on_a_thread({
            let live = live.clone();
            async move || plan.run(transport, &control, &live).await
        });
        tokio::select! {
            biased;
            measured = running => measured,
            never = show(&live, length, what) => match never {},
        }
    }
}

/// Runs `work` on a thread of its own, where a request costs the least and no other work delays it.
///
/// # Errors
/// When the thread cannot be started or panics.
pub(super) async fn on_a_thread<T: Send + 'static>(
    work: impl AsyncFnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    let running = task::spawn_blocking(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let done = runtime.block_on(work());
        // Do not wait for a name lookup.
        runtime.shutdown_background();
        anyhow::Ok(done)
    });
    running.await.context("the generator failed")?
}

/// Shows the progress of a run until it is dropped.
async fn show(live: &Live, length: Duration, what: &str) -> std::convert::Infallible {
    let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    // Dropping it clears the line.
    let bar = ProgressBar::with_draw_target(Some(length_ms), output::progress());
    if bar.is_hidden() {
        return std::future::pending().await;
    }
    if let Ok(style) = ProgressStyle::with_template("{prefix}[{bar:12}] {wide_msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(what.to_owned());
    let started = Instant::now();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let elapsed = started.elapsed();
        bar.set_position(u64::try_from(elapsed.min(length).as_millis()).unwrap_or(u64::MAX));
        bar.set_message(line(live, elapsed, length));
    }
}

fn line(live: &Live, elapsed: Duration, length: Duration) -> String {
    let in_flight = live.in_flight();
    live.look(|measured| {
        let lost: u64 = [Outcome::TimedOut, Outcome::Refused, Outcome::Failed]
            .map(|how| measured.count(how))
            .iter()
            .sum();
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use tokio::sync::mpsc;

    use super::*;
    use crate::load::{Cause, Completed, Pace, Trace};

    /// Reports that a request has arrived, and never responds.
    struct Silent(mpsc::Sender<()>);

    impl Transport for Silent {
        async fn exchange(&self, _request: u64, _trace: &mut Trace) -> Result<Completed, Cause> {
            self.0.send(()).await.ok();
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn dropping_a_run_ends_it() {
        let (tell, mut told) = mpsc::channel(1);
        let hour = Duration::from_secs(3_600);
        let pace = Pace::Closed { requests: None, users: NonZeroU32::MIN, length: hour, schedule: None };
        let plan = Plan { pace, timeout: hour, slo: hour };
        let generator = Generator::default();
        tokio::select! {
            ended = generator.run(plan, Arc::new(Silent(tell)), "") => panic!("{ended:?}"),
            asked = told.recv() => assert_eq!(asked, Some(())),
        }
        // The transport is dropped when the thread has ended.
        assert_eq!(told.recv().await, None);
        assert!(!generator.control.stopping.is_cancelled(), "other runs continue");
    }
}
