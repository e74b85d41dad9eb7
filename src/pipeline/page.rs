//! The plain live view: what flows now, and the handles on it.

use askama::Template;
use axum::response::{IntoResponse, Response};

use super::{
    scaling::PolicyName,
    status::{Moment, Status},
};
use crate::web::{
    Asset, Event, Frame, LIVE_JS, Page, Point, RunState,
    chart::{Chart, Mark, Series, plain},
};

/// What keeps the page's figures current.
pub(super) const PIPELINE_JS: Asset =
    Asset::new("/assets/pipeline.js", "text/javascript; charset=utf-8", include_str!("assets/pipeline.js"));

#[derive(Template)]
#[template(path = "pipeline.html")]
struct PipelinePage {
    frame: Frame,
    scripts: [String; 2],
    state: &'static str,
    idle: bool,
    running: bool,
    figures: Vec<Figure>,
    policies: [PolicyName; 5],
    chart: String,
    log: String,
    host: String,
}

/// One figure: its name is how the script finds its next value.
struct Figure {
    name: &'static str,
    label: &'static str,
    value: String,
}

pub(super) fn show(
    status: &Status,
    history: &[Point<Moment>],
    log: &[String],
    frame: Frame,
    host: &str,
) -> Response {
    let page = PipelinePage {
        frame,
        scripts: [LIVE_JS.href(), PIPELINE_JS.href()],
        state: status.state.label(),
        idle: status.state == RunState::Idle,
        running: status.state == RunState::Running,
        figures: figures(status),
        policies: PolicyName::ALL,
        chart: chart(history),
        log: log.join("\n"),
        host: host.to_owned(),
    };
    Page(page).into_response()
}

/// What the page needs each second beside the status.
pub(super) fn events(history: &[Point<Moment>], log: &[String]) -> Vec<Event> {
    vec![Event { name: "chart", data: chart(history) }, Event { name: "log", data: log.join("\n") }]
}

fn figures(status: &Status) -> Vec<Figure> {
    let ledger = &status.ledger;
    let figure = |name, label, value| Figure { name, label, value };
    let workers = format!("{} of {} to {}", status.workers, status.min_workers, status.max_workers);
    vec![
        figure("backlog", "backlog", ledger.backlog.to_string()),
        figure("workers", "workers", workers),
        figure("running", "in progress", ledger.running.to_string()),
        figure("queued", "queued", format!("{} of {}", ledger.queued, status.queue_capacity)),
        figure("retrying", "waiting for a retry", ledger.retrying.to_string()),
        figure("succeeded", "succeeded", ledger.succeeded.to_string()),
        figure("permanently_failed", "failed for good", ledger.permanently_failed.to_string()),
        figure("policy", "policy", status.policy.to_string()),
        figure("rate", "load", status.rate.to_string()),
    ]
}

/// The run so far as a picture.
fn chart(history: &[Point<Moment>]) -> String {
    let series = |name: &str, value: fn(&Moment) -> f64| Series {
        name: name.to_owned(),
        mark: Mark::Step,
        points: history.iter().map(|point| (point.at.as_secs_f64(), value(&point.seen))).collect(),
    };
    let chart = Chart {
        title: "Backlog and workers".to_owned(),
        x_label: "seconds since the start".to_owned(),
        y_label: "jobs, workers".to_owned(),
        x_text: plain,
        series: vec![
            series("backlog", |moment| moment.backlog as f64),
            series("workers", |moment| f64::from(moment.workers)),
        ],
        threshold: None,
    };
    chart.svg()
}
