//! What the live page shows: how the run does, its balance, its settings.

use super::{
    config::Config,
    ledger::Reason,
    orchestrator::Streams,
    overload::Overload,
    ranges::{BufferSize, ChunkSize, NoisyFactor, StreamInterval, StreamsCount, WorkersCount},
    stats::RunReport,
    status::Status,
};
use crate::{
    latency::{DurationText, Percentiles, Quantile},
    web::{
        Control, Field, Figure, LivePage, RunState,
        reading::{count, percent, rate},
    },
};

pub(super) fn live(streams: &Streams) -> LivePage {
    let status = streams.status();
    let now = match status.state {
        RunState::Idle => None,
        RunState::Running | RunState::Draining => {
            streams.timeline().rates(|ledger| ledger.processed).into_iter().flatten().last()
        }
    };
    LivePage {
        lead: "Many streams, one bounded buffer, a pool of workers. A chunk that does not fit is dropped and counts as \
               infinitely slow."
            .to_owned(),
        verdict: verdict(&status, now),
        balance: balance(&status, streams.settings().workers),
        more: more(&status),
        fields: fields(streams),
        spoken: spoken(&status),
        log: None,
        change: r#"{"workers_count":20}"#,
        shell: vec![r"printf 'one\ntwo\n' | curl -s -T - -X POST http://HOST/streams/in/mine"],
    }
}

/// `now`: chunks processed a second, while it runs.
fn verdict(status: &Status, now: Option<f64>) -> Vec<Figure> {
    let run = status.run.as_ref();
    let good = run.and_then(|run| run.good.good_rate);
    let objective = run.map_or_else(
        || "the objective".to_owned(),
        |run| DurationText(std::time::Duration::from_secs_f64(run.slo_ms / 1e3)).to_string(),
    );
    let lost = run.map_or(0, |run| run.ledger.dropped);
    let share = run.filter(|_| lost > 0).map_or_else(String::new, |run| {
        format!(": {} of all generated", percent(lost as f64 / run.ledger.generated.max(1) as f64))
    });
    let percentile = |name, read: fn(&Percentiles) -> Quantile| {
        let text = run.map_or_else(|| "–".to_owned(), |run| read(&run.latency.offered).to_string());
        Figure::new(name, format!("{name} over all generated"), text)
    };
    let processed = match now {
        Some(now) => Figure::new("rate", "processed a second, now", rate(now)),
        None => {
            let mean = run.map_or_else(|| "–".to_owned(), |run| rate(run.processed_per_second));
            Figure::new("rate", "processed a second, over the run", mean)
        }
    };
    vec![
        Figure::good("good", format!("good: processed within {objective}"), good),
        Figure::loss("lost", format!("dropped{share}"), lost),
        percentile("p50", |offered| offered.p50),
        percentile("p95", |offered| offered.p95),
        percentile("p99", |offered| offered.p99),
        processed,
        queued(status),
    ]
}

/// How full the buffer is.
fn queued(status: &Status) -> Figure {
    let queued = status.run.as_ref().map_or(0, |run| run.ledger.queued);
    Figure::of("queued", "in the buffer", queued, status.buffer_size as u64, "").full_is_bad()
}

/// `workers`: the size of the pool, in the run that has ended too.
fn balance(status: &Status, workers: usize) -> Vec<Vec<Figure>> {
    let ledger = status.run.as_ref().map(|run| run.ledger).unwrap_or_default();
    let busy = Figure::of("busy", "in progress, of the workers", ledger.in_progress, workers as u64, "");
    let reasons =
        Reason::ALL.map(|reason| Figure::loss(reason.label(), reason.words(), ledger.dropped_by.of(reason)));
    let dropped = || Figure::loss("dropped", "dropped", ledger.dropped);
    vec![
        vec![
            Figure::count("generated", "generated", ledger.generated),
            Figure::count("processed", "processed", ledger.processed),
            dropped(),
            queued(status),
            busy,
        ],
        std::iter::once(dropped()).chain(reasons).collect(),
    ]
}

fn more(status: &Status) -> Vec<Figure> {
    let run = status.run.as_ref();
    let beside = run.and_then(|run| run.neighbours).map_or_else(
        || "no noisy stream".to_owned(),
        |beside| format!("{} of {}", count(beside.processed), count(beside.generated)),
    );
    let p95 = |read: fn(&RunReport) -> Percentiles| {
        run.map_or_else(|| "–".to_owned(), |run| read(run).p95.to_string())
    };
    let listening = status.listening.map_or_else(|| "no".to_owned(), |addr| addr.to_string());
    vec![
        Figure::count("streams", "generated streams", status.streams_count as u64),
        Figure::count("peers", "streams from outside, connected", status.peers as u64),
        Figure::new("listening", "listens for streams over TCP", listening),
        Figure::new("processing", "sink", &status.sink),
        Figure::new("queue_wait", "p95 of the wait in the buffer", p95(|run| run.queue_wait)),
        Figure::new("emission_lag", "p95 of the generators' own lateness", p95(|run| run.emission_lag)),
        Figure::new("beside", "processed of the chunks of the streams beside the noisy one", beside),
    ]
}

fn fields(streams: &Streams) -> Vec<Field> {
    let config = streams.settings();
    let unbounded = config.unbounded;
    let number = |name, label, value: String, (min, max), unit, while_running| Field {
        name,
        label,
        value,
        control: Control::Number { min, max, unit },
        while_running,
    };
    let Config { workers, streams: count, interval_ms, chunk_size_bytes, buffer_size, .. } = &config;
    vec![
        number(
            "workers_count",
            "Workers",
            workers.to_string(),
            (WorkersCount::MIN, WorkersCount::most(unbounded)),
            "",
            true,
        ),
        number(
            "streams_count",
            "Streams",
            count.to_string(),
            (StreamsCount::MIN, StreamsCount::most(unbounded)),
            "",
            true,
        ),
        number(
            "stream_interval",
            "Longest pause",
            interval_ms.to_string(),
            (StreamInterval::MIN, StreamInterval::most(unbounded)),
            "ms",
            false,
        ),
        number(
            "chunk_size",
            "Longest chunk",
            chunk_size_bytes.to_string(),
            (ChunkSize::MIN, ChunkSize::most(unbounded)),
            "bytes",
            false,
        ),
        number(
            "buffer_size",
            "Buffer",
            buffer_size.to_string(),
            (BufferSize::MIN, BufferSize::most(unbounded)),
            "",
            false,
        ),
        Field {
            name: "overload",
            label: "When full",
            value: config.overload.to_string(),
            control: Control::Choice(Overload::ALL.map(Overload::label).to_vec()),
            while_running: false,
        },
        number(
            "noisy_factor",
            "Noisy stream, times as often",
            config.noisy_factor.to_string(),
            (NoisyFactor::MIN.into(), NoisyFactor::MAX.into()),
            "",
            false,
        ),
    ]
}

fn spoken(status: &Status) -> String {
    let Some(run) = &status.run else { return "nothing was generated yet".to_owned() };
    let good = run
        .good
        .good_rate
        .map_or_else(|| "nothing has ended".to_owned(), |share| format!("{} good", percent(share)));
    format!(
        "{good}, {} dropped, {} of {} places taken, p95 {}",
        count(run.ledger.dropped),
        count(run.ledger.queued),
        count(status.buffer_size as u64),
        run.latency.offered.p95
    )
}
