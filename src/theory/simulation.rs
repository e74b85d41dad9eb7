//! Checks each approximation against a simulation of the queue: the difference must not exceed the stated error plus
//! three standard errors of the simulation.

use std::num::NonZeroU32;

use super::{
    bounded_wait::BoundedWait,
    limited::{Limited, limited},
    service_time::ServiceTime,
    waiting,
    witness::{Shown, queue},
};

const MEAN_MS: f64 = 750.0;
const RATE_PER_SECOND: f64 = 30.0;

/// A distribution of service times with mean 1.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Constant,
    /// B of the lab: 300 to 1200 ms around 750.
    Uniform,
    Exponential,
    /// Nine in ten at 50, one at 1000, around 145.
    TwoValued,
}

impl Shape {
    fn draw(self, share: f64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Uniform => 0.4 + 1.2 * share,
            Self::Exponential => -(1.0 - share).ln(),
            Self::TwoValued => {
                if share < 0.9 {
                    50.0 / 145.0
                } else {
                    1000.0 / 145.0
                }
            }
        }
    }

    fn squared_variation(self) -> f64 {
        match self {
            Self::Constant => 0.0,
            Self::Uniform => 0.12,
            Self::Exponential => 1.0,
            Self::TwoValued => 0.9 * 0.1 * 950.0 * 950.0 / (145.0 * 145.0),
        }
    }

    /// Without curves, which the formulas for waits do not use.
    fn service_time(self) -> ServiceTime {
        ServiceTime::new(MEAN_MS, self.squared_variation(), |_| 0.0, |_| 0.0)
            .memoryless(matches!(self, Self::Exponential))
    }

    fn limited(self, servers: u32, offered: f64, wait_limit_ms: Option<f64>) -> Limited {
        let servers = NonZeroU32::new(servers).expect("a server");
        limited(offered / MEAN_MS * 1e3, &self.service_time(), servers, wait_limit_ms)
    }

    fn queue(self, servers: u32, offered: f64, patience: f64, arrivals: usize) -> Shown {
        queue(servers, offered, |share| self.draw(share), patience, arrivals)
    }
}

#[test]
fn unbounded_waits_are_within_their_stated_errors() {
    let lab = RATE_PER_SECOND * MEAN_MS / 1e3;
    for (shape, servers, offered, mean_within, p95_within) in [
        (Shape::Uniform, 24, lab, 0.04, Some(0.2)),
        (Shape::Uniform, 28, lab, 0.04, None),
        (Shape::Uniform, 32, lab, 0.04, None),
        (Shape::Constant, 8, 5.6, 0.04, None),
        (Shape::Constant, 4, 3.6, 0.04, Some(0.2)),
        (Shape::TwoValued, 2, 1.0, 0.17, None),
        (Shape::TwoValued, 4, 3.6, 0.17, Some(0.3)),
        (Shape::Exponential, 8, 5.6, 0.0, Some(0.0)),
        (Shape::Uniform, 1, 0.8, 0.0, None),
    ] {
        let theory = shape.limited(servers, offered, None);
        let shown = shape.queue(servers, offered, f64::INFINITY, 150_000);
        let about = format!("{shape:?}, {servers} servers, {offered}: {theory:?}, {:?}", shown.mean_wait);
        let mean_wait = theory.mean_wait_ms.value().expect("a mean") / MEAN_MS;
        assert!(shown.mean_wait.agrees(mean_wait, mean_within * shown.mean_wait.value), "{about}");
        let waiting_share = theory.waiting_share.value().expect("a share");
        let share_within = if mean_within == 0.0 { 0.0 } else { 0.13 };
        assert!(
            shown.waiting_share.agrees(waiting_share, share_within * shown.waiting_share.value),
            "{about}"
        );
        assert_eq!(theory.p95_wait_ms.value().is_some(), p95_within.is_some(), "{about}");
        if let Some(p95_within) = p95_within {
            let (stated, seen) = (theory.p95_wait_ms.value().expect("p95") / MEAN_MS, shown.quantile(0.95));
            // A quantile of waits is about as uncertain as their mean.
            let error = 3.0 * shown.mean_wait.error / shown.mean_wait.value;
            assert!((stated / seen - 1.0).abs() <= p95_within + error, "{about}: p95 {stated}, {seen}");
        }
    }
}

