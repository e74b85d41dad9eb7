//! Serves a list of systems on one address.
//!
//! ```text
//!                     ┌ views, in the page frame        ┐
//!   [System, ...] ──> ┼ controls, under the admin rule  ┼─ counted ─┐
//!                     ├ first page, OpenAPI, audit,     ┘           ├──> web::serve ──> drain report
//!                     │ readiness, reference                        │
//!                     └ endpoints, which count their own requests ──┘
//! ```
//!
//! Nothing here depends on a particular system: the values describe them.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use askama::Template;
use axum::{Router, http::StatusCode, response::Redirect, routing::get};
use tokio::task::JoinHandle;
use utoipa::OpenApi as _;
use utoipa::openapi::{HttpMethod, OpenApi};

use super::{
    args::ServerArgs,
    docs,
    ending::Ending,
    problems::{self, ProblemsApi},
    reference::Reference,
};
use crate::{
    config::counted,
    output,
    shutdown::Shutdown,
    telemetry::Telemetry,
    web::{
        self, Admin, Audit, Drained, Frame, Health, HealthApi, Json, Link, Listener, Metrics, NavItem, Page,
        RouteDoc, SessionApi, Sheet, System,
    },
};

/// The parts of the process that a server needs.
#[derive(Debug)]
pub struct Process<'a> {
    /// The server's arguments.
    pub server: &'a ServerArgs,
    /// The listener, which is opened before anything else is created.
    pub listener: Listener,
    /// The telemetry.
    pub telemetry: &'a Telemetry,
    /// The process's shutdown.
    pub shutdown: Shutdown,
}

/// A server of systems.
pub struct Server {
    addr: SocketAddr,
    serving: JoinHandle<Drained>,
    stopping: JoinHandle<()>,
    /// The shutdown of HTTP.
    http: Shutdown,
    /// The shutdown of the systems' work.
    process: Shutdown,
    stragglers: Vec<Box<dyn Fn() -> Vec<String> + Send + Sync>>,
}

impl Server {
    /// Runs the start hooks of `systems`, announces the address, and serves until `http` has shut down. It runs the
    /// stop hooks when the process begins to stop. `http` is the process's shutdown if the requests are the work, and
    /// a separate one if the server only shows the work.
    ///
    /// # Errors
    /// When a start hook fails.
    pub async fn start(
        mut systems: Vec<System>,
        process: Process<'_>,
        http: Shutdown,
    ) -> anyhow::Result<Self> {
        web::raise_descriptor_limit();
        let addr = process.listener.addr();
        let limits = process.server.limits(&systems);
        let metrics = Metrics::new(process.telemetry.process_instruments());
        let guarded = systems.iter().any(|system| system.controls.has_routes());
        let router = router(&mut systems, &process, &metrics)?;
        let starts: Vec<_> = systems.iter_mut().rev().filter_map(|system| system.start.take()).collect();
        let stops: Vec<_> = systems.iter_mut().filter_map(|system| system.stop.take()).collect();
        for start in starts {
            start().await?;
        }
        process.listener.announce();
        if guarded && process.server.admin_token.is_none() {
            tracing::info!(
                "LAB_ADMIN_TOKEN is not set: only this machine may change settings. Behind a proxy, set it: all \
                 requests would come from the proxy's machine"
            );
        }
        let Process { listener, shutdown: process, .. } = process;
        let serving = tokio::spawn({
            let http = http.clone();
            async move { web::serve(listener.into_socket(), router, limits, &metrics, http).await }
        });
        let stopping = tokio::spawn({
            let process = process.clone();
            async move {
                process.stopping().cancelled().await;
                for stop in stops {
                    stop().await;
                }
            }
        });
        let stragglers = systems.into_iter().map(|system| system.stragglers).collect();
        Ok(Self { addr, serving, stopping, http, process, stragglers })
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The unfinished work, in phrases.
    pub fn stragglers(&self) -> Vec<String> {
        self.stragglers.iter().flat_map(|left| left()).collect()
    }

    /// Waits until HTTP has shut down. If the drain abandoned work, it prints it on stderr and returns another ending
    /// than [`Ending::Done`].
    ///
    /// # Errors
    /// When the server task panicked.
    pub async fn drained(mut self) -> anyhow::Result<Ending> {
        let drained = (&mut self.serving).await.context("the server panicked")?;
        self.hooks_ended().await;
        // A system's run ends in time even if the drain deadline cut it short: its abandoned work is still listed.
        let mut left = self.stragglers();
        if drained.clean && left.is_empty() {
            return Ok(Ending::Done);
        }
        if !drained.clean {
            left.push(counted(drained.connections_left as u64, "connection", "connections"));
            left.push(counted(drained.tasks_left as u64, "detached task", "detached tasks"));
        }
        report(&left);
        drained.cut().await;
        Ok(if self.process.aborted().is_cancelled() { Ending::Aborted } else { Ending::Failed })
    }

    /// Shuts HTTP down once the work has ended, and cuts the connections that stay open. If the work was abandoned, it
    /// prints it on stderr and returns another ending than [`Ending::Done`].
    ///
    /// # Errors
    /// When the server task panicked.
    pub async fn close(mut self) -> anyhow::Result<Ending> {
        let left = self.stragglers();
        report(&left);
        self.hooks_ended().await;
        let aborted = self.process.aborted().is_cancelled();
        if aborted {
            self.http.abort();
        } else {
            self.http.trigger();
        }
        self.serving.await.context("the server panicked")?.cut().await;
        Ok(match left.is_empty() {
            _ if aborted => Ending::Aborted,
            true => Ending::Done,
            false => Ending::Failed,
        })
    }

    /// If the process is stopping, waits for the stop hooks, at most until the drain deadline.
    async fn hooks_ended(&mut self) {
        if self.process.is_stopping() {
            tokio::select! {
                biased;
                _ = &mut self.stopping => {}
                () = self.process.drain_over() => {}
            }
        }
        self.stopping.abort();
    }
}

fn report(left: &[String]) {
    if !left.is_empty() {
        output::to_stderr(format_args!("lab: left behind: {}", left.join(", ")));
    }
}

/// The server's own part of the OpenAPI document.
#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "lab",
    description = "How should a service treat a slow dependency? Every error is a problem document (RFC 9457)."
))]
struct ServerApi;

