//! The life of a system that starts, runs, drains and stops: one run at a time.
//!
//! ```text
//!            start                    stop, or the process stops            the run's future ends
//!   idle ───────────────> running ───────────────────────────> draining ─────────────────────> idle
//!     └ refused while one runs or drains
//! ```
//!
//! A run is given a [`Shutdown`] of its own. It begins with [`Lifecycle::stop`] or with the process's stop,
//! and its drain is cut short when the process's is: at the drain deadline or at a second signal.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Kind, Problem};
use crate::{choice, shutdown::Shutdown};

choice! {
    /// Where a system is in its life.
    pub enum RunState {
        /// Nothing runs.
        Idle = "idle",
        /// Work is taken in.
        Running = "running",
        /// No more work is taken in; what is inside is finished.
        Draining = "draining",
    }
}

/// Why no run starts.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError<E> {
    /// One runs, or still drains.
    #[error("one run at a time: it is {}", .0.label())]
    Busy(RunState),
    /// It could not be opened.
    #[error("{0:#}")]
    Failed(E),
}

impl<E> StartError<E> {
    /// The same with another error of the opening.
    pub fn map<O>(self, change: impl FnOnce(E) -> O) -> StartError<O> {
        match self {
            Self::Busy(state) => StartError::Busy(state),
            Self::Failed(error) => StartError::Failed(change(error)),
        }
    }
}

/// Nothing runs that could be stopped or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing is running")]
pub struct NotRunning;

/// The runs of one system. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    system: &'static str,
    /// What is answered where there is a run already, and where there is none.
    kinds: [Kind; 2],
    process: Shutdown,
    current: Mutex<Option<Current>>,
    /// Starts happen one at a time.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct Current {
    stop: Shutdown,
    ended: CancellationToken,
}

impl Lifecycle {
    /// Nothing runs yet. `system` names it in problem types and in the log; runs end with `process`.
    pub fn new(system: &'static str, process: Shutdown) -> Self {
        let conflict = |kind, title: &str, about| Kind {
            path: format!("/problems/{system}-{kind}").into(),
            status: StatusCode::CONFLICT,
            title: format!("{system} {title}").into(),
            about,
        };
        let kinds = [
            conflict(
                "running",
                "is running already",
                "One run at a time: stop it, or wait until it has drained.",
            ),
            conflict("not-running", "is not running", "Only a run can be stopped or changed: start one."),
        ];
        let (current, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        let shared = Shared { system, kinds, process, current, turn };
        Self { shared: Arc::new(shared) }
    }

    /// The system's name.
    pub fn system(&self) -> &'static str {
        self.shared.system
    }

    /// The kinds of problem that its refusals are.
    pub(super) fn kinds(&self) -> &[Kind] {
        &self.shared.kinds
    }

    /// The process's stop.
    pub fn process(&self) -> &Shutdown {
        &self.shared.process
    }

    /// Where it is in its life.
    pub fn state(&self) -> RunState {
        match &*self.shared.current.lock() {
            None => RunState::Idle,
            Some(run) if run.stop.is_stopping() => RunState::Draining,
            Some(_) => RunState::Running,
        }
    }

    /// Starts a run: `open` prepares it and returns the future that runs until the stop it was given begins,
    /// and then drains. That future goes on as a task that the process's drain waits for. In a process that stops
    /// already, the run is stopped as it begins.
    ///
    /// Cancel safe: dropped while `open` runs, nothing has started.
    ///
    /// # Errors
    /// [`StartError`]; nothing has started then.
    pub async fn start<E, Open, Run>(&self, open: impl FnOnce(Shutdown) -> Open) -> Result<(), StartError<E>>
    where
        Open: Future<Output = Result<Run, E>>,
        Run: Future<Output = ()> + Send + 'static,
    {
        let _turn = self.shared.turn.lock().await;
        match self.state() {
            RunState::Idle => {}
            busy => return Err(StartError::Busy(busy)),
        }
        // The process's deadline bounds a run; its own stop takes the time it takes.
        let stop = Shutdown::new(None, Duration::ZERO);
        let run = open(stop.clone()).await.map_err(StartError::Failed)?;
        let ended = CancellationToken::new();
        *self.shared.current.lock() = Some(Current { stop: stop.clone(), ended: ended.clone() });
        let guard = Ending { shared: self.shared.clone(), ended };
        self.shared.process.tracker().spawn(async move {
            let process = &guard.shared.process;
            let follow = async {
                process.stopping().cancelled().await;
                stop.trigger();
                process.drain_over().await;
                stop.abort();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                () = follow => {}
                () = run => {}
            }
        });
        Ok(())
    }

