//! The queue as people see it: the page, and `GET /stats`.

mod board;
mod controls;
mod document;

use std::time::Duration;

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use utoipa::{
    OpenApi,
    openapi::{HttpMethod, OpenApi as OpenApiDocument},
};

use self::board::Board;
pub(super) use self::controls::Controls;
pub use self::{
    controls::DeadChanged,
    document::{RulePart, StatsDocument},
};
use super::{
    config::{Config, MaxAttempts},
    handle::Queue,
    lane::Priority,
};
use crate::{
    output::Named,
    shutdown::Shutdown,
    web::{Asset, Event, Events, Frame, Json, LIVE_JS, Page, RouteDoc, assets},
};

/// How often viewers get the board.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

const QUEUE_CSS: Asset =
    Asset::new("/assets/queue.css", "text/css; charset=utf-8", include_str!("assets/queue.css"));
const QUEUE_JS: Asset =
    Asset::new("/assets/queue.js", "text/javascript; charset=utf-8", include_str!("assets/queue.js"));

/// Its part of the OpenAPI document, for paths without a prefix.
#[derive(OpenApi)]
#[openapi(paths(stats))]
pub(super) struct Monitor;

/// The page's part of the OpenAPI document.
pub(super) fn page_document(path: &str) -> OpenApiDocument {
    let about = "The statistics: as JSON, as a page (Accept: text/html), or as server-sent events (Accept: \
                 text/event-stream), one per second";
    RouteDoc::new(HttpMethod::Get, path, "queue", about)
        .id("queue-show")
        .answer::<StatsDocument>(200, "The current statistics")
        .problem(503, "As many viewers watch as may at a time")
        .into_document()
}

#[derive(Template)]
#[template(path = "queue.html")]
struct QueuePage<'a> {
    frame: Frame,
    board: String,
    config: &'a Config,
    base: &'a str,
    host: String,
}

impl QueuePage<'_> {
    fn scripts(&self) -> [String; 2] {
        [LIVE_JS.href(), QUEUE_JS.href()]
    }

    fn css(&self) -> String {
        QUEUE_CSS.href()
    }
}

#[derive(Clone)]
struct Shown {
    queue: Queue,
    events: Events,
    frame: Frame,
    prefix: &'static str,
}

/// The page at `path`, and the statistics under `prefix`.
pub(super) fn views(
    queue: &Queue,
    path: &'static str,
    prefix: &'static str,
    shutdown: &Shutdown,
    frame: Frame,
) -> Router {
    let drawn = queue.clone();
    let events = Events::new(WATCH_INTERVAL, shutdown.clone(), move || {
        vec![Event { name: "board", data: Board::html(&drawn) }]
    });
    let shown = Shown { queue: queue.clone(), events, frame, prefix };
    let stats = Router::new().route(&format!("{prefix}/stats"), get(stats)).with_state(queue.clone());
    Router::new().route(path, get(page)).with_state(shown).merge(stats).merge(assets(&[QUEUE_CSS, QUEUE_JS]))
}

/// Routes of an administrator.
pub(super) fn guarded_routes(queue: &Queue, prefix: &str) -> Router {
    controls::routes(queue, prefix)
}

type NamedStats = Named<StatsDocument>;

/// What the queue holds.
#[utoipa::path(get, path = "/stats", tag = "queue", operation_id = "queue-stats",
    responses((status = 200, description = "Counts, lanes, rules and processes", body = NamedStats)))]
async fn stats(State(queue): State<Queue>) -> Json<StatsDocument> {
    queue.look_for_viewer().await;
    queue.look_again().await;
    Json(StatsDocument::of(&queue))
}

/// The page, its events, or, for programs, the statistics.
async fn page(State(shown): State<Shown>, headers: HeaderMap, uri: Uri) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let vary = [(header::VARY, HeaderValue::from_static("accept"))];
    if accept.contains("text/event-stream") {
        return (vary, shown.events.answer()).into_response();
    }
    if !accept.contains("text/html") {
        shown.queue.look_for_viewer().await;
        shown.queue.look_again().await;
        return (vary, Json(StatsDocument::of(&shown.queue))).into_response();
    }
    shown.queue.look_for_viewer().await;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let page = QueuePage {
        frame: shown.frame.for_request(&headers, &uri),
        board: Board::html(&shown.queue),
        config: shown.queue.config(),
        base: shown.prefix,
        host: host.to_owned(),
    };
    (vary, Page(page)).into_response()
}
