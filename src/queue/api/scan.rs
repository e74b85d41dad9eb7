//! The second check of the audit, for a store that only its owner can look at.

use axum::{Router, extract::State, http::StatusCode, routing::get};
use utoipa::OpenApi;

use super::problems;
use crate::{
    output::Named,
    queue::{
        handle::Queue,
        sheet::{self, Balanced},
    },
    web::{Balance, Json, Problem},
};

/// When to try again after another scan, in seconds.
const RETRY_AFTER_S: u32 = 2;

/// Its part of the OpenAPI document. It stands beside the sheet, wherever the other routes stand.
#[derive(OpenApi)]
#[openapi(paths(scan))]
pub(in crate::queue) struct ScanApi;

/// The route.
pub(in crate::queue) fn routes(queue: &Queue) -> Router {
    Router::new().route("/queue/audit/scan", get(scan)).with_state(queue.clone())
}

type NamedBalance = Named<Balance<Balanced>>;

/// The balance sheet, once each task was looked at.
#[utoipa::path(get, path = "/queue/audit/scan", tag = "audit", operation_id = "queue-audit-scan",
    responses(
        (status = 200, description = "The current terms, and what was found", body = NamedBalance),
        (status = 429, description = "Another scan is under way"),
        (status = 503, description = "The store is away")))]
async fn scan(State(queue): State<Queue>) -> Result<Json<Balance<Balanced>>, Problem> {
    let Some(_alone) = queue.scan_alone() else {
        let busy = Problem::of(StatusCode::TOO_MANY_REQUESTS);
        return Err(busy.detail("another scan is under way").retry_after_s(RETRY_AFTER_S));
    };
    let sheet = sheet::audited(queue.broker(), false).await;
    sheet.map(Json).map_err(|error| problems::of_store(&error))
}
