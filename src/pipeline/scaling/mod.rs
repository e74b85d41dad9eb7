//! How many workers there should be: policies, one file each, pure functions of an [`Observation`].
//!
//! ```text
//!   board ──Reading──> Observation { now, past, min..max } ──Policy::decide──> Decision ──> pool
//!                          ^ what was seen and decided at the last checks ──────┘
//! ```
//!
//! What a policy has to remember (a stabilisation window, an integral) it reads from the past in the
//! observation, so deciding twice decides the same. Two rules hold for all of them and are applied here:
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

use super::config::{Config, Settings};

pub use name::PolicyName;
pub use observation::{Decision, Observation, PAST_LIMIT_CHECKS, Past, Reading};

/// A policy with what it aims at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Policy {
    /// The seed's.
    Threshold(threshold::Threshold),
    /// Kubernetes' Horizontal Pod Autoscaler.
    Target(target::Target),
    /// KEDA.
    Keda(keda::Keda),
    /// Little's law.
    Little(little::Little),
    /// A controller.
    Pid(pid::Pid),
}

impl Policy {
    /// The policy `name` with the settings' aims.
    pub fn new(name: PolicyName, settings: &Settings) -> Self {
        let Config {
            grow_threshold,
            shrink_threshold,
            target_utilisation,
            tolerance,
            stabilisation,
            lag_per_worker,
            drain_objective,
            pid_queue,
            pid_settle,
            ..
        } = **settings;
        let tolerance = tolerance.get();
        let stabilisation = stabilisation.get();
        match name {
            PolicyName::Threshold => Self::Threshold(threshold::Threshold {
                grow: grow_threshold.get(),
                shrink: shrink_threshold.get(),
            }),
            PolicyName::Target => Self::Target(target::Target {
                utilisation: target_utilisation.get(),
                tolerance,
                stabilisation,
            }),
            PolicyName::Keda => {
                Self::Keda(keda::Keda { lag_per_worker: lag_per_worker.get(), tolerance, stabilisation })
            }
            PolicyName::Little => Self::Little(little::Little {
                utilisation: target_utilisation.get(),
                drain_objective: drain_objective.get(),
            }),
            PolicyName::Pid => Self::Pid(pid::Pid { queue_jobs: pid_queue.get(), settle: pid_settle.get() }),
        }
    }

    /// How many workers there should be after `seen`.
    pub fn decide(&self, seen: &Observation<'_>) -> Decision {
        let mut decision = match self {
            Self::Threshold(policy) => policy.decide(seen),
            Self::Target(policy) => policy.decide(seen),
            Self::Keda(policy) => policy.decide(seen),
            Self::Little(policy) => policy.decide(seen),
            Self::Pid(policy) => policy.decide(seen),
        };
        if seen.is_idle() {
            decision.workers = decision.workers.min(seen.now.workers);
        }
        decision.workers = decision.workers.clamp(seen.min, seen.max.max(seen.min));
        decision
    }
}
