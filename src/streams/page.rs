//! The live page: current figures, and forms to change the run.

use askama::Template;
use axum::response::{IntoResponse, Response};

use super::{ledger::ChunkLedger, orchestrator::Streams, overload::Overload, status::Status};
use crate::latency::{Percentiles, Quantile};
use crate::web::{Asset, Figure, Frame, LivePage, Page, Point, run_chart};

/// The script that keeps the page's figures current.
pub(super) const STREAMS_JS: Asset =
    Asset::new("/assets/streams.js", "text/javascript; charset=utf-8", include_str!("assets/streams.js"));

#[derive(Template)]
#[template(path = "streams.html")]
struct StreamsPage {
    frame: Frame,
    live: LivePage,
    status: Status,
    workers_default: usize,
    streams_default: usize,
}

pub(super) fn show(streams: &Streams, frame: Frame, host: &str) -> Response {
    let status = streams.status();
    let config = streams.config();
    let live = LivePage {
        script: STREAMS_JS,
        state: status.state,
        figures: figures(&status),
        chart: chart(streams),
        host: host.to_owned(),
    };
    let (workers_default, streams_default) = (config.workers, config.streams);
    Page(StreamsPage { frame, live, status, workers_default, streams_default }).into_response()
}

/// A chart of the run so far: chunks in the buffer, and chunks dropped each second.
pub(super) fn chart(streams: &Streams) -> String {
    let points = streams.history();
    let at = |point: &Point<ChunkLedger>| point.at.as_secs_f64();
    let queued = points.iter().map(|point| (at(point), point.seen.queued as f64)).collect();
    let dropped = points
        .windows(2)
        .map(|pair| {
            let dropped = pair[1].seen.dropped.saturating_sub(pair[0].seen.dropped) as f64;
            (at(&pair[1]), dropped / (at(&pair[1]) - at(&pair[0])).max(f64::EPSILON))
        })
        .collect();
    let lines = [("in the buffer", queued), ("dropped a second", dropped)];
    run_chart("Chunks in the buffer, and dropped a second", "chunks", lines)
}

fn figures(status: &Status) -> Vec<Figure> {
    let run = status.run.as_ref();
    let ledger = run.map(|run| run.ledger).unwrap_or_default();
    let percentile = |read: fn(&Percentiles) -> Quantile| match run.map(|run| read(&run.latency.offered)) {
        Some(Quantile::Value(value)) => format!("{:.1} ms", value.as_secs_f64() * 1e3),
        Some(none) => none.to_string(),
        None => "none".to_owned(),
    };
    let good = run.and_then(|run| run.good.good_rate);
    vec![
        Figure::new("good", "good: share within the objective", good.map_or("none".to_owned(), percent)),
        Figure::new(
            "rate",
            "processed a second, over the run",
            run.map_or("0.0".to_owned(), |run| format!("{:.1}", run.processed_per_second)),
        ),
        Figure::new("queued", "in the buffer", format!("{} of {}", ledger.queued, status.buffer_size)),
        Figure::new("busy", "workers busy", format!("{} of {}", ledger.in_progress, status.workers_count)),
        Figure::new("p50", "p50 over all generated", percentile(|offered| offered.p50)),
        Figure::new("p95", "p95 over all generated", percentile(|offered| offered.p95)),
        Figure::new("p99", "p99 over all generated", percentile(|offered| offered.p99)),
        Figure::new("dropped", "dropped", ledger.dropped),
        Figure::new("processed", "processed", ledger.processed),
        Figure::new("generated", "generated", ledger.generated),
        Figure::new("streams", "generated streams", status.streams_count),
        Figure::new("peers", "streams from outside", status.peers),
    ]
}

/// Cut, not rounded: 99.996 % must not read as all.
fn percent(fraction: f64) -> String {
    format!("{:.2} %", (fraction * 1e4).floor() / 1e2)
}
