//! What became of the requests of a window: the figures of a column.

use serde::Serialize;

use crate::choice;
use crate::latency::{Good, Known, Outcome, Quantile, Window, milliseconds};

choice! {
    /// Where requests were measured.
    pub enum Source {
        /// By the built-in load, from when they were to start.
        Load = "load",
        /// By the server, from when they reached it: whatever waits before that is not in it.
        Server = "server",
    }
}

choice! {
    /// Why a time is not there.
    pub enum Why {
        /// It falls among those that had no useful answer: it is longer than any.
        NotReached = "not_reached",
        /// There are too few requests to tell it.
        TooFew = "too_few",
        /// It falls among those that have not ended: it is longer than they have waited, which is `age_ms` at least.
        NotEnded = "not_ended",
    }
}

/// What became of the requests of a window.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = ViewFigures)]
pub struct Figures {
    /// Seconds in the window.
    pub seconds: u64,
    /// Where they were measured.
    pub source: Source,
    /// Requests whose time had come.
    pub offered: u64,
    /// The same a second.
    pub offered_per_second: f64,
    /// The good ones: answers of 200 within the objective, of all offered.
    #[serde(flatten)]
    pub good: Good,
    /// The same a second.
    pub good_per_second: f64,
    /// Half of all offered were answered within this.
    #[schema(required)]
    pub p50_ms: Option<f64>,
    /// Why there is no p50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_why: Option<Why>,
    /// 95 of a hundred offered were answered within this.
    #[schema(required)]
    pub p95_ms: Option<f64>,
    /// Why there is no p95.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95_why: Option<Why>,
    /// Refused by the server's own protection.
    pub shed: u64,
    /// Given up at the server's deadline.
    pub deadline: u64,
    /// Answered that a service failed.
    pub service_error: u64,
    /// Not answered at all: not sent, refused, broken, timed out or left by the client.
    pub unanswered: u64,
    /// Not ended yet.
    pub unfinished: u64,
    /// Arrivals a second times the mean time in the system; by Little's law what is in flight on average. `null` while
    /// requests of the window have not ended.
    #[schema(required)]
    pub lambda_w: Option<f64>,
    /// Why there is no λW: `not_ended`, or `too_few` without requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lambda_w_why: Option<Why>,
}

impl Figures {
    /// The figures of a window of so many seconds.
    pub(super) fn of(window: &Window, seconds: u64, source: Source) -> Self {
        let length = seconds.max(1) as f64;
        let (p50, p95) = (Percentile::of(window.percentile(0.5)), Percentile::of(window.percentile(0.95)));
        let good = window.good();
        let shown = [Outcome::Ok, Outcome::ServiceError, Outcome::Shed, Outcome::Deadline];
        let others = Outcome::ALL.into_iter().filter(|outcome| !shown.contains(outcome));
        let lambda_w = lambda_w(window, seconds);
        Self {
            seconds,
            source,
            offered: window.offered(),
            offered_per_second: window.offered() as f64 / length,
            good: good.into(),
            good_per_second: good.part as f64 / length,
            p50_ms: p50.ms,
            p50_why: p50.why,
            p95_ms: p95.ms,
            p95_why: p95.why,
            shed: window.ended(Outcome::Shed),
            deadline: window.ended(Outcome::Deadline),
            service_error: window.ended(Outcome::ServiceError),
            unanswered: others.map(|outcome| window.ended(outcome)).sum(),
            unfinished: window.unfinished(),
            lambda_w: lambda_w.ok(),
            lambda_w_why: lambda_w.err(),
        }
    }
}

/// Arrivals a second times the mean time in the system, over a window of so many seconds.
///
/// # Errors
/// Why it is not known.
pub(super) fn lambda_w(window: &Window, seconds: u64) -> Result<f64, Why> {
    match (window.offered(), window.unfinished()) {
        (0, _) => Err(Why::TooFew),
        (_, 0) => Ok(window.sojourn().as_secs_f64() / seconds.max(1) as f64),
        _ => Err(Why::NotEnded),
    }
}

/// A percentile as a document has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Percentile {
    pub(super) ms: Option<f64>,
    pub(super) why: Option<Why>,
}

impl Percentile {
    pub(super) fn of(known: Known) -> Self {
        let without = |why| Self { ms: None, why: Some(why) };
        match known {
            Known::Settled(Quantile::Value(time)) => Self { ms: Some(milliseconds(time)), why: None },
            Known::Settled(Quantile::NotReached) => without(Why::NotReached),
            Known::Settled(Quantile::TooFew { .. }) => without(Why::TooFew),
            Known::LongerThan(_) => without(Why::NotEnded),
        }
    }
}
