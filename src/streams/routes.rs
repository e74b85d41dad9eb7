//! The orchestrator over HTTP: look, watch, start, stop, resize, and post streams.

use std::{error::Error as _, io, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, patch, post},
};
use futures_util::TryStreamExt as _;
use tokio_util::io::StreamReader;
use tower_http::timeout::TimeoutError;

use super::{
    Ledger, Overrides, Phase, Resize, ResizeError, StartError, Status, Streams,
    framing::Fault,
    gateway::{Ended, NotLetIn, Received},
    page,
    stats::Report,
};
use crate::{
    config::Misfit,
    web::{Event, Events, Frame, Json, Problem},
};

/// The paths under which bodies are streamed: what the server must hand on unread.
pub const UPLOADS_UNDER: &str = "/streams/in/";
/// How often those who watch get a picture.
const PICTURE_INTERVAL: Duration = Duration::from_secs(1);
/// The longest name of a stream, characters.
const NAME_LIMIT_CHARS: usize = 64;

#[derive(Clone)]
pub(super) struct Views {
    streams: Streams,
    events: Events,
    frame: Frame,
}

impl Streams {
    /// What anybody may do: `GET /streams` (JSON, a page, or a stream of events, as the client
    /// accepts) and `POST /streams/in/{name}`. `frame` is what the page stands in.
    pub fn views(&self, frame: Frame) -> Router {
        let streams = self.clone();
        let draw = move || {
            let status = serde_json::to_string(&streams.status()).unwrap_or_default();
            vec![Event { name: "status", data: status }]
        };
        let events = Events::new(PICTURE_INTERVAL, self.shared.runtime.shutdown.clone(), draw);
        let views = Views { streams: self.clone(), events, frame };
        Router::new()
            .route("/streams", get(show).with_state(views))
            .route("/streams/audit", get(audit).with_state(self.clone()))
            .route("/streams/in/{name}", post(take_in).with_state(self.clone()))
            .merge(crate::web::assets(&[page::STREAMS_JS]))
    }

    /// What only an administrator may do: `POST /streams/start`, `POST /streams/stop`,
    /// `PATCH /streams`.
    pub fn controls(&self) -> Router {
        Router::new()
            .route("/streams", patch(resize))
            .route("/streams/start", post(start))
            .route("/streams/stop", post(stop))
            .with_state(self.clone())
    }
}

/// State and statistics: as JSON, as a page (`Accept: text/html`), or as server-sent events
/// (`Accept: text/event-stream`), one a second.
#[utoipa::path(get, path = "/streams", tag = "streams",
    responses((status = 200, description = "What is in force and what was measured", body = Status)))]
pub(super) async fn show(State(views): State<Views>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let mut response = if accept.contains("text/event-stream") {
        views.events.answer()
    } else if accept.contains("text/html") {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1:8080");
        page::show(&views.streams, views.frame.clone(), host)
    } else {
        Json(views.streams.status()).into_response()
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// The balance sheet over all runs of this process.
#[utoipa::path(get, path = "/streams/audit", tag = "streams",
    responses((status = 200, description = "The terms now; they balance whenever they are asked", body = Ledger)))]
pub(super) async fn audit(State(streams): State<Streams>) -> Json<Ledger> {
    Json(streams.audit())
}

/// Starts a run, with the configuration in force or with what the body changes of it.
#[utoipa::path(post, path = "/streams/start", tag = "streams", request_body = Overrides, responses(
    (status = 200, description = "It runs", body = Status),
    (status = 400, description = "A number is out of its range; nothing was started"),
    (status = 409, description = "It runs already, or is still draining"),
    (status = 401, description = "The token is missing or wrong"),
    (status = 403, description = "Not from this machine, or by a page of another origin")))]
pub(super) async fn start(State(streams): State<Streams>, body: Body) -> Result<Json<Status>, Problem> {
    if streams.shared.runtime.shutdown.is_stopping() {
        return Err(Problem::of(StatusCode::SERVICE_UNAVAILABLE).detail("the server is stopping"));
    }
    let body =
        axum::body::to_bytes(body, usize::MAX).await.map_err(|_| Problem::of(StatusCode::BAD_REQUEST))?;
    let overrides = match body.is_empty() {
        true => Overrides::default(),
        false => serde_json::from_slice(&body)
            .map_err(|error| Problem::of(StatusCode::BAD_REQUEST).detail(error.to_string()))?,
    };
    // A task of its own: whoever asked may leave while the sink is still being opened.
    let start = tokio::spawn({
        let streams = streams.clone();
        async move { streams.start_with(&overrides).await }
    });
    let started = start.await.map_err(|_| Problem::of(StatusCode::INTERNAL_SERVER_ERROR))?;
    started.map_err(|error| match error {
        StartError::Misfit(misfit) => misfitting(&misfit),
        StartError::Running => conflict(&error),
        StartError::Failed(_) => Problem::new(
            StatusCode::CONFLICT,
            "/problems/streams-not-started",
            "The streams cannot be started",
        )
        .detail(error.to_string()),
    })?;
    tracing::info!("streams started");
    Ok(Json(streams.status()))
}

