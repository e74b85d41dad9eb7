//! What Kubernetes' autoscaler does with a recommendation before it acts.
//!
//! Source: `pkg/controller/podautoscaler/horizontal.go` and the documentation of `autoscaling/v2`
//! ("Configurable scaling behavior"). Defaults there: scale up at once, by at most the larger of 100% and 4
//! in 15 s; scale down to the largest recommendation of the last 300 s, as far as that goes. The window is
//! a setting here.

use std::time::Duration;

use super::{Decision, Observation};

/// The period over which growth is limited, ...
const SCALE_UP_PERIOD: Duration = Duration::from_secs(15);
/// ... to this many workers more, or to twice as many.
const SCALE_UP_WORKERS: u32 = 4;

/// `stabilizeRecommendationWithBehaviors`, then the limit on growth.
pub(super) fn shape(seen: &Observation<'_>, output: f64, window: Duration) -> Decision {
    let recommended = whole(output).clamp(seen.min, seen.max);
    let current = seen.now.workers;
    let since = seen.now.at.saturating_sub(window);
    let past = seen.past.since(since).map(|(_, decision)| decision.recommended);
    let highest = past.fold(recommended, u32::max);
    // Growth follows the newest recommendation, shrinking the highest in the window.
    let workers = current.max(recommended).min(highest.max(recommended));
    Decision { workers: workers.min(growth_limit(seen)), recommended, output }
}

/// The most workers that the growth limit allows, from the number a period ago; never below the current number.
fn growth_limit(seen: &Observation<'_>) -> u32 {
    let since = seen.now.at.saturating_sub(SCALE_UP_PERIOD);
    let then = seen.past.since(since).last().map_or(seen.now.workers, |(reading, _)| reading.workers);
    then.saturating_mul(2).max(then.saturating_add(SCALE_UP_WORKERS)).max(seen.now.workers)
}

/// Rounds a number of workers up; NaN becomes 0.
pub(super) fn whole(workers: f64) -> u32 {
    // Room for the binary tail of a product that is exact on paper.
    let workers = (workers - 1e-9).ceil();
    if workers >= f64::from(u32::MAX) { u32::MAX } else { workers.max(0.0) as u32 }
}
