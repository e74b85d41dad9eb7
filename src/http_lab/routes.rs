//! The lab as a system of a server: the strategies' endpoints, the settings, the balance sheets.

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{get, patch, post},
};
use utoipa::{OpenApi as _, openapi::HttpMethod};

use super::{
    answer::Body,
    config::Config,
    endpoint,
    handle::HttpLab,
    ledger::{HttpAudit, ServiceAudit},
    settings::{Overrides, Patch, Settings},
    strategies::Strategy,
    trigger::{Trigger, TriggerStatus},
};
use crate::output::Named;
use crate::web::{Json, Kind, Problem, RouteDoc, Sheet, System};

/// The equation of an endpoint's requests, and of their sum.
const REQUESTS: &str = "started = completed + cancelled + in_flight";
/// The equation of a service's calls, and of their sum.
pub(super) const CALLS: &str = "started = completed + failed + cancelled + in_flight";

/// The lab as a system of a server.
pub fn system(lab: &HttpLab) -> System {
    let (requests, calls, left) = (lab.clone(), lab.clone(), lab.clone());
    let endpoints = lab.each().iter().fold(Router::new(), |router, endpoint| {
        router.route(endpoint.strategy.path(), get(endpoint::handle).with_state(endpoint.clone()))
    });
    let settings = Router::new()
        .route("/settings", get(settings))
        .route("/trigger", get(trigger))
        .with_state(lab.clone());
    let controls = Router::new()
        .route("/settings", patch(change_settings))
        .route("/trigger", post(pull_trigger))
        .with_state(lab.clone());
    let about = "the same work under different strategies, side by side";
    let system = System::new("http", "Overview", "/", about)
        .openapi(LabApi::openapi())
        .endpoints(endpoints)
        .views(|_| settings)
        .controls(controls)
        .variables::<Config>()
        .metrics(&lab.instruments)
        .problems(endpoint::PROBLEMS)
        .problems([&REAL_SERVICE])
        .sheet(Sheet::new("http", REQUESTS, move || -> HttpAudit { requests.requests() }))
        .sheet(Sheet::new("service", CALLS, move || -> ServiceAudit { calls.calls() }))
        .stragglers(move || {
            left.in_flight().iter().map(|(endpoint, requests)| format!("{requests} on {endpoint}")).collect()
        });
    let system = lab.strategies().fold(system, |system, strategy| {
        let link = system.link("Endpoints", strategy.path(), strategy.about());
        link.openapi(document(strategy).into_document())
    });
    system.link("Look inside", "/settings", "the current settings; PATCH changes them")
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(settings, change_settings, trigger, pull_trigger), tags((name = "strategies"), (name = "lab")))]
struct LabApi;

/// One strategy's endpoint in the OpenAPI document.
fn document(strategy: &dyn Strategy) -> RouteDoc {
    let path = strategy.path();
    let route = RouteDoc::new(HttpMethod::Get, path, "strategies", strategy.about());
    let route = route.id(path.trim_start_matches('/'));
    let is_taken = |(name, _): &&(&str, &str)| strategy.parameters().contains(name);
    Overrides::ALLOWED
        .iter()
        .filter(is_taken)
        .fold(route, |route, (name, allowed)| route.parameter(name, allowed))
        .foreign::<Body>(200, "Both services answered")
        .problem(400, "A parameter is not allowed")
        .problem(502, "A service failed")
        .problem(503, "Shed; Retry-After says when to come back")
        .problem(504, "The deadline expired")
}

/// As [`Settings`] are answered.
type NamedSettings = Named<Settings>;

/// The current settings.
#[utoipa::path(get, path = "/settings", tag = "lab",
    responses((status = 200, description = "Each setting by name", body = NamedSettings)))]
async fn settings(State(lab): State<HttpLab>) -> Json<Settings> {
    Json((*lab.settings()).clone())
}

/// Changes settings while the lab runs; those left out keep their values.
#[utoipa::path(patch, path = "/settings", tag = "lab", request_body = Patch, responses(
    (status = 200, description = "The settings after the change", body = NamedSettings),
    (status = 400, description = "A setting is unknown or out of range; nothing was changed"),
    (status = 401, description = "The token is missing or wrong"),
    (status = 403, description = "Not from this machine, or by a page of another origin")))]
async fn change_settings(State(lab): State<HttpLab>, Json(patch): Json<Patch>) -> Json<Settings> {
    let settings = lab.change(patch);
    let text = serde_json::to_string(&*settings).unwrap_or_default();
    tracing::info!(settings = text, "settings changed");
    Json((*settings).clone())
}

static REAL_SERVICE: Kind = Kind::new(
    "/problems/real-service",
    StatusCode::CONFLICT,
    "Service B is a real one",
    "It is behind SERVICE_B_URL, and how long it takes is not set here. Start the lab without that URL to simulate it.",
);

type NamedTrigger = Named<TriggerStatus>;

/// The trigger that makes B slower for a limited time.
#[utoipa::path(get, path = "/trigger", tag = "lab",
    responses((status = 200, description = "How much slower B is, and for how long", body = NamedTrigger)))]
async fn trigger(State(lab): State<HttpLab>) -> Json<TriggerStatus> {
    Json(lab.trigger_status())
}

/// Makes B slower for a while, for all; it ends by itself.
#[utoipa::path(post, path = "/trigger", tag = "lab", request_body = Trigger, responses(
    (status = 200, description = "It acts", body = NamedTrigger),
    (status = 400, description = "A value is not allowed; nothing was changed"),
    (status = 401, description = "The token is missing or wrong"),
    (status = 403, description = "Not from this machine, or by a page of another origin"),
    (status = 409, description = "Service B is a real one")))]
async fn pull_trigger(
    State(lab): State<HttpLab>,
    Json(trigger): Json<Trigger>,
) -> Result<Json<TriggerStatus>, Problem> {
    if let [_, true] = lab.real_services() {
        return Err(Problem::new(&REAL_SERVICE));
    }
    let status = lab.trigger(trigger);
    tracing::info!(slower = status.slower, left_ms = status.left_ms, "the trigger was pulled");
    Ok(Json(status))
}
