//! The live counts of a run: every request from its start to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::measured::EndedRequest;
use super::metrics::LoadMetrics;
use super::{Cause, Completed, Measured, Trace};
use crate::document;
use crate::latency::{Outcome, Recent};

/// The live view of a run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Live(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    measured: Mutex<Measured>,
    in_flight: AtomicU64,
    metrics: Option<LoadMetrics>,
    recent: Option<SharedRecent>,
}

/// The last minutes of the requests to one target, over several runs, and their balance: whoever shows them keeps
/// them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SharedRecent {
    origin: Instant,
    shared: Arc<Mutex<(Recent, Totals)>>,
}

/// What became of all requests to a target, over several runs: `offered = answered + broken + not_sent + in_flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LoadTotals)]
pub struct Totals {
    /// Requests whose time had come.
    pub offered: u64,
    /// Requests with a whole answer of any status.
    pub answered: u64,
    /// Requests that were refused, broke, timed out or were given up before they had one.
    pub broken: u64,
    /// Requests that were not sent, as too many were in flight.
    pub not_sent: u64,
    /// Requests that have not ended.
    pub in_flight: u64,
}

document!(Totals as "lab/audit-load/1");

impl Totals {
    fn begin(&mut self) {
        self.offered += 1;
        self.in_flight += 1;
    }

    fn end(&mut self, outcome: Outcome, is_answer: bool) {
        self.in_flight -= 1;
        *match outcome {
            _ if is_answer => &mut self.answered,
            Outcome::NotSent => &mut self.not_sent,
            _ => &mut self.broken,
        } += 1;
    }
}

impl std::ops::Sub for Totals {
    type Output = Self;
    /// The difference to `earlier`. A request that was in flight then counts at its end.
    fn sub(self, earlier: Self) -> Self {
        Self {
            offered: self.offered.saturating_sub(earlier.offered - earlier.in_flight),
            answered: self.answered.saturating_sub(earlier.answered),
            broken: self.broken.saturating_sub(earlier.broken),
            not_sent: self.not_sent.saturating_sub(earlier.not_sent),
            in_flight: self.in_flight,
        }
    }
}

impl std::ops::Add for Totals {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            offered: self.offered + other.offered,
            answered: self.answered + other.answered,
            broken: self.broken + other.broken,
            not_sent: self.not_sent + other.not_sent,
            in_flight: self.in_flight + other.in_flight,
        }
    }
}

impl SharedRecent {
    /// Nothing yet. A success within `slo` is good; seconds count from `origin`.
    #[must_use]
    pub fn new(slo: Duration, origin: Instant) -> Self {
        Self { origin, shared: Arc::new(Mutex::new((Recent::new(slo), Totals::default()))) }
    }

    /// Reads the last minutes. The run stands still meanwhile: be brief.
    pub fn look<T>(&self, read: impl FnOnce(&Recent) -> T) -> T {
        read(&self.shared.lock().0)
    }

    /// What became of all requests so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.shared.lock().1
    }

    fn second(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.origin).as_secs()
    }
}

impl Live {
    /// The live view of a run that is about to start; answers within `slo` are good, and `metrics` are recorded live.
    #[must_use]
    pub fn new(slo: Duration, metrics: Option<LoadMetrics>) -> Self {
        Self::with(slo, metrics, None)
    }

    /// A view on a run whose requests are counted in `recent` too.
    #[must_use]
    pub fn recording(slo: Duration, recent: SharedRecent) -> Self {
        Self::with(slo, None, Some(recent))
    }

    fn with(slo: Duration, metrics: Option<LoadMetrics>, recent: Option<SharedRecent>) -> Self {
        let measured = Mutex::new(Measured::new(slo));
        Self(Arc::new(Counts { measured, in_flight: AtomicU64::new(0), metrics, recent }))
    }

    /// Requests that are in flight now.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.0.in_flight.load(Relaxed)
    }

    /// Reads the measurement so far. It blocks the run, so it must be brief.
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
        if let Some(shared) = &self.0.recent {
            let (recent, totals) = &mut *shared.shared.lock();
            recent.offer(shared.second(intended));
            totals.begin();
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

/// A request in flight; if it is dropped before its end, it counts as unfinished.
#[derive(Debug)]
pub(super) struct Pending {
    live: Live,
    start: Instant,
    intended: Instant,
    pub(super) trace: Trace,
    over: bool,
}

impl Pending {
    pub(super) fn end(&mut self, result: Result<Completed, Cause>) {
        self.count(Some(result));
        self.over = true;
    }

    fn count(&self, result: Option<Result<Completed, Cause>>) {
        let finished = self.trace.finished.unwrap_or_else(Instant::now);
        let ended =
            EndedRequest { start: self.start, intended: self.intended, finished, trace: self.trace, result };
        let outcome = self.live.measured().record(&ended);
        self.live.0.in_flight.fetch_sub(1, Relaxed);
        let took = finished.saturating_duration_since(self.intended);
        if let Some(shared) = &self.live.0.recent {
            let (recent, totals) = &mut *shared.shared.lock();
            recent.end(shared.second(self.intended), outcome, took);
            totals.end(outcome, matches!(result, Some(Ok(_))));
        }
        if let Some(metrics) = &self.live.0.metrics {
            let sent = self.trace.sent.map(|sent| sent.saturating_duration_since(self.intended));
            metrics.ends(outcome, took, sent);
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
