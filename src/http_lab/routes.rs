//! The lab's routes: the strategies' endpoints, the settings, the audit.

use axum::{
    Router,
    extract::State,
    routing::{get, patch},
};

use super::{
    HttpLab,
    ledger::Audit,
    settings::{Patch, Settings},
};
use crate::web::Json;

impl HttpLab {
    /// The strategies' endpoints, one a strategy, each `GET`.
    pub fn endpoints(&self) -> Router {
        self.endpoints.iter().fold(Router::new(), |router, endpoint| {
            let route = get(super::endpoint::handle).with_state(endpoint.clone());
            router.route(endpoint.strategy.path(), route)
        })
    }

    /// What anybody may look at: `GET /settings`, `GET /audit`.
    pub fn views(&self) -> Router {
        Router::new().route("/settings", get(settings)).route("/audit", get(audit)).with_state(self.clone())
    }

    /// What only an administrator may do: `PATCH /settings`.
    pub fn controls(&self) -> Router {
        Router::new().route("/settings", patch(change_settings)).with_state(self.clone())
    }
}

/// The settings in force.
#[utoipa::path(get, path = "/settings", tag = "lab",
    responses((status = 200, description = "Each setting by name", body = Object)))]
pub(super) async fn settings(State(lab): State<HttpLab>) -> Json<Settings> {
    Json((*lab.settings()).clone())
}

/// Changes settings while the lab runs; what is left out stays.
#[utoipa::path(patch, path = "/settings", tag = "lab", request_body = Object, responses(
    (status = 200, description = "The settings now in force", body = Object),
    (status = 400, description = "A setting is unknown or out of range; nothing was changed"),
    (status = 401, description = "The token is missing or wrong"),
    (status = 403, description = "Not from this machine, or by a page of another origin")))]
pub(super) async fn change_settings(State(lab): State<HttpLab>, Json(patch): Json<Patch>) -> Json<Settings> {
    let settings = lab.change(patch);
    let text = serde_json::to_string(&*settings).unwrap_or_default();
    tracing::info!(settings = text, "settings changed");
    Json((*settings).clone())
}

/// The balance sheets: requests by endpoint, calls by service.
#[utoipa::path(get, path = "/audit", tag = "lab",
    responses((status = 200, description = "Every ledger now", body = Audit)))]
pub(super) async fn audit(State(lab): State<HttpLab>) -> Json<Audit> {
    Json(lab.audit())
}
