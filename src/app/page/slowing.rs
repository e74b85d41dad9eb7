//! What theory says of a B that slows down with its calls (Universal Scalability Law): what it carries at most, where it
//! is in balance with what comes, from where it collapses, and how long that takes.

use std::num::NonZeroU32;

use super::expected::{Expected, TheoryName};
use crate::theory::{Figure, Flow, Scalability, ServiceTime, in_flight, unloaded};

const LAW: &str = "Universal Scalability Law: Gunther 1993";
/// Anything longer than a hundred years is shown as never.
const NEVER_S: f64 = 100.0 * 365.0 * 86_400.0;

/// What is known of a strategy whose B slows down.
#[derive(Debug)]
pub(super) struct Slowing {
    pub(super) law: Scalability,
    pub(super) rate_per_second: f64,
    pub(super) flow: Flow,
    pub(super) a: ServiceTime,
    pub(super) b: ServiceTime,
    pub(super) limit: Option<NonZeroU32>,
    /// Whether the wait for the limit is bounded.
    pub(super) is_bounded: bool,
}

/// The lines, in their order; none for a B that takes no time.
pub(super) fn lines(of: &Slowing) -> Vec<Expected> {
    let &Slowing { law, rate_per_second: rate, ref flow, ref b, limit, is_bounded, .. } = of;
    let mean_ms = b.mean_ms();
    let carried = |calls| law.throughput_per_second(calls, mean_ms);
    let exact = |value| Figure::Exact { value, source: LAW };
    let mut lines = Vec::new();
    let peak_calls = law.peak_calls();
    let peak = peak_calls.and_then(carried);
    lines.extend(peak.map(|peak| Expected::of(TheoryName::Peak, exact(peak))));
    lines.extend(
        peak_calls.filter(|_| peak.is_some()).map(|calls| Expected::of(TheoryName::PeakCalls, exact(calls))),
    );
    let limit = limit.map(|limit| f64::from(limit.get()));
    let with_all_permits = limit.and_then(carried);
    lines.extend(with_all_permits.map(|value| {
        let source = "limit / time of B with so many calls, by the Universal Scalability Law: Gunther 1993";
        Expected::of(TheoryName::Carried, Figure::Exact { value, source })
    }));
    // A deadline takes calls out of B before they end: no balance is known then.
    if matches!(flow, Flow::Deadline { .. }) {
        return lines;
    }
    let balance =
        law.balance(rate, mean_ms).filter(|balance| limit.is_none_or(|limit| balance.stable_calls <= limit));
    let Some(balance) = balance else {
        let most = with_all_permits.or(peak).unwrap_or_default();
        if !is_bounded {
            let growing = Figure::NoSteadyState { backlog_growth_per_second: rate - most };
            lines.push(Expected::of(
                if limit.is_some() { TheoryName::Waiting } else { TheoryName::Stable },
                growing,
            ));
        }
        return lines;
    };
    // With all permits held B stays where it is: a limit below the tipping point keeps it from there.
    let tipping = balance.tipping_calls.filter(|calls| limit.is_none_or(|limit| *calls < limit));
    let collapse = tipping.and_then(|_| law.until_collapse(rate, mean_ms));
    lines.extend(of.in_flight(balance.stable_calls).map(|value| {
        let mean = collapse.and_then(|collapse| of.in_flight(collapse.mean_calls));
        let above =
            mean.map_or_else(String::new, |mean| format!("; chance holds it higher: {mean:.1} on average"));
        Expected::near(TheoryName::Stable, value, format!("as many end as come. {LAW}{above}"))
    }));
    lines.extend(tipping.and_then(|calls| of.in_flight(calls)).map(|value| {
        Expected::near(TheoryName::Tipping, value, format!("with more, fewer end than come. {LAW}"))
    }));
    lines.extend(collapse.filter(|collapse| collapse.mean_time_s < NEVER_S).map(|collapse| {
        let note =
            "from an idle B. Birth and death process: Karlin and Taylor 1975; exact for exponential times, others last 0.6 to \
                    2.1 times as long";
        Expected::near(TheoryName::Collapse, collapse.mean_time_s * 1e3, note.to_owned())
    }));
    lines
}

impl Slowing {
    /// Requests in flight while B has so many calls in progress.
    fn in_flight(&self, calls: f64) -> Option<f64> {
        let stretched = self.b.stretched(self.law.time(calls, 1.0));
        let mean_ms = unloaded(self.flow, &self.a, &stretched).mean_ms();
        mean_ms.map(|ms| in_flight(self.rate_per_second, ms)).value()
    }
}
