//! The kinds of problem that the queue responds with.

use axum::http::StatusCode;

use crate::{
    queue::{moment, run::Run, task::TaskId},
    storage::StoreError,
    web::{Kind, Problem},
};

/// When a client should try again that found the queue full, in seconds.
const FULL_RETRY_AFTER_S: u32 = 5;

pub(super) static FULL: Kind = Kind::new(
    "/problems/task-queue-full",
    StatusCode::TOO_MANY_REQUESTS,
    "The queue is full",
    "It holds as many tasks or bytes as it may (QUEUE_TASKS_LIMIT, QUEUE_BYTES_LIMIT). Nothing was enqueued. Send the \
     same request again after the seconds in `Retry-After`.",
);
pub(super) static KEY_USED: Kind = Kind::new(
    "/problems/idempotency-key-used",
    StatusCode::UNPROCESSABLE_ENTITY,
    "The idempotency key was used for another task",
    "A task with other content was enqueued under this key: `task_id` names it. Nothing was enqueued. Use a new key \
     for a new task.",
);
pub(super) static TOO_MANY_TYPES: Kind = Kind::new(
    "/problems/too-many-types",
    StatusCode::UNPROCESSABLE_ENTITY,
    "The queue knows as many types as it may",
    "The type is new, and the queue has no room for another one. Nothing was enqueued. Types are kinds of work, not \
     names of things: put names into the payload, or into `group`.",
);
pub(super) static OUTCOME_UNKNOWN: Kind = Kind::new(
    "/problems/outcome-unknown",
    StatusCode::SERVICE_UNAVAILABLE,
    "It is not known whether this was done",
    "The store was asked and its reply was lost. An enqueue with an Idempotency-Key can be sent again without \
     harm; without one, it could be enqueued twice.",
);
pub(super) static STORE_AWAY: Kind = Kind::new(
    "/problems/store-away",
    StatusCode::SERVICE_UNAVAILABLE,
    "The store is away",
    "The queue's store does not answer, or its memory or disk is full: `detail` says which. Nothing was done. Send \
     the same request again after the seconds in `Retry-After`.",
);
pub(super) static GONE: Kind = Kind::new(
    "/problems/task-forgotten",
    StatusCode::GONE,
    "The task is not known, or no longer",
    "Its id is older than the records that the queue still keeps (QUEUE_DONE_LIMIT, QUEUE_DONE_KEPT_MS). So it was never \
     enqueued here, or it ended before the oldest of them: `detail` says when that was.",
);
pub(super) static UNKNOWN: Kind = Kind::new(
    "/problems/unknown-task",
    StatusCode::NOT_FOUND,
    "No such task",
    "No task with this id was enqueued, at least not in this queue: the queue still keeps all records since the id was \
     made.",
);
pub(super) static WRONG_STATE: Kind = Kind::new(
    "/problems/task-state",
    StatusCode::CONFLICT,
    "The task's state does not allow this",
    "The task has ended (its payload is no longer kept), or is not waiting: `state` names its state.",
);

/// All kinds.
pub(in crate::queue) static KINDS: [&Kind; 8] =
    [&FULL, &KEY_USED, &TOO_MANY_TYPES, &OUTCOME_UNKNOWN, &STORE_AWAY, &GONE, &UNKNOWN, &WRONG_STATE];

/// The problem of a full queue.
pub(super) fn full() -> Problem {
    Problem::new(&FULL).retry_after_s(FULL_RETRY_AFTER_S)
}

/// The problem of a store that did not do what it was asked. Its words may contain an address, so they are logged.
pub(in crate::queue) fn of_store(error: &StoreError) -> Problem {
    match error {
        StoreError::OutcomeUnknown(_) => Problem::new(&OUTCOME_UNKNOWN),
        StoreError::Away(_) => Problem::new(&STORE_AWAY).detail("the store does not answer"),
        StoreError::Full(_) => Problem::new(&STORE_AWAY).detail("the store's memory or disk is full"),
        StoreError::Refused(_) => {
            tracing::error!(%error, "the queue's store refused a request");
            Problem::of(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// The problem of an id under which nothing is known.
pub(in crate::queue) fn unknown(id: TaskId, oldest_ms: Option<u64>) -> Problem {
    let forgotten = oldest_ms.zip(id.made_ms()).filter(|(oldest_ms, made_ms)| made_ms < oldest_ms);
    let Some((oldest_ms, _)) = forgotten else { return Problem::new(&UNKNOWN) };
    let kept_since = moment::shown(oldest_ms);
    Problem::new(&GONE)
        .detail(format!("never enqueued here, or ended before {kept_since}, from when on records are kept"))
        .with("kept_since_ms", oldest_ms)
}

/// The problem of a task whose state does not allow what was asked for.
pub(in crate::queue) fn wrong_state(run: &Run) -> Problem {
    Problem::new(&WRONG_STATE).with("state", run.state.label())
}
