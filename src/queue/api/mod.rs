//! The queue over HTTP: enqueue, look, cancel, start now.

mod answer;
mod body;
mod dead;
mod problems;
mod scan;

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::{delete, get, post},
};
use serde_json::value::RawValue;
use utoipa::OpenApi;

use self::{
    answer::Item,
    body::{BatchBody, BatchMode},
};
pub use self::{
    answer::{Changed, Queued, QueuedBatch, TaskDocument},
    dead::DeadList,
};
pub(super) use self::{
    body::{Asked, TaskBody},
    problems::{KINDS, of_store, unknown, wrong_state},
    scan::{ScanApi, routes as scan_routes},
};
use super::{
    broker::{BATCH_LIMIT, Batch, Cancel, Enqueued, Looked, RunNow, Verdict},
    handle::Queue,
    task::{NewTask, TaskId},
};
use crate::{
    config::Invalid,
    output::Named,
    storage::Durability,
    web::{Json, Problem, parse_json, refused_parameter},
};

/// The largest body of a batch, in bytes.
pub(super) const BATCH_LIMIT_BYTES: usize = 1 << 20;

/// Its part of the OpenAPI document, for paths without a prefix.
#[derive(OpenApi)]
#[openapi(
    paths(enqueue, enqueue_batch, look, cancel, run_now, dead::list),
    tags((name = "queue", description = "Tasks that survive the death of every process"))
)]
pub(super) struct Api;

/// Routes that everybody may use.
pub(super) fn open_routes(queue: &Queue, prefix: &str) -> Router {
    Router::new()
        .route(&format!("{prefix}/task"), post(enqueue))
        .route(&format!("{prefix}/tasks"), post(enqueue_batch))
        .route(&format!("{prefix}/task/{{id}}"), get(look))
        .with_state(queue.clone())
        .merge(dead::routes(queue, prefix))
}

/// Routes that change what others enqueued.
pub(super) fn guarded_routes(queue: &Queue, prefix: &str) -> Router {
    Router::new()
        .route(&format!("{prefix}/task/{{id}}"), delete(cancel))
        .route(&format!("{prefix}/task/{{id}}/run-now"), post(run_now))
        .with_state(queue.clone())
}

type NamedQueued = Named<Queued>;
type NamedQueuedBatch = Named<QueuedBatch>;
type NamedTask = Named<TaskDocument>;
type NamedChanged = Named<Changed>;

/// Enqueues a task.
#[utoipa::path(post, path = "/task", tag = "queue", operation_id = "queue-enqueue",
    params(("Idempotency-Key" = Option<String>, Header,
        description = "The same key with the same body gets the same answer and enqueues once")),
    request_body = TaskBody,
    responses(
        (status = 202, description = "It is in the queue", body = NamedQueued),
        (status = 413, description = "The payload or the body is too large"),
        (status = 422, description = "The idempotency key was used for another task, or there are too many types"),
        (status = 429, description = "The queue is full"),
        (status = 503, description = "The store is away, or it is not known whether the task was enqueued")))]
async fn enqueue(
    State(queue): State<Queue>,
    headers: HeaderMap,
    Json(body): Json<TaskBody>,
) -> Result<(StatusCode, Json<Queued>), Problem> {
    let task = body.task(queue.config(), Asked::of(&headers)?)?;
    let id = task.id;
    let (taken, durability) = send(&queue, &[task], Batch::Whole).await?;
    let verdict = taken.into_iter().next().unwrap_or(Verdict::Queued);
    let task_id = accepted(id, verdict)?;
    let queued = Queued { status: "queued", task_id, durability: durability.label() };
    Ok((StatusCode::ACCEPTED, Json(queued)))
}

/// Enqueues up to 500 tasks.
#[utoipa::path(post, path = "/tasks", tag = "queue", operation_id = "queue-enqueue-batch",
    params(("Idempotency-Key" = Option<String>, Header,
        description = "The same key with the same body gets the same answer and enqueues once")),
    request_body = BatchBody,
    responses(
        (status = 202, description = "What became of each task", body = NamedQueuedBatch),
        (status = 413, description = "More than 500 tasks, or a payload or the body is too large"),
        (status = 422, description = "The idempotency key was used for other tasks, or there are too many types"),
        (status = 429, description = "The queue is full"),
        (status = 503, description = "The store is away, or it is not known whether the tasks were enqueued")))]
