//! The routes of a system that starts, runs, drains and stops: the same for every such system.
//!
//! | route | who | answer |
//! |---|---|---|
//! | `GET /NAME` | everybody | the status: JSON, a page, or server-sent events, as the client accepts |
//! | `POST /NAME/start` | administrators | 200 and the status; 409 while one runs or drains |
//! | `PATCH /NAME` | administrators | 200 and the status: the change is made |
//! | `POST /NAME/stop` | administrators | 200 and the status: the drain has begun, or with `wait_ms` ended |

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use serde::{Serialize, de::DeserializeOwned};
use utoipa::ToSchema;
use utoipa::openapi::{HttpMethod, OpenApi};

use super::lifecycle::{Lifecycle, StartError};
use super::system::System;
use super::{Event, Events, Frame, Json, OptionalJson, Problem, Query, RouteDoc};
use crate::{output::Document, time};

/// How often those who watch get the status.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

time!(
    /// How long a stop is waited for.
    StopWaitMs = 0 s to 10 m in milliseconds
);

/// A system that can be started, watched, changed and stopped. A handle: cloning shares it.
pub trait Runnable: Clone + Send + Sync + 'static {
    /// What `GET` shows; its member `state` is the lifecycle's.
    type Status: Document + Sync;
    /// What a start may change of the settings for its run.
    type Start: DeserializeOwned + Default + ToSchema + Send + 'static;
    /// What can be changed while it runs.
    type Change: DeserializeOwned + Serialize + ToSchema + Send + 'static;

    /// Its runs.
    fn lifecycle(&self) -> &Lifecycle;

    /// The status now.
    fn status(&self) -> Self::Status;

    /// The page.
    fn page(&self, frame: Frame, host: &str) -> Response;

    /// What the page needs each second beside the status.
    fn events(&self) -> Vec<Event>;

    /// Starts a run. It runs to its end even if the client leaves.
    fn start(&self, with: Self::Start) -> impl Future<Output = Result<(), StartError<Problem>>> + Send;

    /// Makes a change, or refuses it whole. It runs to its end even if the client leaves.
    fn change(&self, change: Self::Change) -> impl Future<Output = Result<(), Problem>> + Send;
}

/// Gives `system` the routes of `runnable`, and their part of the OpenAPI document.
pub fn runnable<R: Runnable>(system: System, runnable: &R) -> System {
    let (watched, path) = (runnable.clone(), system.path);
    let draw = move || {
        let status = serde_json::to_string(&watched.status().named()).unwrap_or_default();
        let mut events = vec![Event { name: "status", data: status }];
        events.extend(watched.events());
        events
    };
    let events = Events::new(WATCH_INTERVAL, runnable.lifecycle().process().clone(), draw);
    let document = document::<R>(&system);
    let controls = Router::new()
        .route(&format!("{path}/start"), post(start::<R>))
        .route(&format!("{path}/stop"), post(stop::<R>))
        .route(path, patch(change::<R>))
        .with_state(runnable.clone());
    let shown = runnable.clone();
    let kinds = runnable.lifecycle().kinds();
    system.openapi(document).problems(kinds).controls(controls).views(move |frame| {
        let view = View { runnable: shown, events, frame };
        Router::new().route(path, get(show::<R>)).with_state(view)
    })
}

