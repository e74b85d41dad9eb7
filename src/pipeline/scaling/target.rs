//! Kubernetes' Horizontal Pod Autoscaler, on the workers' utilisation.
//!
//! `desired = ceil(current x measured / target)`, left alone while the ratio is within the tolerance of 1
//! (10% there); then the behaviour of [`super::behaviour`]. Source: Kubernetes documentation, "Horizontal
//! Pod Autoscaling", section "Algorithm details".
//!
//! Utilisation cannot exceed 1, so an overloaded pool grows by the factor 1/target a check, however long the
//! queue. And the tolerance is relative: from about ten workers on it is worth more than a worker.

use std::time::Duration;

use super::{Decision, Observation, behaviour};

/// What to hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// The share of time to be spent working, above 0.
    pub utilisation: f64,
    /// The deviation of the ratio from 1 that is left alone.
    pub tolerance: f64,
    /// How far back recommendations hold up shrinking.
    pub stabilisation: Duration,
}

impl Target {
    pub(super) fn decide(&self, seen: &Observation<'_>) -> Decision {
        let ratio = seen.utilisation() / self.utilisation;
        let current = f64::from(seen.now.workers);
        let output = if (ratio - 1.0).abs() <= self.tolerance { current } else { current * ratio };
        behaviour::shape(seen, behaviour::whole(output).clamp(seen.min, seen.max), output, self.stabilisation)
    }
}
