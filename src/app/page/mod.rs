//! The HTTP lab's page, at `/`: see it happen, with the levers in reach.
//!
//! ```text
//!   HttpLab ──flow──────────┐
//!      │ last minutes       ├──> Events: one stream for all viewers ──> the page
//!   BuiltInLoad ──> Watch ──┘        └ once a second; then the page fetches the charts
//! ```
//!
//! | route | answer |
//! |---|---|
//! | `GET /` | what the page shows, as JSON; the page with `Accept: text/html`, its events with `text/event-stream` |
//! | `GET /view` | what the page shows, as JSON; `GET /view/csv`, as CSV |
//! | `GET /view/charts` | the last five minutes: points, and the pictures made of them |
//! | `GET /view/curve` | how long B takes, as a curve; with `service_b_latency`, of another distribution |
//! | `GET /view/flow` | the requests that are shown as dots now, from which the events go on |
//!
//! What all viewers see is made once. The page invents nothing: a figure is measured or is not there, with the reason.

mod charts;
mod csv;
mod curve;
mod expected;
mod figures;
mod known;
mod last_run;
mod levers;
pub mod load;
mod slowing;
mod stories;
pub mod telling;
mod view;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use utoipa::openapi::{HttpMethod, OpenApi};

pub use self::charts::Charts;
pub use self::curve::Curve;
use self::curve::{Curves, Times};
use self::levers::Lever;
use self::load::{Arrivals, Burst, LoadRate};
use self::stories::Story;
use self::telling::Stories;
pub use self::view::View;
pub use self::watch::Watch;
use crate::config::Allowed as _;
use crate::http_lab::{EndpointStatus, Slower, Snapshot, TriggerMs};
use crate::latency::DurationText;
use crate::output::Document as _;
use crate::shutdown::Shutdown;
use crate::sim::Profile;
use crate::web::{
    Asset, CHARTS_JS, Event, Events, Frame, Json, LIVE_JS, Page, Query, RouteDoc, RunState, Runnable as _,
    Shared, System, assets,
};

/// How often the steps of requests are sent.
const FLOW_EVERY: Duration = Duration::from_millis(250);

/// When a reader is refused.
const TOO_MANY: &str = "As many readers are being answered as may be at a time, or as many viewers watch";

const CSS: Asset =
    Asset::new("/assets/lab-page.css", "text/css; charset=utf-8", include_str!("assets/lab-page.css"));

/// A script of the page.
macro_rules! script {
    ($name:literal) => {
        Asset::new(
            concat!("/assets/", $name),
            "text/javascript; charset=utf-8",
            include_str!(concat!("assets/", $name)),
        )
    };
}

/// The page's own scripts, in the order in which they are read.
const SCRIPTS: [Asset; 9] = [
    script!("ghost.js"),
    script!("curve.js"),
    script!("flow.js"),
    script!("forms.js"),
    script!("load.js"),
    script!("levers.js"),
    script!("stories.js"),
    script!("address.js"),
    script!("lab-page.js"),
];

#[derive(Template)]
#[template(path = "lab-page.html")]
struct LabPage {
    frame: Frame,
    columns: Vec<EndpointStatus>,
    load: load::Status,
    slo_text: String,
    real_b: bool,
    levers: Vec<(&'static str, Vec<Lever>)>,
    curve: Arc<Curve>,
    stories: Vec<Story>,
    host: String,
}

impl LabPage {
    fn scripts(&self) -> Vec<String> {
        [LIVE_JS, CHARTS_JS].iter().chain(&SCRIPTS).map(Asset::href).collect()
    }

    /// Whether the strategy at this path is sent load.
    fn gets_load(&self, path: &str) -> bool {
        self.load.settings.strategies.iter().any(|sent| sent == path)
    }

