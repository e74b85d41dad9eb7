//! Calls that wait for one of a limited number of permits, with Poisson arrivals.

use std::num::NonZeroU32;

use super::{
    approximation::{
        Approximation, BOUNDED_MEAN_WAIT, BOUNDED_P95_WAIT, BOUNDED_WAITING_SHARE, MEAN_WAIT, P95_WAIT,
        SHED_SHARE, Variation, WAITING_SHARE,
    },
    bounded_wait::{BoundedWait, lost_in_overload},
    figure::Figure,
    request_time::in_flight,
    service_time::ServiceTime,
    waiting,
};

/// Predictions for calls that wait for one of `limit` permits, first come, first served.
///
/// A percentile covers all offered calls. The wait of a call that gives up counts as infinite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limited {
    /// The most calls that can be served per second, limit / S; `None` for calls that take no time.
    pub carried_per_second: Option<f64>,
    /// The offered load relative to the capacity: λS / limit.
    pub utilisation: f64,
    /// The share of calls that cannot be served with any bound on the wait, 1 - 1/ρ in overload (Whitt 2006).
    pub excess_share: f64,
    /// The share of calls that give up.
    pub shed_share: Figure,
    /// Calls that are served per second.
    pub served_per_second: Figure,
    /// The share of calls that find no free permit.
    pub waiting_share: Figure,
    /// The mean wait of the calls that are served, in milliseconds.
    pub mean_wait_ms: Figure,
    /// The wait within which 95% of all calls get a permit, in milliseconds.
    pub p95_wait_ms: Figure,
    /// The mean number of calls that wait, including those that will give up.
    pub waiting: Figure,
    /// The mean number of calls that hold a permit.
    pub in_service: Figure,
}

const HEADLINE: f64 = 0.95;
const ONE_SERVER: &str = "M/G/1: Pollaczek 1930, Khinchine 1932";
const LOSS: &str = "M/G/c/c: Erlang 1917";
const LITTLE: &str = "L = λW: Little 1961";
const EVERY_CALL: &str = "without a bound on the wait every call is served";
const NO_TIME: &str = "calls that take no time never wait";
const ALL_PERMITS: &str = "in overload all permits are held";

/// Predicts calls at `rate_per_second` (at most 10^9) to a service `b` behind `limit` permits, with or without a
/// bound on the wait.
pub fn limited(
    rate_per_second: f64,
    b: &ServiceTime,
    limit: NonZeroU32,
    wait_limit_ms: Option<f64>,
) -> Limited {
    let offered = in_flight(rate_per_second, b.mean_ms());
    let queue = Queue {
        rate_per_second,
        mean_ms: b.mean_ms(),
        squared_variation: b.squared_variation(),
        variation: Variation::of(b.is_memoryless(), b.squared_variation()),
        limit,
        offered,
        utilisation: offered / f64::from(limit.get()),
    };
    match wait_limit_ms {
        _ if b.mean_ms() <= 0.0 => queue.without_work(),
        Some(wait_limit_ms) => queue.bounded(wait_limit_ms),
        None if queue.utilisation >= 1.0 => queue.overloaded(),
        None => queue.unbounded(),
    }
}

struct Queue {
    rate_per_second: f64,
    mean_ms: f64,
    squared_variation: f64,
    variation: Variation,
    limit: NonZeroU32,
    /// In permits.
    offered: f64,
    utilisation: f64,
}

