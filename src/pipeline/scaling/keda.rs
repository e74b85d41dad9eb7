//! KEDA on the backlog: `ceil(lag / target)`, then the behaviour of Kubernetes' autoscaler.
//!
//! KEDA hands a queue's length to the autoscaler as an external metric of type `AverageValue`, for which the
//! arithmetic is `ceil(metric / target)`, left alone while metric / (target x current) is within the
//! tolerance of 1. Sources: KEDA documentation, "Scaling Deployments" and "Scalers"; Kubernetes
//! documentation, "Algorithm details". KEDA's `cooldownPeriod` delays only the step to 0, which
//! `min_workers` of 1 or more never takes, so it has no part here.
//!
//! The queue is this policy's memory: with n workers needed it comes to rest where n x target jobs are
//! inside. It comes to rest only if the queue does not run dry within the stabilisation window: a worker's
//! share of the backlog has to last about that long (lag per worker x service time >= window).

use super::{Decision, Observation, behaviour};
use crate::pipeline::config::Settings;

pub(super) fn decide(settings: &Settings, seen: &Observation<'_>) -> Decision {
    let current = f64::from(seen.now.workers);
    let wanted = seen.backlog() as f64 / f64::from(settings.lag_per_worker.get());
    let within = (wanted / current - 1.0).abs() <= settings.tolerance.get();
    let output = if within { current } else { wanted };
    behaviour::shape(seen, output, settings.stabilisation.get())
}
