//! The plain live view: what flows now, and the handles on it.

use askama::Template;
use axum::response::{IntoResponse, Response};

use super::{
    scaling::PolicyName,
    service::{Phase, Service, Status},
};
use crate::web::{
    Asset, Event, Frame, LIVE_JS, Page,
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
    phase: &'static str,
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

pub(super) fn show(service: &Service, frame: Frame, host: &str) -> Response {
    let status = service.status();
    let page = PipelinePage {
        frame,
        scripts: [LIVE_JS.href(), PIPELINE_JS.href()],
        phase: status.phase.label(),
        idle: status.phase == Phase::Idle,
        running: status.phase == Phase::Running,
        figures: figures(&status),
        policies: PolicyName::ALL,
        chart: chart(service),
        log: service.pipeline().recent().join("\n"),
        host: host.to_owned(),
    };
    Page(page).into_response()
}

/// What those who watch get each second.
pub(super) fn picture(service: &Service) -> Vec<Event> {
    let status = serde_json::to_string(&service.status()).unwrap_or_default();
    let log = service.pipeline().recent().join("\n");
    vec![
        Event { name: "status", data: status },
        Event { name: "chart", data: chart(service) },
        Event { name: "log", data: log },
    ]
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

/// The last checks as a picture.
fn chart(service: &Service) -> String {
    let trail = service.pipeline().trail();
    let series = |name: &str, value: fn(&(f64, u32, u64)) -> f64| Series {
        name: name.to_owned(),
        mark: Mark::Step,
        points: trail.iter().map(|check| (check.0, value(check))).collect(),
    };
    let chart = Chart {
        title: "Backlog and workers at the last checks".to_owned(),
        x_label: "seconds".to_owned(),
        y_label: "jobs, workers".to_owned(),
        x_text: plain,
        series: vec![
            series("backlog", |check| check.2 as f64),
            series("workers", |check| f64::from(check.1)),
        ],
        threshold: None,
    };
    chart.svg()
}