impl Queue {
    fn bounded(&self, wait_limit_ms: f64) -> Limited {
        let queue =
            BoundedWait::new(self.limit, self.offered, self.mean_ms, self.squared_variation, wait_limit_ms);
        let figure = |formula: &Approximation, value| {
            if wait_limit_ms > 0.0 {
                formula.figure(self.variation, value)
            } else {
                Figure::Exact { value, source: LOSS }
            }
        };
        let shed_share = figure(&SHED_SHARE, queue.lost_share());
        let served_share = figure(&SHED_SHARE, queue.served_share());
        let p95_wait_ms = match (queue.wait_quantile(HEADLINE), shed_share) {
            (Some(wait_ms), _) => figure(&BOUNDED_P95_WAIT, wait_ms),
            (None, Figure::NoFormula { why }) => Figure::NoFormula { why },
            (None, _) => Figure::NotReached,
        };
        Limited {
            carried_per_second: Some(self.carried_per_second()),
            utilisation: self.utilisation,
            excess_share: lost_in_overload(self.utilisation),
            shed_share,
            served_per_second: served_share.map(|share| self.rate_per_second * share),
            waiting_share: figure(&BOUNDED_WAITING_SHARE, queue.waiting_share()),
            mean_wait_ms: figure(&BOUNDED_MEAN_WAIT, queue.mean_wait_of_served()),
            p95_wait_ms,
            waiting: figure(&BOUNDED_MEAN_WAIT, in_flight(self.rate_per_second, queue.mean_wait())),
            in_service: served_share.map(|share| self.offered * share),
        }
    }

    fn unbounded(&self) -> Limited {
        let (servers, mean_ms, squared_variation) = (self.limit.get(), self.mean_ms, self.squared_variation);
        // Below a utilisation of 1, each formula returns a value.
        let waiting_share = waiting::erlang_c(servers, self.offered).unwrap_or_default();
        let mean_wait_ms =
            waiting::mean_wait(servers, self.offered, mean_ms, squared_variation).unwrap_or_default();
        let p95_wait_ms = waiting::wait_quantile(servers, self.offered, mean_ms, squared_variation, HEADLINE)
            .unwrap_or_default();
        let exact_for_one = |formula: &Approximation, value| match servers {
            1 => Figure::Exact { value, source: ONE_SERVER },
            _ => formula.figure(self.variation, value),
        };
        let mean_wait_ms = exact_for_one(&MEAN_WAIT, mean_wait_ms);
        let heavy = self.utilisation >= waiting::HEAVY_TRAFFIC || self.variation == Variation::Memoryless;
        Limited {
            carried_per_second: Some(self.carried_per_second()),
            utilisation: self.utilisation,
            excess_share: 0.0,
            shed_share: Figure::Exact { value: 0.0, source: EVERY_CALL },
            served_per_second: Figure::Exact { value: self.rate_per_second, source: EVERY_CALL },
            waiting_share: exact_for_one(&WAITING_SHARE, waiting_share),
            mean_wait_ms,
            p95_wait_ms: if heavy {
                P95_WAIT.figure(self.variation, p95_wait_ms)
            } else {
                Figure::NoFormula { why: "the tail of the wait is known only from a utilisation of 0.9" }
            },
            waiting: mean_wait_ms.map(|ms| in_flight(self.rate_per_second, ms)),
            in_service: Figure::Exact { value: self.offered, source: LITTLE },
        }
    }

    fn overloaded(&self) -> Limited {
        let carried_per_second = self.carried_per_second();
        let growing =
            Figure::NoSteadyState { backlog_growth_per_second: self.rate_per_second - carried_per_second };
        Limited {
            carried_per_second: Some(carried_per_second),
            utilisation: self.utilisation,
            excess_share: lost_in_overload(self.utilisation),
            shed_share: Figure::Exact { value: 0.0, source: EVERY_CALL },
            served_per_second: Figure::Exact { value: carried_per_second, source: ALL_PERMITS },
            waiting_share: growing,
            mean_wait_ms: growing,
            p95_wait_ms: growing,
            waiting: growing,
            in_service: Figure::Exact { value: f64::from(self.limit.get()), source: ALL_PERMITS },
        }
    }

    fn without_work(&self) -> Limited {
        let nothing = Figure::Exact { value: 0.0, source: NO_TIME };
        Limited {
            carried_per_second: None,
            utilisation: 0.0,
            excess_share: 0.0,
            shed_share: nothing,
            served_per_second: nothing.map(|_| self.rate_per_second),
            waiting_share: nothing,
            mean_wait_ms: nothing,
            p95_wait_ms: nothing,
            waiting: nothing,
            in_service: nothing,
        }
    }

    fn carried_per_second(&self) -> f64 {
        f64::from(self.limit.get()) / self.mean_ms * 1e3
    }
}
