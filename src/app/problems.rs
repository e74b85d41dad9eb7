//! `GET /problems/{name}`: explains the `type` of a problem.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};

use crate::web::{GENERAL, Kind, System};

/// Every kind that a server of `systems` responds with.
pub(super) fn of(systems: &[System]) -> Arc<[Kind]> {
    GENERAL.iter().chain(systems.iter().flat_map(|system| &system.problems)).cloned().collect()
}

/// The route.
pub(super) fn routes(kinds: Arc<[Kind]>) -> Router {
    Router::new().route("/problems/{name}", get(explain)).with_state(kinds)
}

/// Its OpenAPI description.
#[derive(utoipa::OpenApi)]
#[openapi(paths(explain))]
pub(super) struct ProblemsApi;

/// Explains a problem's type and what to do about it.
#[utoipa::path(get, path = "/problems/{name}", tag = "problems",
    params(("name" = String, Path, description = "The last part of the type, such as not-found")),
    responses(
        (status = 200, description = "The explanation", body = String),
        (status = 404, description = "This server has no such kind")))]
async fn explain(State(kinds): State<Arc<[Kind]>>, Path(name): Path<String>) -> Result<String, StatusCode> {
    let kind = kinds.iter().find(|kind| kind.path.rsplit('/').next() == Some(name.as_str()));
    let Kind { path, status, title, about } = kind.ok_or(StatusCode::NOT_FOUND)?;
    Ok(format!("{path}\n{status}: {title}\n\n{about}\n"))
}
