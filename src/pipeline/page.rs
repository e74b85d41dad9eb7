//! The live page: current figures, and forms to change the run.

use askama::Template;
use axum::response::{IntoResponse, Response};

use super::{
    scaling::PolicyName,
    status::{Moment, Status},
};
use crate::web::{Asset, Event, Figure, Frame, LivePage, Page, Point, run_chart};

/// The script that keeps the page's figures current.
pub(super) const PIPELINE_JS: Asset =
    Asset::new("/assets/pipeline.js", "text/javascript; charset=utf-8", include_str!("assets/pipeline.js"));

#[derive(Template)]
#[template(path = "pipeline.html")]
struct PipelinePage {
    frame: Frame,
    live: LivePage,
    log: String,
}

pub(super) fn show(
    status: &Status,
    history: &[Point<Moment>],
    log: &[String],
    frame: Frame,
    host: &str,
) -> Response {
    let live = LivePage {
        script: PIPELINE_JS,
        state: status.state,
        figures: figures(status),
        chart: chart(history),
        host: host.to_owned(),
    };
    Page(PipelinePage { frame, live, log: log.join("\n") }).into_response()
}

/// The events that the page gets each second beside the status.
pub(super) fn events(history: &[Point<Moment>], log: &[String]) -> Vec<Event> {
    vec![Event { name: "chart", data: chart(history) }, Event { name: "log", data: log.join("\n") }]
}

fn figures(status: &Status) -> Vec<Figure> {
    let ledger = &status.ledger;
    let workers = format!("{} of {} to {}", status.workers, status.min_workers, status.max_workers);
    vec![
        Figure::new("backlog", "backlog", ledger.backlog),
        Figure::new("workers", "workers", workers),
        Figure::new("in_progress", "in progress", ledger.in_progress),
        Figure::new("queued", "queued", format!("{} of {}", ledger.queued, status.queue_capacity)),
        Figure::new("retrying", "waiting for a retry", ledger.retrying),
        Figure::new("succeeded", "succeeded", ledger.succeeded),
        Figure::new("permanently_failed", "failed for good", ledger.permanently_failed),
        Figure::new("policy", "policy", status.policy),
        Figure::new("rate", "load", status.rate),
    ]
}

/// A chart of the run so far.
fn chart(history: &[Point<Moment>]) -> String {
    let line = |value: fn(&Moment) -> f64| {
        history.iter().map(|point| (point.at.as_secs_f64(), value(&point.seen))).collect()
    };
    let lines = [
        ("backlog", line(|moment| moment.backlog as f64)),
        ("workers", line(|moment| f64::from(moment.workers))),
    ];
    run_chart("Backlog and workers", "jobs, workers", lines)
}
