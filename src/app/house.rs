//! A list of systems behind one address.
//!
//! ```text
//!                     ┌ views, framed by the navigation ┐
//!   [System, ...] ──> ┼ controls, under the admin rule  ┼─ counted ─┐
//!                     ├ first page, OpenAPI, audit,     ┘           ├──> web::serve ──> drain report
//!                     │ readiness, reference                        │
//!                     └ endpoints, which count their own requests ──┘
//! ```
//!
//! Nothing here depends on a particular system: its value says what is shown of it.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use askama::Template;
use axum::{Router, http::StatusCode, response::Redirect, routing::get};
use tokio::{net::TcpListener, task::JoinHandle};
use utoipa::{OpenApi as _, openapi::HttpMethod};

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
        self, Admin, Audit, Drained, Frame, Health, HealthApi, Json, Link, Metrics, NavItem, Page, RouteDoc,
        SessionApi, Sheet, System,
    },
};

/// The process that serves the systems.
#[derive(Debug)]
pub struct Process<'a> {
    /// What its server takes.
    pub server: &'a ServerArgs,
    /// Its listener: opened before anything else is made.
    pub listener: TcpListener,
    /// Its telemetry.
    pub telemetry: &'a Telemetry,
    /// The stop of its work.
    pub shutdown: Shutdown,
}

/// Systems that are served.
pub struct House {
    addr: SocketAddr,
    serving: JoinHandle<Drained>,
    stopping: JoinHandle<()>,
    door: Shutdown,
    work: Shutdown,
    stragglers: Vec<Box<dyn Fn() -> Vec<String> + Send + Sync>>,
}

