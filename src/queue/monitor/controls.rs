//! What an administrator can change: pauses and limits, and dead letters.

use std::str::FromStr;

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::{get, patch, post},
};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::document::RulePart;
use crate::{
    bounded,
    config::{Allowed, Invalid, Rate},
    document,
    output::Named,
    queue::{
        api::{of_store, task_id, unknown, wrong_state},
        broker::{LISTED_LIMIT, Listed, Looked, Which},
        handle::Queue,
        lane::{RuleChange, Scope},
        name::Name,
        run::State as RunState,
        settle::DeathReason,
        task::TaskId,
    },
    web::{Json, NOSNIFF, Problem, refused_field},
};

bounded!(
    /// The most tasks in flight of a type or group.
    pub(super) InFlightLimit: u32 = 1 to 1000000
);
bounded!(
    /// How many starts may follow each other at once.
    pub(super) RateBurst: u32 = 1 to 1000000
);

/// The most starts in a time. A type of its own, because its name in the OpenAPI document must be no other system's.
#[derive(Debug, Clone, Copy)]
struct StartRate(Rate);

impl StartRate {
    fn get(self) -> f64 {
        self.0.get()
    }
}

impl Allowed for StartRate {
    const ALLOWED: &'static str = Rate::ALLOWED;
}

impl FromStr for StartRate {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse().map(Self)
    }
}

crate::documented!(StartRate as Number by get);

/// The most dead letters that one request changes.
const CHANGED_LIMIT: u64 = 10_000;

/// Its part of the OpenAPI document, for paths without a prefix.
#[derive(OpenApi)]
#[openapi(paths(set_rule, replay, discard, payload))]
pub(in crate::queue) struct Controls;

pub(super) fn routes(queue: &Queue, prefix: &str) -> Router {
    Router::new()
        .route(&format!("{prefix}/rules"), patch(set_rule))
        .route(&format!("{prefix}/dead/replay"), post(replay))
        .route(&format!("{prefix}/dead/discard"), post(discard))
        .route(&format!("{prefix}/task/{{id}}/payload"), get(payload))
        .with_state(queue.clone())
}

/// A change of what a type, a group or the queue may start. What is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RuleBody {
    /// The type that it concerns.
    #[serde(rename = "type")]
    kind: Option<Name>,
    /// The group that it concerns; neither type nor group: the whole queue, which can only be paused.
    group: Option<Name>,
    /// Whether no task is started.
    paused: Option<bool>,
    /// The most tasks in flight; null: no limit.
    #[serde(default, deserialize_with = "given")]
    in_flight_limit: Option<Option<InFlightLimit>>,
    /// The most starts in a time; null: no rate.
    #[serde(default, deserialize_with = "given")]
    rate: Option<Option<StartRate>>,
    /// How many starts may follow each other at once; 1 for a new rate that does not say.
    burst: Option<RateBurst>,
}

/// Tells null from what was left out.
fn given<'de, D, T>(value: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(value).map(Some)
}

type NamedRule = Named<RulePart>;

/// Pauses or limits a type, a group, or the queue. What is left out stays as it is; null takes a limit away.
#[utoipa::path(patch, path = "/rules", tag = "queue", operation_id = "queue-rule",
    request_body = RuleBody,
    responses(
        (status = 200, description = "The rule in force", body = NamedRule),
        (status = 401, description = "The token is missing or wrong"),
        (status = 503, description = "The store is away, or it is not known whether this was done")))]
async fn set_rule(State(queue): State<Queue>, Json(body): Json<RuleBody>) -> Result<Json<RulePart>, Problem> {
    let RuleBody { kind, group, paused, in_flight_limit, rate, burst } = body;
    let scope = match (kind, group) {
        (Some(kind), None) => Scope::Kind(kind),
        (None, Some(group)) => Scope::Group(group),
        (None, None) => Scope::Queue,
        (Some(_), Some(group)) => {
            return Err(refused_field("group", &Invalid::new(group, "only one of type and group")));
        }
    };
    if scope == Scope::Queue && (in_flight_limit.flatten().is_some() || rate.flatten().is_some()) {
        let name = if rate.flatten().is_some() { "rate" } else { "in_flight_limit" };
        return Err(refused_field(name, &Invalid::new("a limit", "only a pause for the whole queue")));
    }
    let change = RuleChange {
        paused,
        in_flight_limit: in_flight_limit.map(|limit| limit.map_or(0, InFlightLimit::get)),
        interval_us: rate.map(|rate| rate.map_or(0, |rate| ((1e6 / rate.get()) as u64).max(1))),
        burst: burst.map(RateBurst::get),
    };
    let rule = queue.broker().change_rule(&scope, change).await.map_err(|error| of_store(&error))?;
    queue.look().await;
    let no_rate = || Invalid::new(change.burst.unwrap_or(0), "a burst only with a rate");
    let rule = rule.ok_or_else(|| refused_field("burst", &no_rate()))?;
    Ok(Json(RulePart::of(&scope, rule)))
}

/// Which dead letters to change: some by id, or all that match.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DeadBody {
    /// These. Without ids, all that match the other members, at most 10,000.
    ids: Option<Vec<TaskId>>,
    /// Only those of this type.
    #[serde(rename = "type")]
    kind: Option<Name>,
    /// Only those that died of this: `exhausted`, `final`, `crashed` or `malformed`.
    because: Option<String>,
}

