//! What theory knows of each strategy with the levers as they are.
//!
//! Times without load always hold. The formulas for waiting hold for Poisson arrivals in a steady state, so they are shown
//! only while the built-in load sends Poisson arrivals without bursts and no trigger is active; for evenly spaced arrivals
//! and for load from outside they would be wrong. For shared services only the times without load are known, and for real
//! services nothing is.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::expected::{Expected, TheoryName};
use super::load::{self, Arrivals};
use super::slowing::{self, Slowing};
use crate::http_lab::{EndpointStatus, HttpLab, Settings, Shape};
use crate::sim::{Contention, Law, Profile};
use crate::theory::{Figure, Flow, Limited, Scalability, ServiceTime, in_flight, limited, unloaded};

/// The lines of each strategy, in their order.
pub(super) type Lines = Arc<[Vec<Expected>]>;

/// The conditions that theory needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    settings: Arc<Settings>,
    /// Requests a second to each of these strategies, if they are Poisson arrivals.
    poisson: Option<(f64, Vec<String>)>,
    at_rest: bool,
    /// Whether all strategies call the same services, so that one slows the others.
    shared: bool,
    /// Whether a service is a real one, whose service times are not known from the settings.
    real: bool,
}

impl Known {
    /// What is known of `lab` while `load` is sent, if it is.
    pub(super) fn of(lab: &HttpLab, load: Option<&load::Settings>) -> Self {
        let poisson = load.filter(|load| load.arrivals == Arrivals::Poisson && load.burst.get() == 0);
        let poisson = poisson.map(|load| (load.rate.get(), load.strategies.clone()));
        Self {
            settings: lab.settings(),
            poisson,
            at_rest: lab.trigger_status().slower == 1,
            shared: lab.shares_services(),
            real: lab.real_services().contains(&true),
        }
    }

    /// The lines for one strategy.
    pub(super) fn lines(&self, endpoint: &EndpointStatus) -> Vec<Expected> {
        if !self.at_rest || self.real {
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
            Expected::of(TheoryName::P50, times.quantile_ms(0.5)),
            Expected::of(TheoryName::P95, times.quantile_ms(0.95)),
        ];
        if endpoint.shape == Shape::Deadline {
            lines.push(Expected::of(TheoryName::TimeoutShare, times.timeout_share()));
        }
        let rate = match &self.poisson {
            Some((rate, paths)) if paths.iter().any(|path| path == endpoint.path) => *rate,
            _ => return lines,
        };
        if self.shared && *service_b_contention != Contention::Off {
            return lines;
        }
        let servers = match *service_b_contention {
            Contention::Pool { servers, .. } => NonZeroU32::new(servers),
            Contention::Off | Contention::Usl { .. } => None,
        };
        let wait = self.settings.async_limit_max_wait_ms.get();
        let limit = endpoint.limit.and_then(|limit| NonZeroU32::new(u32::try_from(limit).ok()?));
        match (limit, servers, service_b_contention) {
            (limit, _, Contention::Usl { contention, coherency }) => {
                let law = Scalability { contention: *contention, coherency: *coherency };
                let slowing =
                    Slowing { law, rate_per_second: rate, flow, a, b, limit, is_bounded: !wait.is_zero() };
                lines.extend(slowing::lines(&slowing));
            }
            (None, None, _) => {
                lines.push(Expected::of(TheoryName::InFlight, times.mean_ms().map(|ms| in_flight(rate, ms))));
            }
            // A deadline takes calls out of B's queue, and no formula is known for such a queue.
            (None, Some(_), _) if endpoint.shape == Shape::Deadline => {}
            (None, Some(servers), _) => lines.extend(queue(limited(rate, &b, servers, None), false)),
            (Some(limit), servers, _) if servers.is_none_or(|servers| servers >= limit) => {
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
        carried.map(|carried| Expected::of(TheoryName::Carried, carried)).into_iter().collect();
    if is_bounded {
        lines.push(Expected::of(TheoryName::ShedShare, queue.shed_share));
    }
    lines.push(Expected::of(TheoryName::MeanWait, queue.mean_wait_ms));
    lines.push(Expected::of(TheoryName::Waiting, queue.waiting));
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
