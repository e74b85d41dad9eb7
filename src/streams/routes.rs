//! The orchestrator over HTTP: read, watch, start, stop and resize it, and post streams.

use std::{error::Error as _, io};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::StatusCode,
    routing::post,
};
use futures_util::TryStreamExt as _;
use tokio_util::io::StreamReader;
use tower_http::timeout::TimeoutError;
use utoipa::OpenApi;

use super::{
    change::{CannotStart, Overrides, Resize, ResizeError},
    charts,
    config::Args,
    framing::Fault,
    gateway::{NotAdmitted, PeerEnd, Received},
    ledger::ChunkLedger,
    orchestrator::Streams,
    page,
    status::Status,
};
use crate::{
    config::{Misfit, counted},
    output::Named,
    web::{
        BodyLimit, Json, Kind, Lifecycle, Live, LivePage, Problem, RouteLimit, RunState, Runnable, Sheet,
        StartError, System, documented_parameters, live, timeline::RunCharts,
    },
};

/// The paths under which bodies are streamed: the server passes them on unread.
const UPLOADS_UNDER: &str = "/streams/in/";
/// The longest name of a stream, characters.
const NAME_LIMIT_CHARS: usize = 64;

static NOT_STARTED: Kind = Kind::new(
    "/problems/streams-not-started",
    StatusCode::CONFLICT,
    "The streams cannot be started",
    "The sink or the gateway could not be opened: `detail` says why. Correct STREAMS_SINK or STREAMS_LISTEN.",
);
static NO_SLOT: Kind = Kind::new(
    "/problems/no-slot",
    StatusCode::CONFLICT,
    "The buffer has too few places for so many streams",
    "Under the overload policy fair each stream has a place in the buffer. Ask for fewer streams, or start with a larger \
     buffer.",
);

/// The orchestrator as a system of a server.
pub fn system(streams: &Streams) -> System {
    let left = streams.clone();
    let audited = streams.clone();
    let system = System::new(
        "streams",
        "Streams",
        "/streams",
        "the stream orchestrator: start it, watch it, resize it",
    )
    .openapi(StreamsApi::openapi())
    .link("Systems", "/streams", "the stream orchestrator: start it, watch it, resize it")
    .variables::<Args>()
    .metrics(streams.instruments())
    .problems([&NOT_STARTED, &NO_SLOT])
    .limit(RouteLimit { under: UPLOADS_UNDER, body: BodyLimit::Streamed })
    .sheet(Sheet::new("streams", "generated = processed + dropped + queued + in_progress", move || {
        audited.audit()
    }))
    .stragglers(move || {
        let ChunkLedger { queued, in_progress, dropped_by, .. } = left.audit();
        match queued + in_progress + dropped_by.abandoned {
            0 => Vec::new(),
            chunks => vec![counted(chunks, "chunk of a stream", "chunks of streams")],
        }
    })
    .views({
        let streams = streams.clone();
        move |_| {
            let uploads = Router::new().route("/streams/in/{name}", post(take_in).with_state(streams));
            documented_parameters(uploads, &StreamsApi::openapi())
        }
    });
    live(system, streams)
}

#[derive(OpenApi)]
#[openapi(paths(take_in), tags((name = "streams", description = "Many streams, one bounded buffer, a pool of workers")))]
struct StreamsApi;

impl Runnable for Streams {
    type Status = Status;
    type Start = Overrides;
    type Change = Resize;

    fn lifecycle(&self) -> &Lifecycle {
        Self::lifecycle(self)
    }

    fn status(&self) -> Status {
        Self::status(self)
    }

    async fn start(&self, with: Overrides) -> Result<(), StartError<Problem>> {
        let started = self.start_with(&with, || {}).await;
        started.map_err(|error| {
            error.map(|error| match error {
                CannotStart::Misfit(misfit) => misfitting(&misfit),
                CannotStart::Failed(_) => Problem::new(&NOT_STARTED).detail(error.to_string()),
            })
        })
    }

    async fn change(&self, resize: Resize) -> Result<(), Problem> {
        self.resize(resize).await.map_err(|error| match error {
            ResizeError::Misfit(misfit) => misfitting(&misfit),
            ResizeError::NotRunning => Self::lifecycle(self).not_running(),
            ResizeError::NoSlots { capacity } => {
                Problem::new(&NO_SLOT).detail(error.to_string()).with("buffer_size", capacity)
            }
        })
    }
}

impl Live for Streams {
    fn live(&self) -> LivePage {
        page::live(self)
    }

    fn charts(&self) -> RunCharts {
        charts::of(self)
    }
}

/// As [`Received`] is answered.
type NamedReceived = Named<Received>;

/// Splits a body into chunks, as the gateway does with a connection.
#[utoipa::path(post, path = "/streams/in/{name}", tag = "streams",
    params(("name" = String, Path, description = "The stream's name: 1 to 64 of A-Z a-z 0-9 . _ -")),
    request_body(content = String, content_type = "application/octet-stream",
        description = "Chunks, separated as STREAMS_FRAMING says; the body may have any length"),
    responses(
        (status = 200, description = "How many chunks were accepted, and dropped at once", body = NamedReceived),
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
    // A name of dots only could lead out of a folder, if a sink used it as a path.
    if name.chars().all(|c| c == '.') || name.len() > NAME_LIMIT_CHARS || !name.chars().all(allowed) {
        let detail = format!("a stream's name is 1 to {NAME_LIMIT_CHARS} of A-Z a-z 0-9 . _ -");
        return Err(Problem::of(StatusCode::BAD_REQUEST).detail(detail).with("field", "name"));
    }
    let run = match streams.lifecycle().state() {
        RunState::Running => streams.run(),
        RunState::Idle | RunState::Draining => None,
    };
    let peer = run.ok_or(NotAdmitted::Stopping).and_then(|run| run.gateway.admit(Some(&name)));
    let peer = peer.map_err(|refusal| {
        let detail = match refusal {
            NotAdmitted::Stopping => "the streams are not running".to_owned(),
            other => other.to_string(),
        };
        Problem::of(StatusCode::SERVICE_UNAVAILABLE).detail(detail)
    })?;
    let bytes = StreamReader::new(body.into_data_stream().map_err(as_io_error));
    let (received, ended) = peer.receive(std::pin::pin!(bytes)).await;
    let status = match ended {
        PeerEnd::Whole => return Ok(Json(received)),
        PeerEnd::Stopped => StatusCode::SERVICE_UNAVAILABLE,
        PeerEnd::Fault(Fault::TooLong) => StatusCode::PAYLOAD_TOO_LARGE,
        PeerEnd::Fault(Fault::Idle) => StatusCode::REQUEST_TIMEOUT,
        PeerEnd::Fault(Fault::Half | Fault::Broken) => StatusCode::BAD_REQUEST,
    };
    let detail = match ended {
        PeerEnd::Fault(fault) => fault.to_string(),
        _ => "the streams stopped before the body ended".to_owned(),
    };
    Err(Problem::of(status)
        .detail(detail)
        .with("accepted", received.accepted)
        .with("dropped", received.dropped))
}

/// A body's error as an I/O error; one that came too late as a time-out.
fn as_io_error(error: axum::Error) -> io::Error {
    let late = error.source().is_some_and(|source| source.is::<TimeoutError>());
    io::Error::new(if late { io::ErrorKind::TimedOut } else { io::ErrorKind::Other }, error)
}

fn misfitting(misfit: &Misfit) -> Problem {
    Problem::of(StatusCode::BAD_REQUEST)
        .detail(misfit.invalid.to_string())
        .with("field", misfit.variable.to_lowercase())
}