async fn enqueue_batch(
    State(queue): State<Queue>,
    headers: HeaderMap,
    Json(body): Json<BatchBody>,
) -> Result<(StatusCode, Json<QueuedBatch>), Problem> {
    let asked = Asked::of(&headers)?;
    let BatchBody { tasks: texts, batch } = body;
    if texts.len() > BATCH_LIMIT {
        return Err(Problem::of(StatusCode::PAYLOAD_TOO_LARGE)
            .detail(format!("the batch has {} tasks, the limit is {BATCH_LIMIT}", texts.len()))
            .with("limit_tasks", BATCH_LIMIT)
            .with("field", "tasks"));
    }
    let each = batch == Some(BatchMode::Each);
    let read = texts.iter().enumerate().map(|(index, text)| read(&queue, text, asked.item(index)));
    let read: Vec<Result<NewTask, Problem>> = read.collect();
    if !each && let Some((index, problem)) = first_problem(&read) {
        return Err(problem.clone().of_item("tasks", index));
    }
    let tasks: Vec<NewTask> = read.iter().filter_map(|task| task.as_ref().ok()).cloned().collect();
    let (verdicts, durability) = if tasks.is_empty() {
        (Vec::new(), queue.broker().durability())
    } else {
        send(&queue, &tasks, if each { Batch::Each } else { Batch::Whole }).await?
    };
    let mut verdicts = verdicts.into_iter();
    let items = read.into_iter().map(|task| match task {
        Ok(task) => item(accepted(task.id, verdicts.next().unwrap_or(Verdict::Queued))),
        Err(problem) => item(Err(problem)),
    });
    let items: Vec<Item> = items.collect();
    let queued = items.iter().filter(|item| item.status == "queued").count();
    let batch = QueuedBatch { queued, durability: durability.label(), tasks: items };
    Ok((StatusCode::ACCEPTED, Json(batch)))
}

fn read(queue: &Queue, text: &RawValue, asked: Asked) -> Result<NewTask, Problem> {
    parse_json::<TaskBody>(text.get())?.task(queue.config(), asked)
}

fn first_problem(read: &[Result<NewTask, Problem>]) -> Option<(usize, &Problem)> {
    read.iter().enumerate().find_map(|(index, task)| task.as_ref().err().map(|problem| (index, problem)))
}

/// Sends tasks to the store. Also says what they survive.
async fn send(queue: &Queue, tasks: &[NewTask], batch: Batch) -> Result<(Vec<Verdict>, Durability), Problem> {
    let sent = queue.enqueue(tasks, batch).await.map_err(|error| problems::of_store(&error))?;
    match sent.0 {
        Enqueued::Taken(verdicts) => Ok((verdicts, sent.1)),
        Enqueued::Full => Err(problems::full()),
        Enqueued::Refused(verdicts) => {
            let refused = tasks.iter().zip(verdicts).enumerate().find_map(|(index, (task, verdict))| {
                accepted(task.id, verdict).err().map(|problem| (index, problem))
            });
            let (index, problem) =
                refused.unwrap_or_else(|| (0, Problem::of(StatusCode::INTERNAL_SERVER_ERROR)));
            Err(if tasks.len() == 1 { problem } else { problem.of_item("tasks", index) })
        }
    }
}

/// The name of the task that a verdict is about.
fn accepted(id: TaskId, verdict: Verdict) -> Result<TaskId, Problem> {
    match verdict {
        Verdict::Queued | Verdict::Known => Ok(id),
        Verdict::Same(id) => Ok(id),
        Verdict::Conflict(id) => Err(Problem::new(&problems::KEY_USED).with("task_id", id.to_string())),
        Verdict::TooManyTypes => Err(Problem::new(&problems::TOO_MANY_TYPES).with("field", "type")),
    }
}