/// How many dead letters were changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadChanged {
    /// How many.
    changed: u64,
}

document!(DeadChanged as "lab/queue-dead-changed/1");

type NamedDeadChanged = Named<DeadChanged>;

/// Starts dead letters anew.
#[utoipa::path(post, path = "/dead/replay", tag = "queue", operation_id = "queue-dead-replay",
    request_body = DeadBody,
    responses(
        (status = 200, description = "How many were started anew", body = NamedDeadChanged),
        (status = 401, description = "The token is missing or wrong"),
        (status = 503, description = "The store is away, or it is not known whether this was done")))]
async fn replay(
    State(queue): State<Queue>,
    Json(body): Json<DeadBody>,
) -> Result<Json<DeadChanged>, Problem> {
    change(&queue, body, true).await
}

/// Deletes dead letters: they end as discarded.
#[utoipa::path(post, path = "/dead/discard", tag = "queue", operation_id = "queue-dead-discard",
    request_body = DeadBody,
    responses(
        (status = 200, description = "How many were deleted", body = NamedDeadChanged),
        (status = 401, description = "The token is missing or wrong"),
        (status = 503, description = "The store is away, or it is not known whether this was done")))]
async fn discard(
    State(queue): State<Queue>,
    Json(body): Json<DeadBody>,
) -> Result<Json<DeadChanged>, Problem> {
    change(&queue, body, false).await
}

async fn change(queue: &Queue, body: DeadBody, replays: bool) -> Result<Json<DeadChanged>, Problem> {
    let DeadBody { ids, kind, because } = body;
    let because = match because {
        None => None,
        Some(name) => Some(reason(&name)?),
    };
    let changed = match ids {
        Some(ids) if kind.is_none() && because.is_none() => some(queue, &ids, replays).await?,
        Some(_) => {
            let name = if kind.is_some() { "type" } else { "because" };
            return Err(refused_field(name, &Invalid::new("a filter", "no filter beside ids")));
        }
        None => matching(queue, kind.as_ref(), because, replays).await?,
    };
    queue.look().await;
    Ok(Json(DeadChanged { changed }))
}

fn reason(name: &str) -> Result<DeathReason, Problem> {
    let reason = DeathReason::ALL.into_iter().find(|reason| reason.label() == name);
    reason.ok_or_else(|| {
        refused_field("because", &Invalid::new(name, "exhausted, final, crashed or malformed"))
    })
}

async fn some(queue: &Queue, ids: &[TaskId], replays: bool) -> Result<u64, Problem> {
    let mut changed = 0;
    for ids in ids.chunks(LISTED_LIMIT) {
        let broker = queue.broker();
        let unburied = if replays { broker.replay(ids).await } else { broker.discard(ids).await };
        changed += unburied.map_err(|error| of_store(&error))?;
    }
    Ok(changed)
}

/// Changes all that match, page by page. What is passed over is skipped by the next page.
async fn matching(
    queue: &Queue,
    kind: Option<&Name>,
    because: Option<DeathReason>,
    replays: bool,
) -> Result<u64, Problem> {
    let (mut changed, mut offset) = (0, 0);
    while changed < CHANGED_LIMIT {
        let page = queue.broker().list(Which::Dead, offset).await.map_err(|error| of_store(&error))?;
        let is_meant = |listed: &&Listed| {
            let run = &listed.known.run;
            kind.is_none_or(|kind| run.lane.kind == *kind)
                && because.is_none_or(|reason| run.state == RunState::Dead(reason))
        };
        let ids: Vec<TaskId> = page.iter().filter(is_meant).map(|listed| listed.id).collect();
        if !ids.is_empty() {
            changed += some(queue, &ids, replays).await?;
        }
        if page.len() < LISTED_LIMIT {
            break;
        }
        offset += page.len() - ids.len();
    }
    Ok(changed)
}

/// The payload of a task that has not ended, as it was sent.
#[utoipa::path(get, path = "/task/{id}/payload", tag = "queue", operation_id = "queue-payload",
    params(("id" = String, Path, description = "The id that the enqueue was answered with")),
    responses(
        (status = 200, description = "The payload", body = String, content_type = "application/json"),
        (status = 401, description = "The token is missing or wrong"),
        (status = 404, description = "No such task was enqueued: its id is newer than the oldest record"),
        (status = 409, description = "It has ended, and its payload is no longer kept"),
        (status = 410, description = "It is not known: it was never enqueued, or its record is no longer kept"),
        (status = 503, description = "The store is away")))]
async fn payload(State(queue): State<Queue>, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = task_id(&id)?;
    let looked = queue.broker().get(id).await.map_err(|error| of_store(&error))?;
    let known = match looked {
        Looked::Known(known) => known,
        Looked::Unknown { oldest_ms } => return Err(unknown(id, oldest_ms)),
    };
    let Some(spec) = known.spec else { return Err(wrong_state(&known.run)) };
    let headers: [(HeaderName, HeaderValue); 2] =
        [(header::CONTENT_TYPE, HeaderValue::from_static("application/json")), NOSNIFF];
    Ok((headers, spec.payload).into_response())
}
