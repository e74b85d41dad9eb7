//! The pipeline behind HTTP: what it does, and start, stop, rate and policy for an administrator.
//!
//! Inside `lab` it is idle until started, and each start is a run of its own that a stop drains. In
//! `lab pipeline` it runs from the start, and a stop is the same as a signal.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, patch, post},
};
use serde::{Deserialize, Serialize};

use super::{Ended, Ledger, Load, Pipeline, Rate, page, scaling::PolicyName};
use crate::{
    shutdown::Shutdown,
    web::{self, Events, Frame, Json, Problem},
};

/// How often those who watch get a picture.
const PICTURE_INTERVAL: Duration = Duration::from_secs(1);

/// What the pipeline is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PipelinePhase)]
pub enum Phase {
    /// It does not run.
    Idle,
    /// It takes jobs in.
    Running,
    /// It takes none in any more and works off what is there.
    Draining,
}

impl Phase {
    /// The name as it is written.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Draining => "draining",
        }
    }
}

/// The pipeline now: what `GET /pipeline` answers.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = PipelineStatus)]
pub struct Status {
    /// What it is doing.
    pub phase: Phase,
    /// How the number of workers is chosen.
    pub policy: PolicyName,
    /// `generator`, or the interval between two jobs.
    #[schema(value_type = String)]
    pub rate: Rate,
    /// Workers that are to be there.
    pub workers: u32,
    /// Workers that are there, those that finish a last job among them.
    pub workers_present: u32,
    /// Workers at least.
    pub min_workers: u32,
    /// Workers at most.
    pub max_workers: u32,
    /// Jobs that may wait before the producer does.
    pub queue_capacity: u32,
    /// The balance.
    #[serde(flatten)]
    pub ledger: Ledger,
    /// Jobs that the producer wanted to hand in.
    pub offered: u64,
    /// Those of them that were left out because one was already waiting for room.
    pub held_back: u64,
    /// Failed attempts that were followed by another.
    pub retries: u64,
    /// Seconds that workers were there.
    pub worker_seconds: f64,
}

/// A change: what is left out stays.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Patch {
    /// `generator`, or the interval between two jobs.
    pub rate: Option<Rate>,
    /// How the number of workers is chosen.
    pub policy: Option<PolicyName>,
}

/// The pipeline as a service; cheap to clone.
#[derive(Debug, Clone)]
pub struct Service {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pipeline: Pipeline,
    /// The process's stop.
    process: Shutdown,
    /// The stop of the run in progress.
    run: Mutex<Option<Shutdown>>,
}

/// What the views need.
#[derive(Debug, Clone)]
struct Views {
    service: Service,
    events: Events,
    frame: Frame,
}

impl Service {
    /// A pipeline that is idle until started; runs end with `process`.
    pub fn idle(pipeline: Pipeline, process: Shutdown) -> Self {
        Self { shared: Arc::new(Shared { pipeline, process, run: Mutex::new(None) }) }
    }

    /// A pipeline whose owner runs it until `process` stops.
    pub fn running(pipeline: Pipeline, process: Shutdown) -> Self {
        let run = Mutex::new(Some(process.clone()));
        Self { shared: Arc::new(Shared { pipeline, process, run }) }
    }

    /// The pipeline.
    pub fn pipeline(&self) -> &Pipeline {
        &self.shared.pipeline
    }

    fn run(&self) -> MutexGuard<'_, Option<Shutdown>> {
        self.shared.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it is doing.
    pub fn phase(&self) -> Phase {
        match &*self.run() {
            None => Phase::Idle,
            Some(run) if run.is_stopping() => Phase::Draining,
            Some(_) => Phase::Running,
        }
    }

    /// Starts a run; false when one is in progress, or the process stops.
    pub fn start(&self) -> bool {
        let mut current = self.run();
        if current.is_some() || self.shared.process.is_stopping() {
            return false;
        }
        // The process's own stop bounds it; a stop of the run alone takes the time it takes.
        let run = Shutdown::new(None, Duration::ZERO);
        *current = Some(run.clone());
        let service = self.clone();
        self.shared.process.tracker().spawn(async move {
            let ended = service.run_until_stopped(&run).await;
            tracing::info!(
                drained = ended.drained,
                backlog = ended.ledger.backlog,
                "the pipeline has stopped"
            );
            *service.run() = None;
        });
        true
    }

    async fn run_until_stopped(&self, run: &Shutdown) -> Ended {
        let Shared { pipeline, process, .. } = &*self.shared;
        let follow = async {
            process.stopping().cancelled().await;
            run.trigger();
            process.drain_over().await;
            run.abort();
            std::future::pending::<()>().await;
        };
        tokio::pin!(follow);
        let running = pipeline.run(Load::Producer, None, run);
        tokio::pin!(running);
        tokio::select! {
            biased;
            ended = &mut running => ended,
            () = &mut follow => running.await,
        }
    }