#[test]
fn bounded_waits_are_within_their_stated_errors() {
    // Shape, servers, offered, bound in mean service times; within: shed, waiting, mean wait and p95 over the bound.
    let little = (0.05, 0.11, 0.17, 0.16);
    let many = (0.015, 0.11, 0.17, 0.16);
    for (shape, servers, offered, bound, within) in [
        (Shape::Uniform, 20, 22.5, 1000.0 / MEAN_MS, many),
        (Shape::Uniform, 32, 36.0, 350.0 / MEAN_MS, many),
        (Shape::Constant, 4, 4.0, 0.2, little),
        (Shape::Constant, 1, 0.8, 0.5, little),
        (Shape::TwoValued, 2, 2.0, 0.5, (0.06, 0.21, 0.26, 0.3)),
        (Shape::TwoValued, 23, 25.3, 0.2, (0.035, 0.21, 0.26, 0.3)),
        (Shape::Exponential, 20, 22.5, 1.0, (0.0, 0.0, 0.0, 0.0)),
        (Shape::Exponential, 4, 4.0, 0.5, (0.0, 0.0, 0.0, 0.0)),
        (Shape::Exponential, 4, 3.0, 0.5, (0.0, 0.0, 0.0, 0.0)),
        (Shape::TwoValued, 4, 3.0, 0.0, (0.0, 0.0, 0.0, 0.0)),
    ] {
        let theory = shape.limited(servers, offered, Some(bound * MEAN_MS));
        let shown = shape.queue(servers, offered, bound, 100_000);
        let about =
            format!("{shape:?}, {servers} servers, {offered}, {bound}: {theory:?}, {:?}", shown.lost_share);
        assert!(shown.lost_share.agrees(theory.shed_share.value().expect("a share"), within.0), "{about}");
        let waiting_share = theory.waiting_share.value().expect("a share");
        assert!(shown.waiting_share.agrees(waiting_share, within.1), "{about}: {:?}", shown.waiting_share);
        let mean_wait = theory.waiting.value().expect("a mean") / offered;
        assert!(shown.mean_wait.agrees(mean_wait, within.2 * bound), "{about}: {:?}", shown.mean_wait);
        let stated = theory.p95_wait_ms.value().map_or(bound, |ms| ms / MEAN_MS);
        let seen = shown.quantile(0.95).min(bound);
        assert!((stated - seen).abs() <= (within.3 + 0.02) * bound, "{about}: p95 {stated}, {seen}");
    }
}

/// 23 permits and a bound of 1 s: 0.79% by the formula, 0.87% in the simulation, and 1.76% by the formula for
/// exponential times.
#[test]
fn scaling_the_bound_makes_the_predicted_loss_of_the_lab_accurate() {
    let theory = Shape::Uniform.limited(23, 22.5, Some(1000.0)).shed_share.value().expect("a share");
    let unscaled = Shape::Exponential.limited(23, 22.5, Some(1000.0)).shed_share.value().expect("a share");
    assert!((theory - 0.0079).abs() < 0.00005, "{theory}");
    assert!((unscaled - 0.0176).abs() < 0.00005, "{unscaled}");
    let shown = Shape::Uniform.queue(23, 22.5, 1000.0 / MEAN_MS, 400_000).lost_share;
    assert!(shown.error < 0.0006, "{shown:?}");
    assert!(shown.agrees(theory, 0.001) && !shown.agrees(unscaled, 0.001), "{shown:?}");
}

#[test]
fn the_tail_of_exponential_service_is_exact() {
    let shown = Shape::Exponential.queue(8, 6.4, f64::INFINITY, 150_000);
    for share in [0.7, 0.9, 0.95] {
        let time = waiting::wait_quantile(8, 6.4, 1.0, 1.0, share).expect("steady");
        let seen = shown.share_longer(time);
        assert!(seen.agrees(1.0 - share, 0.0), "{share}: {seen:?}");
        let bounded = BoundedWait::new(NonZeroU32::new(8).expect("servers"), 6.4, 1.0, 1.0, 1e6);
        assert!((bounded.waits_longer(time) - (1.0 - share)).abs() < 1e-9, "an endless patience is no bound");
    }
}
