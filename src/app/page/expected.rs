//! What theory says of each strategy with the levers as they are, beside what is measured.
//!
//! Times without load hold always. Lines about waiting hold for requests that come as a Poisson process in a steady
//! state, so they are given only while the built-in load sends one, without bursts, and no trigger acts; of evenly spaced
//! requests and of load from outside they would say too much.

use std::num::NonZeroU32;
use std::sync::Arc;

use serde::Serialize;

use super::load::{self, Arrivals};
use crate::choice;
use crate::http_lab::{EndpointStatus, Settings, Shape};
use crate::sim::{Contention, Law, Profile};
use crate::theory::{Figure, Flow, Limited, Scalability, ServiceTime, in_flight, limited, unloaded};

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
    /// What a line tells.
    pub enum Name {
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
    }
}

/// A line of theory.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = ViewExpected)]
pub struct Expected {
    /// What it tells.
    pub name: Name,
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
    fn of(name: Name, figure: Figure) -> Self {
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
}

/// The lines of each strategy, in their order.
pub(super) type Lines = Arc<[Vec<Expected>]>;

/// What theory needs to know of now.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    settings: Arc<Settings>,
    /// Requests a second to each of these strategies, if they come as theory wants them.
    poisson: Option<(f64, Vec<String>)>,
    at_rest: bool,
}

impl Known {
    /// What is known while the levers are `settings`, B is `slower` times slower, and `load` is sent if it is.
    pub(super) fn of(settings: Arc<Settings>, slower: u32, load: Option<&load::Settings>) -> Self {
        let poisson = load.filter(|load| load.arrivals == Arrivals::Poisson && load.burst.get() == 0);
        let poisson = poisson.map(|load| (load.rate.get(), load.strategies.clone()));
        Self { settings, poisson, at_rest: slower == 1 }
    }

    /// The lines for one strategy.
    pub(super) fn lines(&self, endpoint: &EndpointStatus) -> Vec<Expected> {
        if !self.at_rest {
            return Vec::new();
        }
        let Settings { service_a_latency, service_b_latency, service_b_contention, .. } = &*self.settings;
        let (a, b) = (service_time(service_a_latency), service_time(service_b_latency));
        let deadline_ms = self.settings.async_timeout_ms.get().as_secs_f64() * 1e3;
        let flow = match endpoint.shape {
            Shape::Sequence => Flow::Sequence,
            Shape::Parallel => Flow::Parallel,
            Shape::Deadline => Flow::Deadline { ms: deadline_ms },
        };
        let times = unloaded(flow, &a, &b);
        let mut lines = vec![
            Expected::of(Name::P50, times.quantile_ms(0.5)),
            Expected::of(Name::P95, times.quantile_ms(0.95)),
        ];
        if endpoint.shape == Shape::Deadline {
            lines.push(Expected::of(Name::TimeoutShare, times.timeout_share()));
        }
        let rate = match &self.poisson {
            Some((rate, paths)) if paths.iter().any(|path| path == endpoint.path) => *rate,
            _ => return lines,
        };
        let servers = match *service_b_contention {
            Contention::Pool { servers, .. } => NonZeroU32::new(servers),
            Contention::Off | Contention::Usl { .. } => None,
        };
        let limit = endpoint.limit.and_then(|limit| NonZeroU32::new(u32::try_from(limit).ok()?));
        match (limit, servers, service_b_contention) {
            (_, _, Contention::Usl { contention, coherency }) => {
                let law = Scalability { contention: *contention, coherency: *coherency };
                let peak = law.peak_calls().and_then(|calls| law.throughput_per_second(calls, b.mean_ms()));
                let figure =
                    |value| Figure::Exact { value, source: "Universal Scalability Law: Gunther 1993" };
                lines.extend(peak.map(|peak| Expected::of(Name::Peak, figure(peak))));
            }
            (None, None, _) => {
                lines.push(Expected::of(Name::InFlight, times.mean_ms().map(|ms| in_flight(rate, ms))));
            }
            // A deadline takes calls out of B's queue: that is no queue that a formula is known for.
            (None, Some(_), _) if endpoint.shape == Shape::Deadline => {}
            (None, Some(servers), _) => lines.extend(queue(limited(rate, &b, servers, None), false)),
            (Some(limit), servers, _) if servers.is_none_or(|servers| servers >= limit) => {
                let wait = self.settings.async_limit_max_wait_ms.get();
                let wait_ms = (!wait.is_zero()).then_some(wait.as_secs_f64() * 1e3);
                lines.extend(queue(limited(rate, &b, limit, wait_ms), wait_ms.is_some()));
            }
            // Two queues in a row: at the limit, and inside B.
            (Some(_), _, _) => {}
        }
        lines
    }
}

fn queue(queue: Limited, is_bounded: bool) -> Vec<Expected> {
    let carried =
        queue.carried_per_second.map(|value| Figure::Exact { value, source: "limit / mean time of B" });
    let mut lines: Vec<Expected> =
        carried.map(|carried| Expected::of(Name::Carried, carried)).into_iter().collect();
    if is_bounded {
        lines.push(Expected::of(Name::ShedShare, queue.shed_share));
    }
    lines.push(Expected::of(Name::MeanWait, queue.mean_wait_ms));
    lines.push(Expected::of(Name::Waiting, queue.waiting));
    lines
}

/// A profile as theory takes it.
fn service_time(profile: &Profile) -> ServiceTime {
    let law = Arc::new(Law::of(profile));
    let (within, quantile) = (Arc::clone(&law), Arc::clone(&law));
    let time = ServiceTime::new(
        law.mean_ms(),
        law.squared_variation(),
        move |ms| within.share_within(ms),
        move |share| quantile.quantile_ms(share),
    );
    time.memoryless(law.is_memoryless())
}
