//! The routes that all systems share that start, run, drain and stop.
//!
//! | route | allowed for | response |
//! |---|---|---|
//! | `GET /NAME` | everybody | the status as JSON, a page, or server-sent events, depending on `Accept` |
//! | `POST /NAME/start` | administrators | 200 and the status; 409 while a run is running or draining |
//! | `PATCH /NAME` | administrators | 200 and the status after the change |
//! | `POST /NAME/stop` | administrators | 200 and the status once the drain has begun; with `wait_ms`, once it has ended |

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, patch, post};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::{HttpMethod, OpenApi};

use super::lifecycle::{Lifecycle, StartError};
use super::system::System;
use super::{Event, Events, Frame, Json, OptionalJson, Problem, Query, RouteDoc};
use crate::{output::Document, time};

/// How often viewers get the status.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

time!(
    /// How long to wait for a stop.
    StopWaitMs = 0 s to 10 m in milliseconds
);

/// A handle to a system that can be started, watched, changed and stopped. Clones share the system.
pub trait Runnable: Clone + Send + Sync + 'static {
    /// The response to `GET`; its member `state` is the lifecycle's state.
    type Status: Document + Sync;
    /// The settings that a start can override for its run.
    type Start: DeserializeOwned + Default + ToSchema + Send + 'static;
    /// The settings that can be changed during a run.
    type Change: DeserializeOwned + Serialize + ToSchema + Send + 'static;

    /// The lifecycle of its runs.
    fn lifecycle(&self) -> &Lifecycle;

    /// The current status.
    fn status(&self) -> Self::Status;

    /// Starts a run. The start completes even if the client disconnects.
    fn start(&self, with: Self::Start) -> impl Future<Output = Result<(), StartError<Problem>>> + Send;

    /// Applies a change completely, or refuses it. The change completes even if the client disconnects.
    fn change(&self, change: Self::Change) -> impl Future<Output = Result<(), Problem>> + Send;
}

/// Renders a page for a visitor; the second argument is the request's host.
type MakePage = dyn Fn(Frame, &str) -> Response + Send + Sync;

/// What a browser gets.
pub(super) struct BrowserView {
    /// Its page.
    pub(super) page: Box<MakePage>,
    /// The events that the page needs every second in addition to the status.
    pub(super) events: Box<dyn Fn() -> Vec<Event> + Send + Sync>,
}

/// Adds the routes of `runnable` to `system`, and their part of the OpenAPI document. Browsers are redirected to the
/// page that shows it.
pub fn runnable<R: Runnable>(system: System, runnable: &R, shown_at: &'static str) -> System {
    let page = Box::new(move |_, _: &str| Redirect::to(shown_at).into_response());
    with_view(system, runnable, BrowserView { page, events: Box::new(Vec::new) })
}

/// The same with a view of its own.
pub(super) fn with_view<R: Runnable>(system: System, runnable: &R, view: BrowserView) -> System {
    let (watched, path) = (runnable.clone(), system.path);
    let BrowserView { page, events: more } = view;
    let draw = move || {
        let status = serde_json::to_string(&watched.status().named()).unwrap_or_default();
        let mut events = vec![Event { name: "status", data: status }];
        events.extend(more());
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
        let view = View { runnable: shown, events, frame, page: page.into() };
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
         one per second",
    )
    .answer::<R::Status>(200, "The current status");
    let start = route(HttpMethod::Post, format!("{path}/start"), "start", "Starts a run")
        .body::<R::Start>(false)
        .answer::<R::Status>(200, "The run has started")
        .problem(400, "A value is not allowed; nothing was started")
        .problem(409, "A run is running or draining, or the run cannot be started")
        .problem(503, "The server is stopping")
        .guarded();
    let stop =
        route(HttpMethod::Post, format!("{path}/stop"), "stop", "Refuses new work and drains the rest")
            .parameter("wait_ms", "Wait until the run has drained, but at most this long, before responding")
            .answer::<R::Status>(200, "The run is draining or has drained")
            .problem(409, "Nothing is running")
            .guarded();
    let change = route(
        HttpMethod::Patch,
        path.to_owned(),
        "change",
        "Changes settings of the run; absent members stay unchanged",
    )
    .body::<R::Change>(true)
    .answer::<R::Status>(200, "The settings are applied")
    .problem(400, "A value is not allowed; nothing was changed")
    .problem(409, "Nothing is running, or the run does not allow this change")
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
    page: Arc<MakePage>,
}

async fn show<R: Runnable>(State(view): State<View<R>>, headers: HeaderMap, uri: Uri) -> Response {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let accept = text(header::ACCEPT).unwrap_or_default();
    let mut response = if accept.contains("text/event-stream") {
        view.events.answer()
    } else if accept.contains("text/html") {
        let frame = view.frame.clone().for_request(&headers, &uri);
        (view.page)(frame, text(header::HOST).unwrap_or("127.0.0.1:8080"))
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
        // After a timeout too, the returned status shows the state.
        let _ = tokio::time::timeout(wait.get(), lifecycle.ended()).await;
    }
    Ok(Json(runnable.status()))
}

async fn change<R: Runnable>(
    State(runnable): State<R>,
    Json(change): Json<R::Change>,
) -> Result<Json<R::Status>, Problem> {
    let logged = serde_json::to_string(&change).unwrap_or_default();
    let set = members(serde_json::to_value(&change).unwrap_or_default());
    let changed = tokio::spawn({
        let runnable = runnable.clone();
        async move { runnable.change(change).await }
    });
    finished(changed.await)??;
    runnable.lifecycle().changed(set);
    tracing::info!(system = runnable.lifecycle().system(), change = logged, "changed");
    Ok(Json(runnable.status()))
}

/// What a change sets, by the names of its body.
fn members(change: Value) -> Vec<(String, String)> {
    let Value::Object(members) = change else { return Vec::new() };
    let set = members.into_iter().filter(|(name, value)| !value.is_null() && name != "schema");
    set.map(|(name, value)| match value {
        Value::String(text) => (name, text),
        value => (name, value.to_string()),
    })
    .collect()
}

/// The result of a task; a panic becomes a 500.
fn finished<T>(task: Result<T, tokio::task::JoinError>) -> Result<T, Problem> {
    task.map_err(|_| Problem::of(StatusCode::INTERNAL_SERVER_ERROR))
}