/// Takes nothing more in, and answers when all that was queued has been processed.
#[utoipa::path(post, path = "/streams/stop", tag = "streams", responses(
    (status = 200, description = "It is drained; what the run came to", body = Report),
    (status = 409, description = "It does not run"),
    (status = 401, description = "The token is missing or wrong"),
    (status = 403, description = "Not from this machine, or by a page of another origin")))]
pub(super) async fn stop(State(streams): State<Streams>) -> Result<Json<Report>, Problem> {
    match streams.stop().await {
        Some(statistics) => {
            tracing::info!("streams stopped");
            Ok(Json(statistics.report()))
        }
        None => Err(not_running()),
    }
}

/// Changes the size of the pool and the number of generated streams; answers when it is in force.
#[utoipa::path(patch, path = "/streams", tag = "streams", request_body = Resize, responses(
    (status = 200, description = "What is in force now", body = Status),
    (status = 400, description = "A number is out of its range; nothing was changed"),
    (status = 409, description = "It does not run, or the buffer has too few places for so many streams"),
    (status = 401, description = "The token is missing or wrong"),
    (status = 403, description = "Not from this machine, or by a page of another origin")))]
pub(super) async fn resize(
    State(streams): State<Streams>,
    Json(resize): Json<Resize>,
) -> Result<Json<Status>, Problem> {
    streams.resize(resize).await.map_err(|error| match error {
        ResizeError::Misfit(misfit) => misfitting(&misfit),
        ResizeError::NotRunning => not_running(),
        ResizeError::NoSlots { capacity } => Problem::new(
            StatusCode::CONFLICT,
            "/problems/no-slot",
            "The buffer has too few places for so many streams",
        )
        .detail(error.to_string())
        .with("buffer_size", capacity),
    })?;
    tracing::info!(?resize, "streams resized");
    Ok(Json(streams.status()))
}

/// Takes a body apart into chunks, as the gateway does with a connection.
#[utoipa::path(post, path = "/streams/in/{name}", tag = "streams",
    params(("name" = String, Path, description = "What the stream is called: 1 to 64 of A-Z a-z 0-9 . _ -")),
    request_body(content = String, content_type = "application/octet-stream",
        description = "Chunks, told apart as STREAMS_FRAMING says; it may be as long as it likes"),
    responses(
        (status = 200, description = "How many chunks were accepted, and dropped at once", body = Received),
        (status = 400, description = "The name is not allowed, or the body broke off within a frame"),
        (status = 408, description = "No whole frame came for too long"),
        (status = 413, description = "A frame is above frame_limit_bytes"),
        (status = 503, description = "The streams do not run, or there is no room for another one")))]
pub(super) async fn take_in(
    State(streams): State<Streams>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<Received>, Problem> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    // Only dots would be a path's way up, wherever a sink files chunks by their stream.
    if name.chars().all(|c| c == '.') || name.len() > NAME_LIMIT_CHARS || !name.chars().all(allowed) {
        let detail = format!("a stream's name is 1 to {NAME_LIMIT_CHARS} of A-Z a-z 0-9 . _ -");
        return Err(Problem::of(StatusCode::BAD_REQUEST).detail(detail).with("field", "name"));
    }
    let peer = match streams.phase() {
        Phase::Running => streams.admit(&name),
        Phase::Idle | Phase::Draining => Err(NotLetIn::Stopping),
    };
    let peer = peer.map_err(|refusal| {
        let detail = match refusal {
            NotLetIn::Stopping => "the streams are not running".to_owned(),
            other => other.to_string(),
        };
        Problem::of(StatusCode::SERVICE_UNAVAILABLE).detail(detail)
    })?;
    let bytes = StreamReader::new(body.into_data_stream().map_err(as_io_error));
    let (received, ended) = peer.receive(std::pin::pin!(bytes)).await;
    let status = match ended {
        Ended::Whole => return Ok(Json(received)),
        Ended::Stopped => StatusCode::SERVICE_UNAVAILABLE,
        Ended::Fault(Fault::TooLong) => StatusCode::PAYLOAD_TOO_LARGE,
        Ended::Fault(Fault::Idle) => StatusCode::REQUEST_TIMEOUT,
        Ended::Fault(Fault::Half | Fault::Broken) => StatusCode::BAD_REQUEST,
    };
    let detail = match ended {
        Ended::Fault(fault) => fault.to_string(),
        _ => "the streams stopped while the body came".to_owned(),
    };
    Err(Problem::of(status)
        .detail(detail)
        .with("accepted", received.accepted)
        .with("dropped", received.dropped))
}

/// A body's error as its reader knows it; one that did not come in time as such.
fn as_io_error(error: axum::Error) -> io::Error {
    let late = error.source().is_some_and(|source| source.is::<TimeoutError>());
    io::Error::new(if late { io::ErrorKind::TimedOut } else { io::ErrorKind::Other }, error)
}

fn misfitting(misfit: &Misfit) -> Problem {
    Problem::of(StatusCode::BAD_REQUEST)
        .detail(misfit.invalid.to_string())
        .with("field", misfit.variable.to_lowercase())
}

fn conflict(error: &StartError) -> Problem {
    Problem::new(StatusCode::CONFLICT, "/problems/streams-running", "The streams are running already")
        .detail(error.to_string())
}

fn not_running() -> Problem {
    Problem::new(StatusCode::CONFLICT, "/problems/streams-not-running", "The streams are not running")
}