    /// Ends the run in progress: it drains. False when there is none.
    pub fn stop(&self) -> bool {
        let run = self.run();
        run.as_ref().inspect(|run| run.trigger()).is_some()
    }

    /// The pipeline now.
    pub fn status(&self) -> Status {
        self.pipeline().status(self.phase())
    }

    /// What anybody may look at: `GET /pipeline` (JSON, a page, or a stream of events, as the client accepts)
    /// and `GET /pipeline/audit`. `frame` is what the page stands in.
    pub fn views(&self, frame: Frame) -> Router {
        let service = self.clone();
        let draw = move || page::picture(&service);
        let events = Events::new(PICTURE_INTERVAL, self.shared.process.clone(), draw);
        let views = Views { service: self.clone(), events, frame };
        Router::new()
            .route("/pipeline", get(show).with_state(views))
            .route("/pipeline/audit", get(audit).with_state(self.clone()))
            .merge(web::assets(&[page::PIPELINE_JS]))
    }

    /// What only an administrator may do: `POST /pipeline/start`, `POST /pipeline/stop`, `PATCH /pipeline`.
    pub fn controls(&self) -> Router {
        Router::new()
            .route("/pipeline/start", post(start))
            .route("/pipeline/stop", post(stop))
            .route("/pipeline", patch(change))
            .with_state(self.clone())
    }
}

/// The OpenAPI description of these routes.
#[derive(utoipa::OpenApi)]
#[openapi(
    paths(show, audit, start, stop, change),
    components(schemas(Status, Phase, PolicyName, Ledger)),
    tags((name = "pipeline"))
)]
pub struct PipelineApi;

/// The pipeline now: as JSON, as a page (`Accept: text/html`), or as server-sent events
/// (`Accept: text/event-stream`), one a second.
#[utoipa::path(get, path = "/pipeline", tag = "pipeline",
    responses((status = 200, description = "Phase, workers, backlog, balance", body = Status)))]
async fn show(State(views): State<Views>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let mut response = if accept.contains("text/event-stream") {
        views.events.answer()
    } else if accept.contains("text/html") {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1:8080");
        page::show(&views.service, views.frame.clone(), host)
    } else {
        Json(views.service.status()).into_response()
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// The balance: `created = succeeded + permanently_failed + backlog`.
#[utoipa::path(get, path = "/pipeline/audit", tag = "pipeline",
    responses((status = 200, description = "The terms now", body = Ledger)))]
async fn audit(State(service): State<Service>) -> Json<Ledger> {
    Json(service.pipeline().ledger())
}

/// Starts the pipeline.
#[utoipa::path(post, path = "/pipeline/start", tag = "pipeline", responses(
    (status = 200, description = "It runs", body = Status),
    (status = 401, description = "The token is missing or wrong"),
    (status = 403, description = "Not from this machine, or by a page of another origin"),
    (status = 409, description = "It runs already, or drains")))]
async fn start(State(service): State<Service>) -> Result<Json<Status>, Problem> {
    if service.start() {
        tracing::info!("the pipeline was started");
        Ok(Json(service.status()))
    } else {
        Err(conflict("the pipeline runs already, or drains"))
    }
}

/// Stops the pipeline: its producer ends at once, the backlog drains.
#[utoipa::path(post, path = "/pipeline/stop", tag = "pipeline", responses(
    (status = 200, description = "It drains", body = Status),
    (status = 401, description = "The token is missing or wrong"),
    (status = 403, description = "Not from this machine, or by a page of another origin"),
    (status = 409, description = "It does not run")))]
async fn stop(State(service): State<Service>) -> Result<Json<Status>, Problem> {
    if service.stop() { Ok(Json(service.status())) } else { Err(conflict("the pipeline does not run")) }
}

/// Changes rate or policy; what is left out stays.
#[utoipa::path(patch, path = "/pipeline", tag = "pipeline", request_body = Object, responses(
    (status = 200, description = "What is in force now", body = Status),
    (status = 400, description = "A member is unknown or not allowed; nothing was changed"),
    (status = 401, description = "The token is missing or wrong"),
    (status = 403, description = "Not from this machine, or by a page of another origin")))]
async fn change(State(service): State<Service>, Json(patch): Json<Patch>) -> Json<Status> {
    if let Some(rate) = patch.rate {
        service.pipeline().set_rate(rate);
    }
    if let Some(policy) = patch.policy {
        service.pipeline().set_policy(policy);
    }
    tracing::info!(?patch, "the pipeline was changed");
    Json(service.status())
}

fn conflict(detail: &str) -> Problem {
    Problem::of(StatusCode::CONFLICT).detail(detail)
}
