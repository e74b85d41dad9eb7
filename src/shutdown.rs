//! The shutdown sequence that all systems share.
//!
//! A stop passes through three points, each a [`CancellationToken`] that work can wait on:
//!
//! 1. *stopping*: the first signal arrived. The readiness check fails, so that load balancers choose another
//!    server, but new work is still accepted.
//! 2. *intake closed*: `unready` later. New work is refused; accepted work is finished.
//! 3. *aborted*: a second signal arrived. Nothing waits any longer; the program prints the unfinished work.
//!
//! Between 2 and 3 lies the drain deadline. It counts from the first signal and includes the unready time,
//! so that it can be compared with the grace period of a process supervisor.
//! Detached work is spawned on the [`TaskTracker`], so that a drain can wait for it.
//!
//! A stop cannot be cancelled, and a [`Shutdown`] is not reused.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A handle to the shutdown of one process, or of one system under test. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    drain: Option<Duration>,
    unready: Duration,
    triggered_at: OnceLock<Instant>,
    stopping: CancellationToken,
    intake_closed: CancellationToken,
    aborted: CancellationToken,
    tracker: TaskTracker,
}

impl Shutdown {
    /// A shutdown that has not begun. `drain` limits its whole duration (`None`: no limit). `unready` is how long
    /// new work is still accepted after the readiness check has begun to fail.
    pub fn new(drain: Option<Duration>, unready: Duration) -> Self {
        Self {
            shared: Arc::new(Shared {
                drain,
                unready,
                triggered_at: OnceLock::new(),
                stopping: CancellationToken::new(),
                intake_closed: CancellationToken::new(),
                aborted: CancellationToken::new(),
                tracker: TaskTracker::new(),
            }),
        }
    }

    /// Cancelled by the first signal: from then on the readiness check fails.
    pub fn stopping(&self) -> &CancellationToken {
        &self.shared.stopping
    }

    /// Cancelled `unready` after [`stopping`](Self::stopping): from then on, refuse new work.
    pub fn intake_closed(&self) -> &CancellationToken {
        &self.shared.intake_closed
    }

    /// Cancelled by the second signal: stop waiting, report the unfinished work, exit.
    pub fn aborted(&self) -> &CancellationToken {
        &self.shared.aborted
    }

    /// The tracker on which to spawn detached work, so that a drain waits for it.
    pub fn tracker(&self) -> &TaskTracker {
        &self.shared.tracker
    }

    /// Whether the shutdown has begun.
    pub fn is_stopping(&self) -> bool {
        // Not `stopping.is_cancelled()`: it takes a lock, and this is called for each response.
        self.shared.triggered_at.get().is_some()
    }

    /// When the drain gives up; `None` before the first signal, and if the drain has no limit.
    pub fn drain_deadline(&self) -> Option<Instant> {
        let triggered_at = self.shared.triggered_at.get()?;
        triggered_at.checked_add(self.shared.drain?)
    }

