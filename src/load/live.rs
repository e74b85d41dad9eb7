//! What a run counts while it runs: every request from its hand-over to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::measured::EndedRequest;
use super::metrics::LoadMetrics;
use super::{Answer, Cause, Measured, Trace};

/// What a run shows while it runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Live(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    measured: Mutex<Measured>,
    in_flight: AtomicU64,
    metrics: Option<LoadMetrics>,
}

impl Live {
    /// A view on a run that is about to start and is good at `slo`; `metrics` are recorded as it goes.
    #[must_use]
    pub fn new(slo: Duration, metrics: Option<LoadMetrics>) -> Self {
        let measured = Mutex::new(Measured::new(slo));
        Self(Arc::new(Counts { measured, in_flight: AtomicU64::new(0), metrics }))
    }

    /// Requests that are in flight now.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.0.in_flight.load(Relaxed)
    }

    /// Reads what has been measured so far. The run stands still meanwhile: be brief.
    pub fn look<T>(&self, read: impl FnOnce(&Measured) -> T) -> T {
        read(&self.measured())
    }

    pub(super) fn measured(&self) -> MutexGuard<'_, Measured> {
        self.0.measured.lock()
    }

    /// Counts a request to this target, of a run that began at `start`, as in flight.
    pub(super) fn begin(&self, start: Instant, intended: Instant, target: usize) -> Pending {
        self.0.in_flight.fetch_add(1, Relaxed);
        if let Some(metrics) = &self.0.metrics {
            metrics.begins();
        }
        Pending {
            live: self.clone(),
            start,
            intended,
            trace: Trace { target, ..Trace::default() },
            over: false,
        }
    }
}

/// A request in flight; dropped before its end it counts as unfinished.
#[derive(Debug)]
pub(super) struct Pending {
    live: Live,
    start: Instant,
    intended: Instant,
    pub(super) trace: Trace,
    over: bool,
}

impl Pending {
    pub(super) fn end(&mut self, result: Result<Answer, Cause>) {
        self.count(Some(result));
        self.over = true;
    }

    fn count(&self, result: Option<Result<Answer, Cause>>) {
        let finished = self.trace.finished.unwrap_or_else(Instant::now);
        let ended =
            EndedRequest { start: self.start, intended: self.intended, finished, trace: self.trace, result };
        let outcome = self.live.measured().record(&ended);
        self.live.0.in_flight.fetch_sub(1, Relaxed);
        if let Some(metrics) = &self.live.0.metrics {
            let sent = self.trace.sent.map(|sent| sent.saturating_duration_since(self.intended));
            metrics.ends(outcome, finished.saturating_duration_since(self.intended), sent);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.over {
            self.count(None);
        }
    }
}
