//! The lab as a server: its systems' routers behind one door.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{Router, http::StatusCode, response::IntoResponse as _, routing::get};
use utoipa::OpenApi as _;

use super::{
    Ending, ServeArgs, ServerArgs, StopArgs,
    landing::{self, Link},
    pipeline,
};
use crate::{
    http_lab::{self, HttpLab},
    pipeline::{PipelineApi, Service},
    shutdown::Shutdown,
    streams::{self, Streams},
    telemetry::Telemetry,
    web::{self, Admin, Drained, Frame, Health, Limits, Metrics, NavItem},
};

/// Serves the HTTP lab, and with its settings the pipeline beside it, until it is told to stop, and drains.
///
/// # Errors
/// When the address cannot be taken, or the process cannot hear signals.
pub async fn serve(
    args: ServeArgs,
    pipeline: Option<pipeline::InLab>,
    telemetry: Telemetry,
) -> anyhow::Result<Ending> {
    let shutdown = args.stop.shutdown();
    let lab = HttpLab::start(&args.lab, args.runtime(&telemetry, &shutdown))?;
    let streams = args.streams(&telemetry, &shutdown)?;
    let metrics = Metrics::new(&telemetry.meter());
    let pipeline = match pipeline {
        Some(config) => Some(config.start(&args, &telemetry, &shutdown)?),
        None => None,
    };
    let router = router(&lab, &streams, pipeline.as_ref(), &args, &telemetry, &metrics, &shutdown)?;
    if args.streams_enabled {
        streams.start().await.context("starting the streams")?;
    }
    let drained = args.server.run(args.addr, router, &telemetry, &metrics, &shutdown).await?;
    let stragglers = || {
        let chunks = streams.audit();
        let requests = lab.in_flight();
        let requests = requests.iter().map(|(endpoint, requests)| format!("{requests} on {endpoint}"));
        let streams = format!("{} chunks of streams", chunks.queued + chunks.in_progress);
        requests.chain([streams]).chain(pipeline.as_ref().map(pipeline::stragglers)).collect()
    };
    Ok(report(drained, &shutdown, stragglers).await)
}

/// Everything the server answers.
pub(super) fn router(
    lab: &HttpLab,
    streams: &Streams,
    pipeline: Option<&Service>,
    args: &ServeArgs,
    telemetry: &Telemetry,
    metrics: &Metrics,
    shutdown: &Shutdown,
) -> anyhow::Result<Router> {
    let admin = Admin::new(args.server.admin_token.clone());
    let nav = nav(pipeline.is_some());
    let mut links = links(lab);
    let mut document = lab.openapi().merge_from(streams.openapi());
    let mut systems = Router::new();
    if let Some(service) = pipeline {
        links.extend(pipeline::links());
        document.merge(PipelineApi::openapi());
        systems = systems
            .merge(service.views(Frame::new("Pipeline", nav.clone(), "/pipeline")))
            .merge(admin.guard(service.controls()));
    }
    let house = Router::new()
        .merge(Health::new(shutdown.clone()).routes())
        .merge(admin.session_routes())
        .merge(lab.views())
        .merge(admin.guard(lab.controls()))
        .merge(streams.views(Frame::new("Streams", nav.clone(), "/streams")))
        .merge(admin.guard(streams.controls()))
        .merge(systems)
        .merge(landing::routes(links, nav, admin.clone()))
        .merge(web::assets(&[web::LAB_CSS, web::LIVE_JS]))
        .merge(web::openapi(&document).context("writing the OpenAPI document")?)
        .fallback(async || StatusCode::NOT_FOUND);
    Ok(metrics.count_requests(house).merge(lab.endpoints()).merge(scrape(telemetry)))
}

/// The navigation of every page: what this server has.
fn nav(pipeline: bool) -> Arc<[NavItem]> {
    let item = |label: &'static str, href: &'static str| NavItem { label: label.into(), href: href.into() };
    let pipeline = pipeline.then(|| item("Pipeline", "/pipeline"));
    [item("Overview", "/"), item("Streams", "/streams")].into_iter().chain(pipeline).collect()
}

