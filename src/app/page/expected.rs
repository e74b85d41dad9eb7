//! A line of theory, as it stands beside what is measured.

use serde::Serialize;

use crate::choice;
use crate::theory::Figure;

choice! {
    /// How far a line can be trusted.
    pub enum Trust {
        /// True under the assumptions of the model.
        Exact = "exact",
        /// Near the truth, as `note` says.
        Approximate = "approximate",
        /// There is no figure, as `note` says.
        None = "none",
    }
}

choice! {
    /// Why there is no figure.
    pub enum Why {
        /// Too many requests never get their answer.
        NotReached = "not_reached",
        /// More comes than can be served: no steady state.
        NoSteadyState = "no_steady_state",
        /// No formula is known to hold here.
        NoFormula = "no_formula",
    }
}

choice! {
    /// What a line of theory is about.
    pub enum TheoryName {
        /// The p50 over all offered, without load, milliseconds.
        P50 = "p50_ms",
        /// The p95 over all offered, without load, milliseconds.
        P95 = "p95_ms",
        /// The share of requests that time out, without load.
        TimeoutShare = "timeout_share",
        /// Requests in flight on average.
        InFlight = "in_flight",
        /// Calls that the limit carries each second.
        Carried = "carried_per_second",
        /// The share of requests that are shed.
        ShedShare = "shed_share",
        /// The mean wait of those that are served, milliseconds.
        MeanWait = "mean_wait_ms",
        /// Requests that wait on average.
        Waiting = "waiting",
        /// The most calls a second that B can carry.
        Peak = "peak_per_second",
        /// The calls in progress with which it carries them.
        PeakCalls = "peak_calls",
        /// Requests in flight to which a B that slows down with its calls returns.
        Stable = "stable_in_flight",
        /// Requests in flight from which it collapses.
        Tipping = "tipping_in_flight",
        /// The mean time until chance takes it there, milliseconds.
        Collapse = "collapse_after_ms",
    }
}

/// A line of theory.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = ViewExpected)]
pub struct Expected {
    /// What it is about.
    pub name: TheoryName,
    /// The figure.
    #[schema(required)]
    pub value: Option<f64>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_why: Option<Why>,
    /// How far it can be trusted.
    pub trust: Trust,
    /// Where it comes from, and how near it is; or what is missing.
    pub note: String,
}

impl Expected {
    pub(super) fn of(name: TheoryName, figure: Figure) -> Self {
        let none =
            |why, note: String| Self { name, value: None, value_why: Some(why), trust: Trust::None, note };
        let some =
            |value, trust, note: String| Self { name, value: Some(value), value_why: None, trust, note };
        match figure {
            Figure::Exact { value, source } => some(value, Trust::Exact, source.to_owned()),
            Figure::Approximate { value, source, error } => {
                some(value, Trust::Approximate, format!("{source}; {error}"))
            }
            Figure::NotReached => none(Why::NotReached, "more never get an answer than that".to_owned()),
            Figure::NoSteadyState { backlog_growth_per_second } => none(
                Why::NoSteadyState,
                format!("no steady state: the backlog grows by {backlog_growth_per_second:.1}/s"),
            ),
            Figure::NoFormula { why } => none(Why::NoFormula, why.to_owned()),
        }
    }

    /// An approximate figure.
    pub(super) fn near(name: TheoryName, value: f64, note: String) -> Self {
        Self { name, value: Some(value), value_why: None, trust: Trust::Approximate, note }
    }
}
