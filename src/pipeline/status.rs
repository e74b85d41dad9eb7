//! What `GET /pipeline` shows, and what `PATCH /pipeline` changes.

use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::{generator::Rate, queue::JobLedger, scaling::PolicyName};
use crate::{document, web::RunState};

/// The pipeline now: what `GET /pipeline` answers.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = PipelineStatus)]
pub struct Status {
    /// The state of its lifecycle.
    pub state: RunState,
    /// How the number of workers is chosen.
    pub policy: PolicyName,
    /// `generator`, jobs a second such as `4/s`, or the time between two jobs such as `250ms`: as it was given.
    #[schema(value_type = String)]
    pub rate: Rate,
    /// The wanted number of workers.
    pub workers: u32,
    /// Running workers, including those that finish their last job.
    pub workers_present: u32,
    /// Workers at least.
    pub min_workers: u32,
    /// Workers at most.
    pub max_workers: u32,
    /// Jobs that may wait before the producer does.
    pub queue_capacity: u32,
    /// The balance.
    #[serde(flatten)]
    pub ledger: JobLedger,
    /// Jobs that the producer wanted to enqueue.
    pub offered: u64,
    /// Those of them that were skipped because another one was already waiting for room.
    pub held_back: u64,
    /// Failed attempts that were followed by another.
    pub retries: u64,
    /// The sum of the workers' running times, seconds.
    pub worker_seconds: f64,
}

document!(Status as "lab/pipeline-status/1");

/// A change; fields that are left out keep their values.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = PipelinePatch)]
pub struct Patch {
    /// The schema of `GET /pipeline`: may be sent back, and is ignored.
    #[serde(skip_serializing)]
    #[schema(ignore)]
    pub schema: IgnoredAny,
    /// The load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How the number of workers is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyName>,
}

/// What a start changes; fields that are left out keep their values.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PipelineStart)]
pub struct Start {
    /// The load.
    pub rate: Option<Rate>,
    /// How the number of workers is chosen.
    pub policy: Option<PolicyName>,
}

/// One moment of a run, for charts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Jobs queued, in progress and waiting for a retry.
    pub(super) backlog: u64,
    /// Running workers.
    pub(super) workers: u32,
    /// Jobs in progress.
    pub(super) busy: u64,
    /// The policy in force.
    pub(super) policy: PolicyName,
}
