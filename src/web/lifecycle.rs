//! The lifecycle of a system that starts, runs, drains and stops: one run at a time.
//!
//! ```text
//!            start                    stop, or the process stops            the run's future ends
//!   idle ───────────────> running ───────────────────────────> draining ─────────────────────> idle
//!     └ a start is refused while a run is running or draining
//! ```
//!
//! Each run has its own [`Shutdown`], which [`Lifecycle::stop`] or the process's shutdown triggers. If the process's
//! drain ends first, at its deadline or at a second signal, the run's drain is aborted too.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::http::StatusCode;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Kind, Problem};
use crate::{choice, shutdown::Shutdown};

choice! {
    /// The state of a system.
    pub enum RunState {
        /// Nothing is running.
        Idle = "idle",
        /// New work is accepted.
        Running = "running",
        /// New work is refused; accepted work is finished.
        Draining = "draining",
    }
}

/// Why a run was not started.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError<E> {
    /// Another run is running or draining.
    #[error("one run at a time: it is {}", .0.label())]
    Busy(RunState),
    /// The run could not be prepared.
    #[error("{0:#}")]
    Failed(E),
}

impl<E> StartError<E> {
    /// Converts the error of [`Failed`](Self::Failed).
    pub fn map<O>(self, change: impl FnOnce(E) -> O) -> StartError<O> {
        match self {
            Self::Busy(state) => StartError::Busy(state),
            Self::Failed(error) => StartError::Failed(change(error)),
        }
    }
}

/// No run can be stopped or changed, because none is in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing is running")]
pub struct NotRunning;

/// When a run began, and when it ended if it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunTimes {
    /// The start.
    pub begun: Instant,
    /// The end of its drain.
    pub ended: Option<Instant>,
}

/// Settings were changed during a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunChange {
    /// In which second since the run's start.
    pub second: u64,
    /// What was set, by the names of a body, and to what.
    pub set: Vec<(String, String)>,
}

/// Changes kept of a run; older ones are dropped first.
const CHANGES_LIMIT: usize = 100;

/// The runs of one system. Clones share them.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    system: &'static str,
    /// The problems "already running" and "not running".
    kinds: [Kind; 2],
    process: Shutdown,
    current: Mutex<Option<Current>>,
    /// The times of the last run that began.
    times: Mutex<Option<RunTimes>>,
    /// The changes of the same run, oldest first.
    changes: Mutex<VecDeque<RunChange>>,
    /// Held during a start, so that starts happen one at a time.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct Current {
    stop: Shutdown,
    ended: CancellationToken,
}

impl Lifecycle {
    /// An idle system. `system` is its name in problem types and in the log. Its runs end with `process`.
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
                "Only one run at a time is possible: stop the current one, or wait until it has drained.",
            ),
            conflict("not-running", "is not running", "There is no run to stop or change: start one first."),
        ];
        let (current, times, changes) = (Mutex::default(), Mutex::default(), Mutex::default());
        let turn = tokio::sync::Mutex::default();
        let shared = Shared { system, kinds, process, current, times, changes, turn };
        Self { shared: Arc::new(shared) }
    }

    /// The system's name.
    pub fn system(&self) -> &'static str {
        self.shared.system
    }

    /// The kinds of problem for refused requests.
    pub(super) fn kinds(&self) -> &[Kind] {
        &self.shared.kinds
    }

    /// The process's shutdown.
    pub fn process(&self) -> &Shutdown {
        &self.shared.process
    }

    /// The current state.
    pub fn state(&self) -> RunState {
        match &*self.shared.current.lock() {
            None => RunState::Idle,
            Some(run) if run.stop.is_stopping() => RunState::Draining,
            Some(_) => RunState::Running,
        }
    }

    /// The times of the run in progress, or of the last one.
    pub fn times(&self) -> Option<RunTimes> {
        *self.shared.times.lock()
    }

    /// Records a change of settings during the run in progress, for its charts.
    pub(super) fn changed(&self, set: Vec<(String, String)>) {
        let Some(RunTimes { begun, ended: None }) = self.times() else { return };
        let mut changes = self.shared.changes.lock();
        if changes.len() >= CHANGES_LIMIT {
            changes.pop_front();
        }
        changes.push_back(RunChange { second: begun.elapsed().as_secs(), set });
    }

    /// The changes of the run in progress, or of the last one, oldest first.
    pub(super) fn changes(&self) -> Vec<RunChange> {
        self.shared.changes.lock().iter().cloned().collect()
    }

    /// Starts a run. `open` prepares it and returns the run's future. That future must run until the given shutdown
    /// begins, and then drain. It is spawned as a task that the process's drain waits for. If the process is already
    /// stopping, the run begins to drain at once.
    ///
    /// Cancel safe: if this future is dropped while `open` runs, nothing has started.
    ///
    /// # Errors
    /// [`StartError`] if nothing was started.
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
        // The run's own drain has no limit: only the process's deadline ends it.
        let stop = Shutdown::new(None, Duration::ZERO);
        let run = open(stop.clone()).await.map_err(StartError::Failed)?;
        let ended = CancellationToken::new();
        *self.shared.times.lock() = Some(RunTimes { begun: Instant::now(), ended: None });
        self.shared.changes.lock().clear();
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

    /// Makes the run in progress drain. If it is already draining, this has no effect.
    ///
    /// # Errors
    /// [`NotRunning`] if there is no run.
    pub fn stop(&self) -> Result<(), NotRunning> {
        let current = self.shared.current.lock();
        current.as_ref().map(|run| run.stop.trigger()).ok_or(NotRunning)
    }

    /// Waits until the run in progress has ended. Cancel safe.
    pub async fn ended(&self) {
        let run = self.shared.current.lock().clone();
        if let Some(run) = run {
            run.ended.cancelled().await;
        }
    }

    /// The problem for a refused start.
    pub(super) fn refuse_start(&self, error: &StartError<Problem>) -> Problem {
        let [running, _] = &self.shared.kinds;
        match error {
            StartError::Failed(problem) => problem.clone(),
            StartError::Busy(state) => Problem::new(running).with("state", state.label()),
        }
    }

    /// The problem for a request that needs a run when there is none.
    pub fn not_running(&self) -> Problem {
        let [_, not_running] = &self.shared.kinds;
        Problem::new(not_running)
    }
}

/// Marks the run as ended when its task ends, even by a panic.
struct Ending {
    shared: Arc<Shared>,
    ended: CancellationToken,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(times) = &mut *self.shared.times.lock() {
            times.ended = Some(Instant::now());
        }
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
    async fn a_run_passes_through_its_states_and_another_can_follow() {
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
            assert_eq!(lifecycle.times(), Some(RunTimes { begun, ended: Some(begun + DRAIN) }));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopping_process_drains_a_run_aborts_it_at_the_deadline_and_stops_later_ones() {
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
    async fn after_a_panic_the_system_is_idle() {
        let (lifecycle, _process) = lifecycle();
        let panics = |_| async { Ok::<_, Infallible>(async { panic!("on purpose") }) };
        lifecycle.start(panics).await.expect("idle");
        lifecycle.ended().await;
        assert_eq!(lifecycle.state(), RunState::Idle);
    }
}
