//! The dead letters, page by page.

use axum::{Router, extract::State, routing::get};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{answer::TaskDocument, problems};
use crate::{
    bounded, document,
    output::Named,
    queue::{
        broker::{LISTED_LIMIT, Which},
        handle::Queue,
    },
    web::{Json, Problem, Query},
};

bounded!(
    /// How many dead letters a list passes over.
    pub(super) DeadOffset: u32 = 0 to 1000000000
);

/// The route.
pub(super) fn routes(queue: &Queue, prefix: &str) -> Router {
    Router::new().route(&format!("{prefix}/dead"), get(list)).with_state(queue.clone())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeadQuery {
    offset: Option<DeadOffset>,
}

/// A page of the dead letters, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadList {
    /// At most 100, without their payloads.
    dead: Vec<TaskDocument>,
    /// The `offset` of the next page; missing: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_offset: Option<u64>,
}

document!(DeadList as "lab/queue-dead/1");

type NamedDeadList = Named<DeadList>;

/// The dead letters, newest first, without their payloads.
#[utoipa::path(get, path = "/dead", tag = "queue", operation_id = "queue-dead",
    params(("offset" = Option<u32>, Query, description = "How many to pass over: `next_offset` of the page before")),
    responses(
        (status = 200, description = "At most 100 of them", body = NamedDeadList),
        (status = 503, description = "The store is away")))]
pub(super) async fn list(
    State(queue): State<Queue>,
    Query(DeadQuery { offset }): Query<DeadQuery>,
) -> Result<Json<DeadList>, Problem> {
    let offset = offset.map_or(0, DeadOffset::get);
    let page = queue.broker().list(Which::Dead, offset as usize).await;
    let page = page.map_err(|error| problems::of_store(&error))?;
    let is_full = page.len() == LISTED_LIMIT;
    let next_offset = is_full.then(|| u64::from(offset) + page.len() as u64);
    let dead = page.into_iter().map(|listed| TaskDocument::of(listed.id, listed.known)).collect();
    Ok(Json(DeadList { dead, next_offset }))
}