fn links(lab: &HttpLab) -> Vec<Link> {
    let strategies = lab.strategies().into_iter().map(|(path, about)| Link::new("Endpoints", path, about));
    let rest = [
        ("Systems", "/streams", "the stream orchestrator: start it, watch it, resize it"),
        ("Look inside", "/settings", "what is in force; PATCH changes it"),
        ("Look inside", "/audit", "the balance sheets: requests, service calls, orphaned work"),
        ("Look inside", "/metrics", "all metrics, for Prometheus"),
        ("Server", "/openapi.json", "every route, its parameters and answers"),
        ("Server", "/healthz", "alive"),
        ("Server", "/readyz", "ready for work"),
        ("Server", "/version", "which build this is"),
    ];
    strategies.chain(rest.map(|(group, path, about)| Link::new(group, path, about))).collect()
}

/// `GET /metrics`.
pub(super) fn scrape(telemetry: &Telemetry) -> Router {
    let telemetry = telemetry.clone();
    let answer = async move || match telemetry.render() {
        Ok(text) => ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "metrics cannot be shown");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    };
    Router::new().route("/metrics", get(answer))
}

impl ServeArgs {
    fn streams(&self, telemetry: &Telemetry, shutdown: &Shutdown) -> anyhow::Result<Streams> {
        let runtime = streams::Runtime {
            meter: telemetry.meter(),
            shutdown: shutdown.clone(),
            slo_ms: self.telemetry.slo_ms.get(),
            seed: self.lab.seed,
            observer: None,
        };
        Ok(Streams::new(self.streams.config()?, runtime))
    }

    fn runtime(&self, telemetry: &Telemetry, shutdown: &Shutdown) -> http_lab::Runtime {
        http_lab::Runtime {
            meter: telemetry.meter(),
            tracer: telemetry.tracer(),
            detached: shutdown.tracker().clone(),
            slo_ms: self.telemetry.slo_ms.get(),
        }
    }
}

impl StopArgs {
    /// A stop that has not begun.
    pub(super) fn shutdown(&self) -> Shutdown {
        Shutdown::new(
            Some(Duration::from_millis(self.drain_ms.get())),
            Duration::from_millis(self.unready_ms.get()),
        )
    }
}

impl ServerArgs {
    /// What clients are granted; streams from outside may send bodies without an end.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            connections: usize::try_from(self.max_connections.get()).unwrap_or(usize::MAX),
            header_timeout_ms: self.header_timeout_ms.get(),
            streamed_under: Some(streams::UPLOADS_UNDER),
            ..Limits::default()
        }
    }

    /// Listens, and says where.
    pub(super) fn listen(addr: super::ListenAddr) -> anyhow::Result<tokio::net::TcpListener> {
        web::raise_descriptor_limit();
        let listener = web::listen(addr.get()).with_context(|| format!("listening on {addr}"))?;
        web::announce(&listener).context("reading the listener's address")?;
        Ok(listener)
    }

    /// Listens, says where, serves until the drain is over.
    pub(super) async fn run(
        &self,
        addr: super::ListenAddr,
        router: Router,
        telemetry: &Telemetry,
        metrics: &Metrics,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Drained> {
        shutdown.listen_for_signals().context("listening for signals")?;
        telemetry.observe_runtime();
        let listener = Self::listen(addr)?;
        Ok(web::serve(listener, router, self.limits(), metrics, shutdown.clone()).await)
    }
}

/// Says what a drain left behind, and what that makes of the process's end.
pub(super) async fn report(
    drained: Drained,
    shutdown: &Shutdown,
    stragglers: impl FnOnce() -> Vec<String>,
) -> Ending {
    if drained.clean {
        return Ending::Done;
    }
    let mut left = stragglers();
    left.push(format!("{} connections", drained.connections_left));
    left.push(format!("{} detached tasks", drained.tasks_left));
    eprintln!("lab: left behind: {}", left.join(", "));
    drained.cut().await;
    if shutdown.aborted().is_cancelled() { Ending::Aborted } else { Ending::Failed }
}

/// The links of the landing page, shared by tests that check them.
pub(super) type Links = Arc<[Link]>;
