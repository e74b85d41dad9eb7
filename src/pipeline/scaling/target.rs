//! Kubernetes' Horizontal Pod Autoscaler, on the workers' utilisation.
//!
//! `desired = ceil(current x measured / target)`, left alone while the ratio is within the tolerance of 1
//! (10% there); then the behaviour of [`super::behaviour`]. Source: Kubernetes documentation, "Horizontal
//! Pod Autoscaling", section "Algorithm details".
//!
//! Utilisation cannot exceed 1, so an overloaded pool grows by the factor 1/target a check, however long the
//! queue. And the tolerance is relative: from about ten workers on it is worth more than a worker.

use super::{Decision, Observation, behaviour};
use crate::pipeline::config::Settings;

pub(super) fn decide(settings: &Settings, seen: &Observation<'_>) -> Decision {
    let ratio = seen.utilisation() / settings.target_utilisation.get();
    let current = f64::from(seen.now.workers);
    let output = if (ratio - 1.0).abs() <= settings.tolerance.get() { current } else { current * ratio };
    behaviour::shape(seen, output, settings.stabilisation.get())
}