/// Builds the router of all routes. It moves the routes, checks and sheets out of `systems`.
fn router(systems: &mut [System], process: &Process<'_>, metrics: &Metrics) -> anyhow::Result<Router> {
    let admin = Admin::new(process.server.admin_token.clone());
    let mut document = ServerApi::openapi()
        .merge_from(ProblemsApi::openapi())
        .merge_from(HealthApi::openapi())
        .merge_from(SessionApi::openapi());
    let mut sheets = Vec::new();
    let nav = nav(systems);
    let links: Arc<[Link]> = systems.iter().flat_map(|system| system.links.clone()).chain(LINKS).collect();
    let mut endpoints = Router::new();
    let mut counted = Router::new()
        .merge(web::documented_parameters(admin.session_routes(), &SessionApi::openapi()))
        .merge(web::assets(&[web::FAVICON, web::LAB_CSS, web::LIVE_JS, web::CHARTS_JS, web::RUN_JS]))
        .fallback(async || StatusCode::NOT_FOUND);
    let mut health = Health::new(process.shutdown.clone());
    for system in systems.iter_mut() {
        let controls = std::mem::take(&mut system.controls);
        counted = counted.merge(admin.guard(web::documented_parameters(controls, &system.openapi)));
        document.merge(system.openapi.clone());
        sheets.append(&mut system.sheets);
        health = health.with(std::mem::take(&mut system.checks));
        endpoints = endpoints.merge(std::mem::take(&mut system.endpoints));
        for views in std::mem::take(&mut system.views) {
            let frame = Frame::new(system.title, nav.clone(), system.path);
            let views = views(frame.of_server(links.clone(), admin.clone()));
            counted = counted.merge(web::documented_parameters(views, &system.openapi));
        }
    }
    let sheets: Arc<[Sheet]> = sheets.into();
    let audits = audit_documents(&sheets);
    let audit = web::documented_parameters(audit(&sheets), &audits);
    document.merge(audits);
    for route in own_documents().into_iter().chain(docs::documents()) {
        document.merge(route.into_document());
    }
    web::complete(&mut document, admin.token_required());
    counted = match &*systems {
        all if all.iter().any(|system| system.path == "/") => counted,
        [system] => counted.merge(redirect(system.path)),
        _ => {
            let frame = Frame::new("Concurrency lab", nav, "/").of_server(links, admin);
            let lead = "What runs here is in the navigation above and in the list below.";
            counted.merge(index(frame, lead.to_owned()))
        }
    };
    let kinds = problems::of(systems);
    let reference =
        Reference::new(systems, &process.telemetry.process_instruments().described(), &kinds, &document);
    counted = counted
        .merge(health.routes())
        .merge(audit)
        .merge(reference.route())
        .merge(problems::routes(kinds))
        .merge(docs::routes())
        .merge(web::openapi(&document).context("writing the OpenAPI document")?);
    let counted = web::traced(process.telemetry.tracing(), counted);
    let uncounted = endpoints.merge(web::scrape(process.telemetry, metrics));
    Ok(metrics.count_requests(counted).merge(metrics.count_wrong_methods(uncounted)))
}