    /// Lets the run in progress drain; stopping one that drains already changes nothing.
    ///
    /// # Errors
    /// [`NotRunning`] when there is none.
    pub fn stop(&self) -> Result<(), NotRunning> {
        let current = self.shared.current.lock();
        current.as_ref().map(|run| run.stop.trigger()).ok_or(NotRunning)
    }

    /// Waits until the run in progress has ended, whoever ends it. Cancel safe.
    pub async fn ended(&self) {
        let run = self.shared.current.lock().clone();
        if let Some(run) = run {
            run.ended.cancelled().await;
        }
    }

    /// A start that was refused, as a problem.
    pub(super) fn refuse_start(&self, error: &StartError<Problem>) -> Problem {
        let [running, _] = &self.shared.kinds;
        match error {
            StartError::Failed(problem) => problem.clone(),
            StartError::Busy(state) => Problem::new(running).with("state", state.label()),
        }
    }

    /// What is answered where a run is needed and there is none.
    pub fn not_running(&self) -> Problem {
        let [_, not_running] = &self.shared.kinds;
        Problem::new(not_running)
    }
}

/// Ends the run's entry when its task has ended, by a panic too.
struct Ending {
    shared: Arc<Shared>,
    ended: CancellationToken,
}

impl Drop for Ending {
    fn drop(&mut self) {
        *self.shared.current.lock() = None;
        self.ended.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const DRAIN: Duration = Duration::from_secs(5);

    fn lifecycle() -> (Lifecycle, Shutdown) {
        let process = Shutdown::new(Some(Duration::from_secs(60)), Duration::ZERO);
        (Lifecycle::new("test", process.clone()), process)
    }

    /// Starts a run that takes [`DRAIN`] to drain, and says whether it was cut short.
    async fn start(lifecycle: &Lifecycle) -> Result<(), StartError<Infallible>> {
        let run = |stop: Shutdown| async move {
            Ok(async move {
                stop.stopping().cancelled().await;
                tokio::select! {
                    () = stop.drain_over() => {}
                    () = tokio::time::sleep(DRAIN) => {}
                }
            })
        };
        lifecycle.start(run).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_passes_through_its_states_and_another_may_follow() {
        let (lifecycle, _process) = lifecycle();
        assert_eq!(lifecycle.stop(), Err(NotRunning));
        for _ in 0..2 {
            start(&lifecycle).await.expect("idle");
            assert_eq!(lifecycle.state(), RunState::Running);
            assert_eq!(start(&lifecycle).await, Err(StartError::Busy(RunState::Running)));
            let begun = tokio::time::Instant::now();
            lifecycle.stop().expect("it runs");
            assert_eq!(lifecycle.state(), RunState::Draining);
            assert_eq!(start(&lifecycle).await, Err(StartError::Busy(RunState::Draining)));
            lifecycle.ended().await;
            assert_eq!((lifecycle.state(), begun.elapsed()), (RunState::Idle, DRAIN));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_process_ends_a_run_cuts_it_short_and_ends_another_as_it_begins() {
        let (lifecycle, process) = lifecycle();
        start(&lifecycle).await.expect("idle");
        let begun = tokio::time::Instant::now();
        process.trigger();
        tokio::task::yield_now().await;
        process.abort();
        lifecycle.ended().await;
        start(&lifecycle).await.expect("idle");
        lifecycle.ended().await;
        assert_eq!((lifecycle.state(), begun.elapsed()), (RunState::Idle, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_panics_leaves_nothing_running() {
        let (lifecycle, _process) = lifecycle();
        let panics = |_| async { Ok::<_, Infallible>(async { panic!("on purpose") }) };
        lifecycle.start(panics).await.expect("idle");
        lifecycle.ended().await;
        assert_eq!(lifecycle.state(), RunState::Idle);
    }
}
