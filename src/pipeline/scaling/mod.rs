//! How many workers there should be: policies, one file each, pure functions of an [`Observation`].
//!
//! ```text
//!   board ──Reading──> Observation { now, past, min..max } ──decide──> Decision ──> pool
//!                          ^ what was seen and decided at the last checks ──────┘
//! ```
//!
//! A policy keeps no state: the past that it needs (a stabilisation window, an integral) is in the observation, so
//! the same observation gives the same decision. Two rules hold for all of them and are applied here:
//! the answer lies in min..max, and a pipeline without backlog and without arrivals does not grow.

mod behaviour;
mod keda;
mod little;
mod name;
mod observation;
mod pid;
mod target;
mod threshold;

#[cfg(test)]
mod tests;

use super::config::Settings;

pub use name::PolicyName;
pub use observation::{Decision, Observation, PAST_LIMIT_CHECKS, Past, Reading};

/// How many workers there should be after `seen`, by the policy `name` with the aims of `settings`.
pub fn decide(name: PolicyName, settings: &Settings, seen: &Observation<'_>) -> Decision {
    let policy = match name {
        PolicyName::Threshold => threshold::decide,
        PolicyName::Target => target::decide,
        PolicyName::Keda => keda::decide,
        PolicyName::Little => little::decide,
        PolicyName::Pid => pid::decide,
    };
    let mut decision = policy(settings, seen);
    if seen.is_idle() {
        decision.workers = decision.workers.min(seen.now.workers);
    }
    decision.workers = decision.workers.clamp(seen.min, seen.max.max(seen.min));
    decision
}