fn item(accepted: Result<TaskId, Problem>) -> Item {
    match accepted {
        Ok(id) => Item { status: "queued", task_id: Some(id), problem: None },
        Err(problem) => {
            let status = match problem.kind() {
                kind if kind == problems::KEY_USED.path => "idempotency_key_used",
                kind if kind == problems::TOO_MANY_TYPES.path => "too_many_types",
                _ => "invalid",
            };
            Item { status, task_id: None, problem: serde_json::to_value(&problem).ok() }
        }
    }
}

/// The state of a task.
#[utoipa::path(get, path = "/task/{id}", tag = "queue", operation_id = "queue-task",
    params(("id" = String, Path, description = "The id that the enqueue was answered with")),
    responses(
        (status = 200, description = "The task", body = NamedTask),
        (status = 404, description = "No such task was enqueued: its id is newer than the oldest record"),
        (status = 410, description = "It is not known: it was never enqueued, or its record is no longer kept"),
        (status = 503, description = "The store is away")))]
async fn look(State(queue): State<Queue>, Path(id): Path<String>) -> Result<Json<TaskDocument>, Problem> {
    let id = task_id(&id)?;
    match queue.broker().get(id).await.map_err(|error| problems::of_store(&error))? {
        Looked::Known(known) => Ok(Json(TaskDocument::of(id, *known))),
        Looked::Unknown { oldest_ms } => Err(problems::unknown(id, oldest_ms)),
    }
}

/// Cancels a task: at once while it waits; through its worker while it runs.
#[utoipa::path(delete, path = "/task/{id}", tag = "queue", operation_id = "queue-cancel",
    params(("id" = String, Path, description = "The id that the enqueue was answered with")),
    responses(
        (status = 200, description = "It is cancelled, or its worker is told to stop it", body = NamedChanged),
        (status = 401, description = "The token is missing or wrong"),
        (status = 404, description = "No such task was enqueued: its id is newer than the oldest record"),
        (status = 409, description = "It has ended"),
        (status = 410, description = "It is not known: it was never enqueued, or its record is no longer kept"),
        (status = 503, description = "The store is away, or it is not known whether it was cancelled")))]
async fn cancel(State(queue): State<Queue>, Path(id): Path<String>) -> Result<Json<Changed>, Problem> {
    let id = task_id(&id)?;
    let cancel = queue.broker().cancel(id).await.map_err(|error| problems::of_store(&error))?;
    match cancel {
        Cancel::Cancelled | Cancel::Stopping => Ok(Json(Changed { task_id: id, status: cancel.label() })),
        Cancel::Unknown | Cancel::Ended => Err(refused(&queue, id).await),
    }
}

/// Starts a delayed task without its wait.
#[utoipa::path(post, path = "/task/{id}/run-now", tag = "queue", operation_id = "queue-run-now",
    params(("id" = String, Path, description = "The id that the enqueue was answered with")),
    responses(
        (status = 200, description = "It may start now", body = NamedChanged),
        (status = 401, description = "The token is missing or wrong"),
        (status = 404, description = "No such task was enqueued: its id is newer than the oldest record"),
        (status = 409, description = "It runs, or has ended"),
        (status = 410, description = "It is not known: it was never enqueued, or its record is no longer kept"),
        (status = 503, description = "The store is away, or it is not known whether this was done")))]
async fn run_now(State(queue): State<Queue>, Path(id): Path<String>) -> Result<Json<Changed>, Problem> {
    let id = task_id(&id)?;
    let moved = queue.broker().run_now(id).await.map_err(|error| problems::of_store(&error))?;
    match moved {
        RunNow::Moved | RunNow::Pending => Ok(Json(Changed { task_id: id, status: moved.label() })),
        RunNow::Unknown | RunNow::InFlight | RunNow::Ended => Err(refused(&queue, id).await),
    }
}

/// Why a task cannot be changed: it is not known, or its state.
async fn refused(queue: &Queue, id: TaskId) -> Problem {
    match queue.broker().get(id).await {
        Ok(Looked::Known(known)) => problems::wrong_state(&known.run),
        Ok(Looked::Unknown { oldest_ms }) => problems::unknown(id, oldest_ms),
        Err(error) => problems::of_store(&error),
    }
}

pub(super) fn task_id(text: &str) -> Result<TaskId, Problem> {
    text.parse().map_err(|invalid: Invalid| refused_parameter("id", &invalid))
}
