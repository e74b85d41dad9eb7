//! The plain live view: what flows now, and the handles on it.

use askama::Template;
use axum::response::{IntoResponse, Response};

use super::{
    ledger::Ledger,
    orchestrator::Streams,
    stats::{PercentileMs, Report},
    status::Status,
};
use crate::web::{
    Asset, Frame, LIVE_JS, Page, Point, RunState,
    chart::{Chart, Mark, Series, plain},
};

/// What keeps the page's figures current.
pub(super) const STREAMS_JS: Asset =
    Asset::new("/assets/streams.js", "text/javascript; charset=utf-8", include_str!("assets/streams.js"));

#[derive(Template)]
#[template(path = "streams.html")]
struct StreamsPage {
    frame: Frame,
    scripts: [String; 2],
    status: Status,
    figures: Vec<Figure>,
    idle: bool,
    running: bool,
    chart: String,
    workers_default: usize,
    streams_default: usize,
    host: String,
}

/// One figure: its place in the status is how the script finds its next value.
struct Figure {
    name: &'static str,
    label: &'static str,
    value: String,
}

pub(super) fn show(streams: &Streams, frame: Frame, host: &str) -> Response {
    let status = streams.status();
    let config = streams.config();
    let page = StreamsPage {
        frame,
        scripts: [LIVE_JS.href(), STREAMS_JS.href()],
        figures: figures(&status),
        idle: status.state == RunState::Idle,
        running: status.state == RunState::Running,
        chart: chart(streams),
        status,
        workers_default: config.workers,
        streams_default: config.streams,
        host: host.to_owned(),
    };
    Page(page).into_response()
}

/// The run so far as a picture: what stands in the buffer, and what was dropped each second.
pub(super) fn chart(streams: &Streams) -> String {
    let points = streams.history();
    let at = |point: &Point<Ledger>| point.at.as_secs_f64();
    let queued = points.iter().map(|point| (at(point), point.seen.queued as f64)).collect();
    let dropped = points
        .windows(2)
        .map(|pair| {
            let dropped = pair[1].seen.dropped.saturating_sub(pair[0].seen.dropped) as f64;
            (at(&pair[1]), dropped / (at(&pair[1]) - at(&pair[0])).max(f64::EPSILON))
        })
        .collect();
    let series = |name: &str, points| Series { name: name.to_owned(), mark: Mark::Step, points };
    let chart = Chart {
        title: "Chunks in the buffer, and dropped a second".to_owned(),
        x_label: "seconds since the start".to_owned(),
        y_label: "chunks".to_owned(),
        x_text: plain,
        series: vec![series("in the buffer", queued), series("dropped a second", dropped)],
        threshold: None,
    };
    chart.svg()
}

fn figures(status: &Status) -> Vec<Figure> {
    let run = status.run.as_ref();
    let ledger = run.map(|run| run.ledger).unwrap_or_default();
    let percentile = |read: fn(&Report) -> PercentileMs| match run.map(read) {
        Some(PercentileMs::Ms(ms)) => format!("{ms:.1} ms"),
        Some(PercentileMs::Words(words)) => words.to_owned(),
        None => "none".to_owned(),
    };
    let good = run.and_then(|run| run.good_fraction);
    let figure = |name, label, value| Figure { name, label, value };
    vec![
        figure("good", "good: within the objective, of all", good.map_or("none".to_owned(), percent)),
        figure(
            "rate",
            "processed a second, over the run",
            run.map_or("0.0".to_owned(), |run| format!("{:.1}", run.throughput_chunks_per_s)),
        ),
        figure("queued", "in the buffer", format!("{} of {}", ledger.queued, status.buffer_size)),
        figure("busy", "workers busy", format!("{} of {}", ledger.in_progress, status.workers)),
        figure("p50", "p50 over all generated", percentile(|run| run.latency_ms.offered.p50_ms)),
        figure("p95", "p95 over all generated", percentile(|run| run.latency_ms.offered.p95_ms)),
        figure("p99", "p99 over all generated", percentile(|run| run.latency_ms.offered.p99_ms)),
        figure("dropped", "dropped", ledger.dropped.to_string()),
        figure("processed", "processed", ledger.processed.to_string()),
        figure("generated", "generated", ledger.generated.to_string()),
        figure("streams", "generated streams", status.streams.to_string()),
        figure("peers", "streams from outside", status.peers.to_string()),
    ]
}

/// Cut, not rounded: 99.996 % must not read as all.
fn percent(fraction: f64) -> String {
    format!("{:.2} %", (fraction * 1e4).floor() / 1e2)
}
