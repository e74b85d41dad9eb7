//! The lab as a server: its systems' routers behind one door.

use std::sync::Arc;

use anyhow::Context as _;
use axum::{Router, http::StatusCode, response::IntoResponse as _, routing::get};

use super::{
    Ending, ServeArgs, ServerArgs,
    landing::{self, Link},
};
use crate::{
    http_lab::{self, HttpLab},
    shutdown::Shutdown,
    telemetry::Telemetry,
    web::{self, Admin, Drained, Health, Limits, Metrics},
};

/// Serves the lab until it is told to stop, and drains.
///
/// # Errors
/// When the address cannot be taken, or the process cannot hear signals.
pub async fn serve(args: ServeArgs, telemetry: Telemetry) -> anyhow::Result<Ending> {
    let shutdown = args.server.shutdown();
    let lab = HttpLab::start(&args.lab, args.runtime(&telemetry, &shutdown))?;
    let metrics = Metrics::new(&telemetry.meter());
    let router = router(&lab, &args, &telemetry, &metrics, &shutdown)?;
    let drained = args.server.run(args.addr, router, &telemetry, &metrics, &shutdown).await?;
    let stragglers =
        || lab.in_flight().iter().map(|(endpoint, requests)| format!("{requests} on {endpoint}")).collect();
    Ok(report(drained, &shutdown, stragglers).await)
}

/// Everything the server answers.
pub(super) fn router(
    lab: &HttpLab,
    args: &ServeArgs,
    telemetry: &Telemetry,
    metrics: &Metrics,
    shutdown: &Shutdown,
) -> anyhow::Result<Router> {
    let admin = Admin::new(args.server.admin_token.clone());
    let links = links(lab);
    let house = Router::new()
        .merge(Health::new(shutdown.clone()).routes())
        .merge(admin.session_routes())
        .merge(lab.views())
        .merge(admin.guard(lab.controls()))
        .merge(landing::routes(links, admin.clone()))
        .merge(web::assets(&[web::LAB_CSS]))
        .merge(web::openapi(&lab.openapi()).context("writing the OpenAPI document")?)
        .fallback(async || StatusCode::NOT_FOUND);
    Ok(metrics.count_requests(house).merge(lab.endpoints()).merge(scrape(telemetry)))
}

fn links(lab: &HttpLab) -> Vec<Link> {
    let strategies = lab.strategies().into_iter().map(|(path, about)| Link::new("Endpoints", path, about));
    let rest = [
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
    fn runtime(&self, telemetry: &Telemetry, shutdown: &Shutdown) -> http_lab::Runtime {
        http_lab::Runtime {
            meter: telemetry.meter(),
            tracer: telemetry.tracer(),
            detached: shutdown.tracker().clone(),
            slo_ms: self.telemetry.slo_ms.get(),
        }
    }
}

impl ServerArgs {
    pub(super) fn shutdown(&self) -> Shutdown {
        Shutdown::new(
            Some(std::time::Duration::from_millis(self.drain_ms.get())),
            std::time::Duration::from_millis(self.unready_ms.get()),
        )
    }

    fn limits(&self) -> Limits {
        Limits {
            connections: usize::try_from(self.max_connections.get()).unwrap_or(usize::MAX),
            header_timeout_ms: self.header_timeout_ms.get(),
            ..Limits::default()
        }
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
        web::raise_descriptor_limit();
        shutdown.listen_for_signals().context("listening for signals")?;
        telemetry.observe_runtime();
        let listener = web::listen(addr.get()).with_context(|| format!("listening on {addr}"))?;
        web::announce(&listener).context("reading the listener's address")?;
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
