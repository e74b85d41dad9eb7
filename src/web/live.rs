//! The page of a system that starts, runs, drains and stops.
//!
//! A system returns what its page shows now, as a [`LivePage`]; layout and updates are the same for all systems. All
//! texts are made here, on the server, so the page as first shown and the updates that `run.js` applies each second
//! cannot differ.
//!
//! ```text
//!   LivePage ──template──> the page      RunCharts ──> strips, at first and when `charts.js` asks
//!       └──────Now─────> each second, to all viewers
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::http::HeaderMap;
use axum::response::IntoResponse as _;
use axum::routing::get;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::openapi::HttpMethod;

use super::asset::{CHARTS_JS, LIVE_JS, RUN_JS};
use super::clock::Clock;
use super::field::{Control, Field};
use super::figure::Figure;
use super::lifecycle::RunState;
use super::runnable::{BrowserView, Runnable, with_view};
use super::timeline::RunCharts;
use super::{Event, Frame, Page, RouteDoc, Shared, System};
use crate::output::Document as _;

/// A system that has a page of its own.
pub trait Live: Runnable {
    /// What its page shows now.
    fn live(&self) -> LivePage;

    /// The run in progress, or the last one.
    fn charts(&self) -> RunCharts;
}

/// The charts, with the changes of the run.
fn charts_of<L: Live>(watched: &L) -> RunCharts {
    watched.charts().marked(watched.lifecycle().changes(), &watched.live().fields)
}

/// Gives `system` the routes of `watched`, its page, and their part of the OpenAPI document.
pub fn live<L: Live>(system: System, watched: &L) -> System {
    let (shown, told, charted) = (watched.clone(), watched.clone(), watched.clone());
    let page = move |frame: Frame, host: &str| {
        let (clock, live, charts) = (clock(&shown), shown.live(), charts_of(&shown));
        Page(Rendered { frame, live, clock, charts, host: host.to_owned() }).into_response()
    };
    let events = move || vec![Event { name: "page", data: told.live().now(&clock(&told)) }];
    let charts =
        Shared::new("application/json", move || Ok(serde_json::to_string(&charts_of(&charted).named())?));
    let (charts, path) = (Arc::new(charts), format!("{}/charts", system.path));
    let about = "The run so far, from its start: points, and the pictures made of them";
    let document = RouteDoc::new(HttpMethod::Get, path.clone(), system.name, about)
        .id(&format!("{}-charts", system.name))
        .answer::<RunCharts>(200, "The charts now")
        .problem(503, "As many readers are being answered as may be at a time")
        .into_document();
    let system = system.openapi(document).views(move |_| {
        let answer = async move |headers: HeaderMap| charts.answer(&headers).await;
        Router::new().route(&path, get(answer))
    });
    with_view(system, watched, BrowserView { page: Box::new(page), events: Box::new(events) })
}

/// The state of the run, and its times.
fn clock<R: Runnable>(watched: &R) -> Clock {
    let lifecycle = watched.lifecycle();
    Clock::of(lifecycle.state(), lifecycle.times(), Instant::now())
}

/// What a system's page shows now.
#[derive(Clone, Debug)]
pub struct LivePage {
    /// What the system is, in a sentence or two.
    pub lead: String,
    /// The headline figure first, then the losses.
    pub verdict: Vec<Figure>,
    /// Its balance sheet: of each equation the left side first, then its terms.
    pub balance: Vec<Vec<Figure>>,
    /// Further figures.
    pub more: Vec<Figure>,
    /// Its settings.
    pub fields: Vec<Field>,
    /// The summary for screen readers.
    pub spoken: String,
    /// The last lines of its log, if it keeps one.
    pub log: Option<Vec<String>>,
    /// An example body of its `PATCH`.
    pub change: &'static str,
    /// Further shell commands; `HOST` is replaced by this server's address.
    pub shell: Vec<&'static str>,
}

/// What is sent to the page each second.
#[derive(Debug, Serialize)]
struct Now<'a> {
    clock: &'a Clock,
    figures: BTreeMap<&'static str, &'a Figure>,
    fields: BTreeMap<&'static str, Shown>,
    spoken: &'a str,
    log: Option<String>,
}

/// A setting as its input takes it, and as text.
#[derive(Debug, Serialize)]
struct Shown {
    value: String,
    text: String,
}

/// The page as HTML.
#[derive(Debug, Template)]
#[template(path = "live.html")]
struct Rendered {
    frame: Frame,
    live: LivePage,
    clock: Clock,
    charts: RunCharts,
    /// The host in the page's address.
    host: String,
}

impl LivePage {
    /// What is sent to the page's script, as JSON.
    fn now(&self, clock: &Clock) -> String {
        let figures = self.verdict.iter().chain(self.balance.iter().flatten()).chain(&self.more);
        let shown = |field: &Field| Shown { value: field.value.clone(), text: field.text().into_owned() };
        let now = Now {
            clock,
            figures: figures.map(|figure| (figure.name, figure)).collect(),
            fields: self.fields.iter().map(|field| (field.name, shown(field))).collect(),
            spoken: &self.spoken,
            log: self.log.as_ref().map(|lines| lines.join("\n")),
        };
        // Texts and numbers can always be written.
        serde_json::to_string(&now).unwrap_or_default()
    }
}

impl Rendered {
    fn scripts(&self) -> [String; 3] {
        [LIVE_JS, CHARTS_JS, RUN_JS].map(|script| script.href())
    }

    /// The second of the left edge of its charts, since the start of the run.
    fn first_second(&self) -> u64 {
        let places = self.charts.columns.iter().flat_map(|column| column.points.values()).map(Vec::len).max();
        self.charts.second.saturating_sub(places.unwrap_or_default() as u64)
    }

    fn strip(&self, row: &str) -> &str {
        self.charts.columns.first().and_then(|column| column.strips.get(row)).map_or("", String::as_str)
    }

    /// The label of the start/stop button in a state.
    fn button(&self, state: &RunState) -> &'static str {
        match state {
            RunState::Idle => "Start",
            RunState::Running => "Stop and drain",
            RunState::Draining => "Draining",
        }
    }

    /// The hint beside the settings in a state.
    fn hint(&self, state: &RunState) -> &'static str {
        match state {
            RunState::Idle => "The next start uses these settings.",
            RunState::Running => {
                "These can be changed while it runs; the greyed ones take effect at a start."
            }
            RunState::Draining => "They can be changed after the drain.",
        }
    }

    fn is_idle(&self) -> bool {
        self.clock.state == RunState::Idle
    }

    /// Whether a field can be set in the state of the run.
    fn is_settable(&self, field: &Field) -> bool {
        match self.clock.state {
            RunState::Idle => true,
            RunState::Running => field.while_running,
            RunState::Draining => false,
        }
    }

    fn commands(&self) -> Vec<String> {
        self.live.shell.iter().map(|line| line.replace("HOST", &self.host)).collect()
    }
}
