//! Runs of the load generator: each on a thread of its own, and on a terminal with a line that shows how it goes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio::{runtime, task};

use crate::latency::Outcome;
use crate::load::{Control, Live, LoadMetrics, Measured, Plan, Transport};
use crate::output;

/// How often the line is drawn.
const TICK: Duration = Duration::from_millis(250);

/// Makes runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Generator {
    /// How a run is ended early.
    pub(super) control: Control,
    /// What is recorded as it goes.
    pub(super) metrics: Option<LoadMetrics>,
}

impl Generator {
    /// Makes the run, which is shown under the name `what`. Dropping the future gives up all requests.
    ///
    /// # Errors
    /// When its thread cannot be started, or ends by a panic.
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

/// Shows how a run goes, for as long as it is awaited.
/// Runs `work` on a thread of its own: there a request costs least, and nothing else delays it.
///
/// # Errors
/// When the thread cannot be started, or ends by a panic.
pub(super) async fn on_a_thread<T: Send + 'static>(
    work: impl AsyncFnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    let running = task::spawn_blocking(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let done = runtime.block_on(work());
        // A name that is being looked up is not waited for.
        runtime.shutdown_background();
        anyhow::Ok(done)
    });
    running.await.context("the generator failed")?
}

async fn show(live: &Live, length: Duration, what: &str) -> std::convert::Infallible {
    let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    // Dropped, it is cleared away.
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
    use crate::load::{Answer, Cause, Pace, Trace};

    /// Tells that a request has come, and never answers.
    struct Silent(mpsc::Sender<()>);

    impl Transport for Silent {
        async fn exchange(&self, _request: u64, _trace: &mut Trace) -> Result<Answer, Cause> {
            self.0.send(()).await.ok();
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn a_run_that_nobody_waits_for_ends() {
        let (tell, mut told) = mpsc::channel(1);
        let hour = Duration::from_secs(3_600);
        let pace = Pace::Closed { requests: None, users: NonZeroU32::MIN, length: hour, schedule: None };
        let plan = Plan { pace, timeout: hour, slo: hour };
        let generator = Generator::default();
        tokio::select! {
            ended = generator.run(plan, Arc::new(Silent(tell)), "") => panic!("{ended:?}"),
            asked = told.recv() => assert_eq!(asked, Some(())),
        }
        // The transport goes when its thread has ended.
        assert_eq!(told.recv().await, None);
        assert!(!generator.control.stopping.is_cancelled(), "others can go on");
    }
}
