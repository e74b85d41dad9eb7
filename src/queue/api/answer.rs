//! What the queue answers.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    document,
    queue::{
        broker::Known,
        lane::Priority,
        name::Name,
        run::{Run, State},
        task::TaskId,
    },
};

/// A task that was enqueued.
#[derive(Debug, Serialize, ToSchema)]
pub struct Queued {
    /// `queued`.
    pub(super) status: &'static str,
    /// Its name.
    pub(super) task_id: TaskId,
    /// What it survives: `memory`, `appended`, `fsynced`, `replicated` or `unknown`.
    pub(super) durability: &'static str,
}

document!(Queued as "lab/queue-task-queued/1");

/// A batch that was enqueued.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueuedBatch {
    /// How many of its tasks are in the queue.
    pub(super) queued: usize,
    /// What they survive: `memory`, `appended`, `fsynced`, `replicated` or `unknown`.
    pub(super) durability: &'static str,
    /// What became of each, in order.
    pub(super) tasks: Vec<Item>,
}

document!(QueuedBatch as "lab/queue-batch-queued/1");

/// What became of one task of a batch.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(in crate::queue) struct Item {
    /// `queued`, or why it is not in the queue: `invalid`, `idempotency_key_used` or `too_many_types`.
    pub(super) status: &'static str,
    /// Its name; of a key that was used, the name of the other task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task_id: Option<TaskId>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<serde_json::Value>,
}

/// A task.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskDocument {
    /// Its name.
    pub(super) task_id: TaskId,
    /// `pending`, `in_flight`, `delayed`, `dead`, or how it ended: `succeeded`, `cancelled`, `expired`, `discarded`.
    pub(super) state: &'static str,
    /// Its type.
    #[serde(rename = "type")]
    pub(super) kind: Name,
    /// The tenant that it belongs to.
    pub(super) group: Option<Name>,
    /// How urgent it is.
    pub(super) priority: Priority,
    /// How often it was started: the fencing token of the last start.
    pub(super) attempts: u64,
    /// How often it failed.
    pub(super) failures: u32,
    /// How often its process died.
    pub(super) crashes: u32,
    /// How often it may fail; missing once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) max_attempts: Option<u32>,
    /// Why it failed last.
    pub(super) last_error: Option<String>,
    /// Why it is a dead letter: `exhausted`, `final`, `crashed` or `malformed`.
    pub(super) dead_because: Option<&'static str>,
    /// When it was enqueued, in milliseconds since 1970 by the store's clock.
    pub(super) enqueued_ms: u64,
    /// Since when it is in its state.
    pub(super) since_ms: u64,
    /// When it may start, while it is delayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) due_ms: Option<u64>,
    /// It is not started after this; missing: whenever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) deadline_ms: Option<u64>,
}

document!(TaskDocument as "lab/queue-task/1");

impl TaskDocument {
    pub(super) fn of(task_id: TaskId, known: Known) -> Self {
        let Known { run, spec, error } = known;
        let Run { state, delivery, failures, crashes, since_ms, deadline_ms, enqueued_ms, lane, .. } = run;
        Self {
            task_id,
            state: state.label(),
            kind: lane.kind,
            group: lane.group,
            priority: lane.priority,
            attempts: delivery,
            failures,
            crashes,
            max_attempts: spec.map(|spec| spec.attempts_limit),
            last_error: error,
            dead_because: match state {
                State::Dead(reason) => Some(reason.label()),
                _ => None,
            },
            enqueued_ms,
            since_ms,
            due_ms: match state {
                State::Delayed { due_ms } => Some(due_ms),
                _ => None,
            },
            deadline_ms: Some(deadline_ms).filter(|ms| *ms > 0),
        }
    }
}

/// What a change of a task came to.
#[derive(Debug, Serialize, ToSchema)]
pub struct Changed {
    /// The task.
    pub(super) task_id: TaskId,
    /// `cancelled`; `stopping` (it runs, and its worker is told); `moved` (it may start now); `pending`.
    pub(super) status: &'static str,
}

document!(Changed as "lab/queue-task-changed/1");
