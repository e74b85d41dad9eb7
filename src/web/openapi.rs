//! `/openapi.json`: the document an app merged from its rooms' parts.

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::get;

/// Serves `document` at `/openapi.json`.
///
/// # Errors
///
/// When the document cannot be written as JSON.
pub fn openapi(document: &utoipa::openapi::OpenApi) -> Result<Router, serde_json::Error> {
    let json = Bytes::from(serde_json::to_vec(document)?);
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    Ok(Router::new().route("/openapi.json", get(async move || (content_type, json.clone()))))
}