    /// Waits until a drain must give up: until its deadline or the second signal. It does not complete before the
    /// first signal. Cancel safe.
    pub async fn drain_over(&self) {
        self.stopping().cancelled().await;
        let deadline = async {
            match self.drain_deadline() {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.aborted().cancelled() => {}
            () = deadline => {}
        }
    }

    /// Begins the shutdown, as the first signal does; later calls have no effect. Outside a Tokio runtime there is
    /// no timer, so the intake closes at once.
    pub fn trigger(&self) {
        let runtime = tokio::runtime::Handle::try_current();
        if self.shared.triggered_at.set(Instant::now()).is_err() {
            return;
        }
        self.stopping().cancel();
        match runtime {
            Ok(runtime) if !self.shared.unready.is_zero() => {
                let this = self.clone();
                runtime.spawn(async move {
                    let close = tokio::time::sleep(this.shared.unready);
                    tokio::select! {
                        biased;
                        () = this.intake_closed().cancelled() => {}
                        () = close => this.intake_closed().cancel(),
                    }
                });
            }
            _ => self.intake_closed().cancel(),
        }
    }

    /// Aborts the drain, as the second signal does.
    pub fn abort(&self) {
        self.trigger();
        self.intake_closed().cancel();
        self.aborted().cancel();
    }

    /// Handles SIGINT, SIGTERM and SIGHUP: the first signal [triggers](Self::trigger) the shutdown, the second
    /// [aborts](Self::abort) it.
    ///
    /// SIGHUP says that the terminal has closed. It never aborts, because the shell and the kernel both send it; and
    /// under `nohup`, where it is ignored, it stays ignored.
    ///
    /// # Errors
    ///
    /// When the handlers cannot be installed. Must be called within a Tokio runtime.
    pub fn listen_for_signals(&self) -> std::io::Result<()> {
        let mut signals = Signals::install()?;
        let this = self.clone();
        tokio::spawn(async move {
            signals.first().await;
            this.trigger();
            tracing::info!("stopping; a second signal ends the process without waiting");
            signals.second().await;
            this.abort();
        });
        Ok(())
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if the process was started with SIGHUP ignored.
    hangup: Option<Signal>,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        let hangup = if hangup_ends_the_process() { Some(signal(SignalKind::hangup())?) } else { None };
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, hangup })
    }

    async fn first(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }

    async fn second(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Whether SIGHUP is not ignored. Where the kernel does not tell, SIGHUP is left as it is.
fn hangup_ends_the_process() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Bit N - 1 is signal N, and SIGHUP is 1.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNREADY: Duration = Duration::from_secs(5);
    const DRAIN: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn intake_closes_after_the_unready_time_and_the_drain_ends_at_its_deadline() {
        let shutdown = Shutdown::new(Some(DRAIN), UNREADY);
        assert_eq!(shutdown.drain_deadline(), None);
        let begun = Instant::now();

        shutdown.trigger();
        assert!(shutdown.is_stopping());
        assert!(!shutdown.intake_closed().is_cancelled());
        shutdown.intake_closed().cancelled().await;
        assert_eq!(begun.elapsed(), UNREADY);

        shutdown.drain_over().await;
        assert_eq!(begun.elapsed(), DRAIN);
        assert!(!shutdown.aborted().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_trigger_has_no_effect() {
        let shutdown = Shutdown::new(Some(DRAIN), UNREADY);
        shutdown.trigger();
        let deadline = shutdown.drain_deadline();
        shutdown.intake_closed().cancelled().await;
        shutdown.trigger();
        assert_eq!(shutdown.drain_deadline(), deadline);
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_unready_time_the_intake_closes_at_once() {
        let shutdown = Shutdown::new(None, Duration::ZERO);
        shutdown.trigger();
        assert!(shutdown.intake_closed().is_cancelled());
        assert_eq!(shutdown.drain_deadline(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_abort_ends_an_unbounded_drain() {
        let shutdown = Shutdown::new(None, UNREADY);
        let over = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.drain_over().await }
        });
        shutdown.abort();
        over.await.unwrap();
        assert!(shutdown.intake_closed().is_cancelled());
    }

    #[test]
    fn a_trigger_outside_a_runtime_closes_the_intake() {
        let shutdown = Shutdown::new(Some(DRAIN), UNREADY);
        shutdown.trigger();
        assert!(shutdown.intake_closed().is_cancelled());
    }

    #[tokio::test]
    async fn the_first_signal_triggers_and_the_second_aborts() {
        use rustix::process::{Signal, getpid, kill_process};

        let shutdown = Shutdown::new(Some(DRAIN), UNREADY);
        shutdown.listen_for_signals().unwrap();
        kill_process(getpid(), Signal::TERM).unwrap();
        shutdown.stopping().cancelled().await;
        assert!(!shutdown.aborted().is_cancelled());
        kill_process(getpid(), Signal::INT).unwrap();
        shutdown.aborted().cancelled().await;
    }
}