impl House {
    /// Runs the start hooks of `systems`, announces the address, and serves them until `door` closes; runs their
    /// stop hooks when the process's stop begins. `door` is the process's stop where requests are the work, and
    /// one of its own where the server only shows the work.
    ///
    /// # Errors
    /// When a start hook fails.
    pub async fn open(
        mut systems: Vec<System>,
        process: Process<'_>,
        door: Shutdown,
    ) -> anyhow::Result<Self> {
        web::raise_descriptor_limit();
        let addr = process.listener.local_addr().context("reading the listener's address")?;
        let limits = process.server.limits(&systems);
        let metrics = Metrics::new(process.telemetry.house());
        let guarded = systems.iter().any(|system| system.controls.has_routes());
        let router = router(&mut systems, &process, &metrics)?;
        let starts: Vec<_> = systems.iter_mut().rev().filter_map(|system| system.start.take()).collect();
        let stops: Vec<_> = systems.iter_mut().filter_map(|system| system.stop.take()).collect();
        for start in starts {
            start().await?;
        }
        web::announce(&process.listener).context("reading the listener's address")?;
        if guarded && process.server.admin_token.is_none() {
            tracing::info!(
                "LAB_ADMIN_TOKEN is not set: only this machine may change settings. Set it before a proxy passes \
                 requests on: all of them come from this machine then"
            );
        }
        let Process { listener, shutdown: work, .. } = process;
        let serving = tokio::spawn({
            let door = door.clone();
            async move { web::serve(listener, router, limits, &metrics, door).await }
        });
        let stopping = tokio::spawn({
            let work = work.clone();
            async move {
                work.stopping().cancelled().await;
                for stop in stops {
                    stop().await;
                }
            }
        });
        let stragglers = systems.into_iter().map(|system| system.stragglers).collect();
        Ok(Self { addr, serving, stopping, door, work, stragglers })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What is unfinished now, as phrases.
    pub fn stragglers(&self) -> Vec<String> {
        self.stragglers.iter().flat_map(|left| left()).collect()
    }

    /// Waits until the door has closed, and reports what the drain left behind: on stderr, and in how the process
    /// ends.
    ///
    /// # Errors
    /// When the server broke.
    pub async fn drained(mut self) -> anyhow::Result<Ending> {
        let drained = (&mut self.serving).await.context("the server broke")?;
        self.hooks_ended().await;
        if drained.clean {
            return Ok(Ending::Done);
        }
        let mut left = self.stragglers();
        left.push(counted(drained.connections_left as u64, "connection", "connections"));
        left.push(counted(drained.tasks_left as u64, "detached task", "detached tasks"));
        report(&left);
        drained.cut().await;
        Ok(if self.work.aborted().is_cancelled() { Ending::Aborted } else { Ending::Failed })
    }

    /// Closes the door once the work has ended, cuts the connections that stay open, and says what the work left
    /// behind.
    ///
    /// # Errors
    /// When the server broke.
    pub async fn close(mut self) -> anyhow::Result<Ending> {
        let left = self.stragglers();
        report(&left);
        self.hooks_ended().await;
        let aborted = self.work.aborted().is_cancelled();
        if aborted {
            self.door.abort();
        } else {
            self.door.trigger();
        }
        self.serving.await.context("the server broke")?.cut().await;
        Ok(match left.is_empty() {
            _ if aborted => Ending::Aborted,
            true => Ending::Done,
            false => Ending::Failed,
        })
    }

    /// Waits for the stop hooks, if the process stops; at most as long as its drain may take.
    async fn hooks_ended(&mut self) {
        if self.work.is_stopping() {
            tokio::select! {
                biased;
                _ = &mut self.stopping => {}
                () = self.work.drain_over() => {}
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

/// What the house adds to its systems' parts of the document.
#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "lab",
    description = "How should a service treat a slow dependency? Every error is a problem document (RFC 9457)."
))]
struct HouseApi;

/// Everything the server answers. Takes routes, checks and sheets out of `systems`.
fn router(systems: &mut [System], process: &Process<'_>, metrics: &Metrics) -> anyhow::Result<Router> {
    let admin = Admin::new(process.server.admin_token.clone());
    let mut document = HouseApi::openapi()
        .merge_from(ProblemsApi::openapi())
        .merge_from(HealthApi::openapi())
        .merge_from(SessionApi::openapi());
    let mut sheets = Vec::new();
    let nav = nav(systems);
    let links: Arc<[Link]> = systems.iter().flat_map(|system| system.links.clone()).chain(LINKS).collect();
    let mut endpoints = Router::new();
    let mut house = Router::new()
        .merge(web::documented_parameters(admin.session_routes(), &SessionApi::openapi()))
        .merge(web::assets(&[web::FAVICON, web::LAB_CSS, web::LIVE_JS, web::CHARTS_JS]))
        .fallback(async || StatusCode::NOT_FOUND);
    let mut health = Health::new(process.shutdown.clone());
    for system in systems.iter_mut() {
        let controls = std::mem::take(&mut system.controls);
        house = house.merge(admin.guard(web::documented_parameters(controls, &system.openapi)));
        document.merge(system.openapi.clone());
        sheets.append(&mut system.sheets);
        health = health.with(std::mem::take(&mut system.checks));
        endpoints = endpoints.merge(std::mem::take(&mut system.endpoints));
        for views in std::mem::take(&mut system.views) {
            let frame = Frame::new(system.title, nav.clone(), system.path);
            house = house.merge(views(frame.of_server(links.clone(), admin.clone())));
        }
    }
    let sheets: Arc<[Sheet]> = sheets.into();
    for route in audit_documents(&sheets).into_iter().chain(own_documents()).chain(docs::documents()) {
        document.merge(route.into_document());
    }
    web::complete(&mut document, admin.token_required());
    house = match &*systems {
        all if all.iter().any(|system| system.path == "/") => house,
        [system] => house.merge(redirect(system.path)),
        _ => house.merge(index(Frame::new("Concurrency lab", nav, "/").of_server(links, admin))),
    };
    let kinds = problems::of(systems);
    let reference = Reference::new(systems, &process.telemetry.house().described(), &kinds, &document);
    house = house
        .merge(health.routes())
        .merge(audit(&sheets))
        .merge(reference.route())
        .merge(problems::routes(kinds))
        .merge(docs::routes())
        .merge(web::openapi(&document).context("writing the OpenAPI document")?);
    let house = web::traced(process.telemetry.tracing(), house);
    let uncounted = endpoints.merge(web::scrape(process.telemetry, metrics));
    Ok(metrics.count_requests(house).merge(metrics.count_wrong_methods(uncounted)))
}

/// The navigation of every page: what this server has. One system alone needs none.
fn nav(systems: &[System]) -> Arc<[NavItem]> {
    let item = |system: &System| NavItem { label: system.title.into(), href: system.path.into() };
    let shown = || systems.iter().filter(|system| system.in_navigation);
    if shown().count() < 2 { [].into() } else { shown().map(item).collect() }
}

/// What every server has.
const LINKS: [Link; 8] = [
    Link { group: "Look inside", path: "/audit", about: "the balance sheets of all systems" },
    Link { group: "Look inside", path: "/metrics", about: "all metrics, for Prometheus" },
    Link { group: "Look inside", path: "/docs", about: "what all this is, page by page" },
    Link {
        group: "Look inside",
        path: "/docs/reference",
        about: "routes, metrics and variables of this server",
    },
    Link { group: "Server", path: "/openapi.json", about: "every route, its parameters and answers" },
    Link { group: "Server", path: "/healthz", about: "alive" },
    Link { group: "Server", path: "/readyz", about: "ready for work" },
    Link { group: "Server", path: "/version", about: "which build this is" },
];

/// The first page of a server none of whose systems has one at `/`.
#[derive(Template)]
#[template(path = "index.html")]
struct IndexPage {
    frame: Frame,
}

fn index(frame: Frame) -> Router {
    Router::new().route("/", get(async move || Page(IndexPage { frame })))
}

fn redirect(path: &'static str) -> Router {
    Router::new().route("/", get(async move || Redirect::temporary(path)))
}

/// `GET /audit`, all sheets by name, and `GET /NAME/audit`, one.
fn audit(sheets: &Arc<[Sheet]>) -> Router {
    let all = sheets.clone();
    let all = async move || Json(Audit::of(&all));
    (0..sheets.len()).fold(Router::new().route("/audit", get(all)), |router, at| {
        let path = format!("/{}/audit", sheets[at].name);
        let sheets = sheets.clone();
        router.route(&path, get(async move || axum::Json(sheets[at].document())))
    })
}

/// What is served beside the systems' routes and is no document of ours.
fn own_documents() -> [RouteDoc; 3] {
    let route =
        |path: &str, id: &str, about: &str| RouteDoc::new(HttpMethod::Get, path, "server", about).id(id);
    [
        route("/metrics", "metrics", "All metrics, for Prometheus")
            .media("The metrics now", "text/plain")
            .problem(503, "Too many scrapes at a time"),
        route("/docs/reference", "reference", "Routes, metrics and variables of this server")
            .media("The reference", "text/plain"),
        route("/openapi.json", "openapi", "This document").media("OpenAPI 3.1", "application/json"),
    ]
}

fn audit_documents(sheets: &[Sheet]) -> Vec<RouteDoc> {
    let all = RouteDoc::new(HttpMethod::Get, "/audit", "audit", "The balance sheets of all systems, by name")
        .id("audit")
        .answer::<Audit>(200, "The terms now");
    let each = sheets.iter().map(|sheet| {
        let path = format!("/{}/audit", sheet.name);
        let route = RouteDoc::new(HttpMethod::Get, path, "audit", "One balance sheet");
        sheet.documented(route.id(&format!("{}-audit", sheet.name)))
    });
    std::iter::once(all).chain(each).collect()
}
