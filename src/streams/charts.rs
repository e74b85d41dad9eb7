//! The charts of a run: the buffer, latency over time, what was dropped.

use tokio::time::Instant;

use super::{
    ledger::{ChunkLedger, Reason},
    orchestrator::Streams,
};
use crate::{
    latency::milliseconds,
    web::{
        charts::{ChartLine, Reads},
        strip::Role,
        timeline::{Panel, RunCharts, Series, Timeline},
    },
};

pub(super) fn of(streams: &Streams) -> RunCharts {
    let timeline = streams.timeline();
    let panels = vec![buffer(streams, &timeline), latency(streams, &timeline), dropped(&timeline)];
    RunCharts::of("/streams", &timeline, panels)
}

fn series(
    name: &'static str,
    label: &'static str,
    role: Role,
    reads: Reads,
    values: Vec<Option<f64>>,
) -> Series {
    Series { line: ChartLine { name, label, role, reads }, values }
}

fn buffer(streams: &Streams, timeline: &Timeline<ChunkLedger>) -> Panel {
    let capacity = streams.settings().buffer_size as f64;
    let queued = timeline.values(|ledger| Some(ledger.queued as f64));
    Panel {
        name: "buffer",
        title: "In the buffer",
        unit: "chunks",
        series: vec![
            series("queued", "chunks", Role::Plain, Reads::Count, queued),
            series("capacity", "capacity", Role::Level, Reads::Count, timeline.values(|_| Some(capacity))),
        ],
    }
}

fn latency(streams: &Streams, timeline: &Timeline<ChunkLedger>) -> Panel {
    let over_time = streams.run().map(|run| run.over_time());
    let now = Instant::now();
    let percentile =
        |q: f64| timeline.by_second(|end| over_time.as_ref()?.percentile(q, end, now).map(milliseconds));
    let objective = streams.settings().slo_ms as f64;
    Panel {
        name: "latency",
        title: "Latency over all generated",
        unit: "ms",
        series: vec![
            series("p50", "p50", Role::Second, Reads::Time, percentile(0.5)),
            series("p95", "p95", Role::Plain, Reads::Time, percentile(0.95)),
            series("p99", "p99", Role::Third, Reads::Time, percentile(0.99)),
            series("objective", "objective", Role::Level, Reads::Time, timeline.values(|_| Some(objective))),
        ],
    }
}

/// A line for each reason that there was, or one for all if there was none.
fn dropped(timeline: &Timeline<ChunkLedger>) -> Panel {
    let rates = |reason: Reason| timeline.rates(move |ledger| ledger.dropped_by.of(reason));
    let roles = [Role::Bad, Role::Second, Role::Third, Role::Plain, Role::Offered];
    let happened = Reason::ALL.into_iter().map(|reason| (reason, rates(reason)));
    let happened = happened.filter(|(_, rates)| rates.iter().flatten().any(|rate| *rate > 0.0));
    let mut lines: Vec<Series> = happened
        .zip(roles)
        .map(|((reason, rates), role)| series(reason.label(), reason.words(), role, Reads::PerSecond, rates))
        .collect();
    if lines.is_empty() {
        let none = timeline.rates(|ledger| ledger.dropped);
        lines.push(series("dropped", "for any reason", Role::Bad, Reads::PerSecond, none));
    }
    Panel { name: "dropped", title: "Dropped", unit: "/s", series: lines }
}