    fn css(&self) -> String {
        CSS.href()
    }
}

#[derive(Clone)]
struct Shown {
    watch: Watch,
    stories: Stories,
    events: Events,
    view: Arc<Shared>,
    csv: Arc<Shared>,
    charts: Arc<Shared>,
    flow: Arc<Shared>,
    curves: Arc<Curves>,
    frame: Frame,
}

/// Gives the HTTP lab's system its page.
pub fn on(system: System, watch: &Watch, stories: &Stories, process: &Shutdown) -> System {
    let (watch, stories, process) = (watch.clone(), stories.clone(), process.clone());
    system.openapi(document()).views(move |frame| {
        let own = assets(&[CSS]).merge(assets(&SCRIPTS));
        // However many ask at the same moment, each of these is made once.
        let json = "application/json";
        let of = |kind, make: fn(&Watch) -> anyhow::Result<String>| {
            let watch = watch.clone();
            Arc::new(Shared::new(kind, move || make(&watch)))
        };
        let shown = Shown {
            events: events(&watch, &stories, process),
            view: of(json, |watch| Ok(serde_json::to_string(&View::of(watch).named())?)),
            csv: of("text/csv; charset=utf-8", |watch| Ok(csv::table(&View::of(watch)))),
            charts: of(json, |watch| Ok(serde_json::to_string(&Charts::of(watch).named())?)),
            flow: of(json, |watch| Ok(serde_json::to_string(&watch.lab().flow().snapshot().named())?)),
            curves: Arc::default(),
            watch,
            stories,
            frame,
        };
        let shared = [
            ("/view", &shown.view),
            ("/view/csv", &shown.csv),
            ("/view/charts", &shown.charts),
            ("/view/flow", &shown.flow),
        ];
        shared
            .into_iter()
            .fold(
                Router::new().route("/", get(page)).route("/view/curve", get(show_curve)),
                |router, (path, shared)| {
                    let shared = shared.clone();
                    router.route(path, get(async move |headers: HeaderMap| shared.answer(&headers).await))
                },
            )
            .with_state(shown)
            .merge(own)
    })
}

/// Steps of requests each time, and the figures whenever a second has passed.
fn events(watch: &Watch, stories: &Stories, process: Shutdown) -> Events {
    let (watch, stories) = (watch.clone(), stories.clone());
    let last = AtomicU64::new(u64::MAX);
    Events::new(FLOW_EVERY, process, move || {
        let flow = serde_json::to_string(&watch.lab().flow().tick()).unwrap_or_default();
        let mut events = vec![Event { name: "flow", data: flow }];
        let (second, _) = watch.end();
        if last.swap(second, Relaxed) != second {
            let view = serde_json::to_string(&View::of(&watch).named()).unwrap_or_default();
            events.push(Event { name: "view", data: view });
            let story = serde_json::to_string(&stories.status().named()).unwrap_or_default();
            events.push(Event { name: "story", data: story });
        }
        events
    })
}

async fn page(State(shown): State<Shown>, headers: HeaderMap, uri: Uri) -> Response {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let accept = text(header::ACCEPT).unwrap_or_default();
    let mut response = if accept.contains("text/event-stream") {
        shown.events.answer()
    } else if !accept.contains("text/html") {
        shown.view.answer(&headers).await
    } else {
        let frame = shown.frame.clone().for_request(&headers, &uri);
        let lab = shown.watch.lab();
        let real_services = lab.real_services();
        Page(LabPage {
            frame,
            columns: lab.endpoints_now(),
            load: shown.watch.load().status(),
            slo_text: DurationText(shown.watch.slo()).to_string(),
            real_b: real_services[1],
            levers: levers::of(&lab.settings(), real_services),
            curve: shown.curves.of(&lab.settings(), shown.watch.slo()),
            stories: shown.stories.all().to_vec(),
            host: text(header::HOST).unwrap_or("127.0.0.1:8080").to_owned(),
        })
        .into_response()
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    response
}

/// Which curve to draw.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CurveQuery {
    service_b_latency: Option<Profile>,
}

async fn show_curve(
    State(shown): State<Shown>,
    Query(CurveQuery { service_b_latency }): Query<CurveQuery>,
) -> Json<Curve> {
    let (settings, slo) = (shown.watch.lab().settings(), shown.watch.slo());
    Json(match service_b_latency {
        Some(profile) => Curve::of(&profile, Times::of(&settings, slo)),
        None => (*shown.curves.of(&settings, slo)).clone(),
    })
}

fn document() -> OpenApi {
    let route = |path: &str, id: &str, about| RouteDoc::new(HttpMethod::Get, path, "lab", about).id(id);
    let page = route(
        "/",
        "page",
        "What the page shows: as JSON, as the page (Accept: text/html), or as server-sent events (Accept: text/event-stream)",
    );
    [
        page.answer::<View>(200, "What the page shows now").problem(503, TOO_MANY),
        route("/view", "view", "What the page shows")
            .answer::<View>(200, "What the page shows now")
            .problem(503, TOO_MANY),
        route("/view/csv", "view-csv", "What the page shows, a line for each strategy and window")
            .media("The figures", "text/csv")
            .problem(503, TOO_MANY),
        route("/view/charts", "view-charts", "The last five minutes: points, and the pictures made of them")
            .answer::<Charts>(200, "The charts now")
            .problem(503, TOO_MANY),
        route(
            "/view/curve",
            "view-curve",
            "How long service B takes, as a curve drawn from its distribution",
        )
        .parameter("service_b_latency", Profile::ALLOWED)
        .answer::<Curve>(200, "The curve of what is set, or of what was asked for")
        .problem(400, "No distribution, or one that reads a file"),
        route("/view/flow", "view-flow", "The requests that are shown as dots now")
            .answer::<Snapshot>(200, "The dots now")
            .problem(503, TOO_MANY),
    ]
    .into_iter()
    .map(RouteDoc::into_document)
    .reduce(OpenApi::merge_from)
    .unwrap_or_default()
}