/// The navigation of every page. A server of a single system needs none.
fn nav(systems: &[System]) -> Arc<[NavItem]> {
    let item = |system: &System| NavItem { label: system.title.into(), href: system.path.into() };
    let shown = || systems.iter().filter(|system| system.in_navigation);
    if shown().count() < 2 { [].into() } else { shown().map(item).collect() }
}

/// The links of every server.
const LINKS: [Link; 8] = [
    Link { group: "Look inside", path: "/audit", about: "the balance sheets of all systems" },
    Link { group: "Look inside", path: "/metrics", about: "all metrics, for Prometheus" },
    Link { group: "Look inside", path: "/docs", about: "the documentation" },
    Link {
        group: "Look inside",
        path: "/docs/reference",
        about: "routes, metrics and variables of this server",
    },
    Link { group: "Server", path: "/openapi.json", about: "every route, its parameters and responses" },
    Link { group: "Server", path: "/healthz", about: "alive" },
    Link { group: "Server", path: "/readyz", about: "ready for work" },
    Link { group: "Server", path: "/version", about: "the version" },
];

/// The page at `/` of a server whose systems have none there.
#[derive(Template)]
#[template(path = "index.html")]
struct IndexPage {
    frame: Frame,
    lead: String,
}

/// A page at `/` that says what runs here, and lists what there is to see.
pub(super) fn index(frame: Frame, lead: String) -> Router {
    Router::new().route("/", get(async move || Page(IndexPage { frame, lead })))
}

fn redirect(path: &'static str) -> Router {
    Router::new().route("/", get(async move || Redirect::temporary(path)))
}

/// `GET /audit` for all sheets by name, and `GET /NAME/audit` for one.
fn audit(sheets: &Arc<[Sheet]>) -> Router {
    let all = sheets.clone();
    let all = async move || Json(Audit::of(&all).await);
    (0..sheets.len()).fold(Router::new().route("/audit", get(all)), |router, at| {
        let path = format!("/{}/audit", sheets[at].name);
        let sheets = sheets.clone();
        router.route(&path, get(async move || axum::Json(sheets[at].document().await)))
    })
}

/// The server's own routes that do not return a [`Document`](crate::output::Document).
fn own_documents() -> [RouteDoc; 3] {
    let route =
        |path: &str, id: &str, about: &str| RouteDoc::new(HttpMethod::Get, path, "server", about).id(id);
    [
        route("/metrics", "metrics", "All metrics, for Prometheus")
            .media("The current metrics", "text/plain")
            .problem(503, "Too many concurrent scrapes"),
        route("/docs/reference", "reference", "Routes, metrics and variables of this server")
            .media("The reference", "text/plain"),
        route("/openapi.json", "openapi", "This document").media("OpenAPI 3.1", "application/json"),
    ]
}

fn audit_documents(sheets: &[Sheet]) -> OpenApi {
    let all = RouteDoc::new(HttpMethod::Get, "/audit", "audit", "The balance sheets of all systems, by name")
        .id("audit")
        .answer::<Audit>(200, "The current sheets");
    let each = sheets.iter().map(|sheet| {
        let path = format!("/{}/audit", sheet.name);
        let route = RouteDoc::new(HttpMethod::Get, path, "audit", "One balance sheet");
        sheet.documented(route.id(&format!("{}-audit", sheet.name)))
    });
    each.fold(all.into_document(), |document, route| document.merge_from(route.into_document()))
}