fn document<R: Runnable>(system: &System) -> OpenApi {
    let (name, path) = (system.name, system.path);
    let route = |method, path: String, id: &str, about| {
        RouteDoc::new(method, path, name, about).id(&format!("{name}-{id}"))
    };
    let show = route(
        HttpMethod::Get,
        path.to_owned(),
        "show",
        "The status: as JSON, as a page (Accept: text/html), or as server-sent events (Accept: text/event-stream), \
         one a second",
    )
    .answer::<R::Status>(200, "The status now");
    let start = route(HttpMethod::Post, format!("{path}/start"), "start", "Starts a run")
        .body::<R::Start>(false)
        .answer::<R::Status>(200, "It runs")
        .problem(400, "A value is not allowed; nothing was started")
        .problem(409, "It runs already, is still draining, or cannot be started")
        .problem(503, "The server is stopping")
        .guarded();
    let stop = route(
        HttpMethod::Post,
        format!("{path}/stop"),
        "stop",
        "Takes no more work in, and lets the rest drain",
    )
    .parameter("wait_ms", "Answer when it has drained, or after so long; without it, at once")
    .answer::<R::Status>(200, "It drains, or has drained")
    .problem(409, "It does not run")
    .guarded();
    let change =
        route(HttpMethod::Patch, path.to_owned(), "change", "Changes what runs; what is left out stays")
            .body::<R::Change>(true)
            .answer::<R::Status>(200, "The change is made")
            .problem(400, "A value is not allowed; nothing was changed")
            .problem(409, "It does not run, or cannot be changed so")
            .guarded();
    [start, stop, change]
        .into_iter()
        .fold(show.into_document(), |document, route| document.merge_from(route.into_document()))
}

#[derive(Clone)]
struct View<R> {
    runnable: R,
    events: Events,
    frame: Frame,
}

async fn show<R: Runnable>(State(view): State<View<R>>, headers: HeaderMap, uri: Uri) -> Response {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let accept = text(header::ACCEPT).unwrap_or_default();
    let mut response = if accept.contains("text/event-stream") {
        view.events.answer()
    } else if accept.contains("text/html") {
        let frame = view.frame.clone().for_request(&headers, &uri);
        view.runnable.page(frame, text(header::HOST).unwrap_or("127.0.0.1:8080"))
    } else {
        Json(view.runnable.status()).into_response()
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

async fn start<R: Runnable>(
    State(runnable): State<R>,
    OptionalJson(with): OptionalJson<R::Start>,
) -> Result<Json<R::Status>, Problem> {
    if runnable.lifecycle().process().is_stopping() {
        return Err(Problem::of(StatusCode::SERVICE_UNAVAILABLE).detail("the server is stopping"));
    }
    let started = tokio::spawn({
        let runnable = runnable.clone();
        async move { runnable.start(with).await }
    });
    finished(started.await)?.map_err(|error| runnable.lifecycle().refuse_start(&error))?;
    tracing::info!(system = runnable.lifecycle().system(), "started");
    Ok(Json(runnable.status()))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct StopQuery {
    wait_ms: Option<StopWaitMs>,
}

async fn stop<R: Runnable>(
    State(runnable): State<R>,
    Query(StopQuery { wait_ms }): Query<StopQuery>,
) -> Result<Json<R::Status>, Problem> {
    let lifecycle = runnable.lifecycle();
    lifecycle.stop().map_err(|_| lifecycle.not_running())?;
    tracing::info!(system = lifecycle.system(), "draining");
    if let Some(wait) = wait_ms {
        // Too late or not, the status says how far it is.
        let _ = tokio::time::timeout(wait.get(), lifecycle.ended()).await;
    }
    Ok(Json(runnable.status()))
}

async fn change<R: Runnable>(
    State(runnable): State<R>,
    Json(change): Json<R::Change>,
) -> Result<Json<R::Status>, Problem> {
    let told = serde_json::to_string(&change).unwrap_or_default();
    let changed = tokio::spawn({
        let runnable = runnable.clone();
        async move { runnable.change(change).await }
    });
    finished(changed.await)??;
    tracing::info!(system = runnable.lifecycle().system(), change = told, "changed");
    Ok(Json(runnable.status()))
}

/// What a task came to; one that panicked is a fault of ours.
fn finished<T>(task: Result<T, tokio::task::JoinError>) -> Result<T, Problem> {
    task.map_err(|_| Problem::of(StatusCode::INTERNAL_SERVER_ERROR))
}
