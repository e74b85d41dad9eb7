//! `lab bench streams`: measures the orchestrator against its bare channel, the cost of recording a chunk, and a very
//! large number of streams.
//!
//! All arms run in this process. Streams do not pause between chunks and processing takes no time, so that only the
//! orchestrator's overhead remains. `cargo bench --profile dist --bench channels` compares the channel with others.

use std::{fmt, time::Duration};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{
    args::{Length, Rounds},
    report::{Aim, BenchReport, Figure, Quantity, Unit},
    stats::paired_ratios,
    stopping::unless_stopped,
    usage::Usage,
};
use crate::{
    app::output::JsonArg,
    bounded,
    config::Allowed as _,
    streams::{Overload, Race},
    telemetry::{Instruments, Telemetry},
};

bounded!(
    /// How many streams the crowd has.
    Crowd: u32 = 1 to 1000000
);

/// How many chunks each producer sends through the bare channel in a round.
const CHUNKS_EACH: u64 = 10_000;
/// How many samples to record in a round.
const SAMPLES: u64 = 2_000_000;
/// The longest pause of a stream in the crowd: on average it emits two chunks in this time.
const CROWD_INTERVAL_MS: u64 = 10_000;

const RATIO: Quantity = Quantity {
    key: "orchestrator_bare_ratio",
    text: "chunks/s, orchestrator / bare channel",
    unit: Unit::Ratio,
    aim: Some(Aim::AtLeast(0.8)),
};
const BARE: Quantity =
    Quantity { key: "bare_chunks_per_second", text: "bare channel", unit: Unit::PerSecond, aim: None };
const WHOLE: Quantity = Quantity {
    key: "orchestrator_chunks_per_second",
    text: "orchestrator",
    unit: Unit::PerSecond,
    aim: None,
};
const RECORDER: Quantity =
    Quantity { key: "recorder_per_chunk_us", text: "recorder", unit: Unit::Microseconds, aim: None };
const INSTRUMENTS: Quantity =
    Quantity { key: "instruments_per_chunk_us", text: "instruments", unit: Unit::Microseconds, aim: None };
const RESIDENT: Quantity =
    Quantity { key: "resident_per_stream_bytes", text: "resident, per stream", unit: Unit::Bytes, aim: None };
const CROWD_RATE: Quantity =
    Quantity { key: "crowd_chunks_per_second", text: "processed", unit: Unit::PerSecond, aim: None };
const LAG_P50: Quantity = Quantity {
    key: "emission_lag_p50_ms",
    text: "actual - intended emission, p50",
    unit: Unit::Milliseconds,
    aim: None,
};
const LAG_P99: Quantity = Quantity {
    key: "emission_lag_p99_ms",
    text: "actual - intended emission, p99",
    unit: Unit::Milliseconds,
    aim: None,
};

/// Arguments of `lab bench streams`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How often to measure each arm
    #[arg(long, default_value = "7", value_name = Rounds::ALLOWED)]
    rounds: Rounds,
    /// How many streams the crowd has
    #[arg(long, default_value = "100000", value_name = Crowd::ALLOWED)]
    crowd: Crowd,
    /// How long to measure the crowd
    #[arg(long = "for", default_value = "10s", value_name = Length::ALLOWED)]
    length: Length,
    #[command(flatten)]
    pub(super) output: JsonArg,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = bench::streams::Setting)]
pub(in crate::app) struct Setting {
    streams: usize,
    workers: usize,
    buffer_size: usize,
    crowd: u32,
    crowd_interval_ms: u64,
    cores: usize,
}

crate::document!(BenchReport<Setting> as "lab/bench-streams/1");

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cores; {} streams, {} workers, buffer of {}, no pauses, no processing time; crowd of {} streams with pauses of 0 to {} ms",
            self.cores, self.streams, self.workers, self.buffer_size, self.crowd, self.crowd_interval_ms
        )
    }
}

/// The chunk sizes to measure.
const SIZES: [(&str, usize); 2] = [("chunks of 1 byte", 1), ("chunks of 1..=1024 bytes", 1_024)];

pub(super) async fn run(args: &Args, stop: &CancellationToken) -> anyhow::Result<BenchReport<Setting>> {
    // With a reader, so that the instruments have their real cost: without one, they record nothing.
    let telemetry = Telemetry::scraped(1_500)?;
    let instruments = telemetry.instruments();
    let mut bare = SIZES.map(|_| Vec::new());
    let mut whole = SIZES.map(|_| Vec::new());
    let (mut recorder_us, mut instruments_us) = (Vec::new(), Vec::new());
    for round in 0..args.rounds.get() {
        for (at, (_, chunk_size_bytes)) in SIZES.iter().enumerate() {
            let race = Race { chunk_size_bytes: *chunk_size_bytes, ..Race::default() };
            // The order alternates between rounds.
            for arm in [round % 2, (round + 1) % 2] {
                if arm == 0 {
                    let (chunks, took) =
                        unless_stopped(stop, async { Ok(race.buffer(CHUNKS_EACH).await) }).await?;
                    bare[at].push(chunks as f64 / took.as_secs_f64());
                } else {
                    let span = Duration::from_millis(500);
                    let statistics = unless_stopped(stop, race.orchestrator(span, &instruments)).await?;
                    whole[at].push(statistics.throughput());
                }
            }
        }
        let (recorder, instruments) = Race::recording(SAMPLES, &instruments);
        recorder_us.push(recorder.as_secs_f64() * 1e6 / SAMPLES as f64);
        instruments_us.push(instruments.as_secs_f64() * 1e6 / SAMPLES as f64);
    }
    let mut figures = Vec::new();
    for (at, (subject, _)) in SIZES.iter().enumerate() {
        figures.push(Figure::of(subject, BARE, bare[at].iter().copied()));
        figures.push(Figure::of(subject, WHOLE, whole[at].iter().copied()));
        figures.push(Figure::of(subject, RATIO, paired_ratios(&whole[at], &bare[at])));
    }
    figures.push(Figure::of("a chunk", RECORDER, recorder_us));
    figures.push(Figure::of("a chunk", INSTRUMENTS, instruments_us));
    figures.extend(unless_stopped(stop, crowd(args, &instruments)).await?);
    let race = Race::default();
    Ok(BenchReport {
        command: format!(
            "lab bench streams --rounds {} --crowd {} --for {}",
            args.rounds, args.crowd, args.length
        ),
        setting: Setting {
            streams: race.streams,
            workers: race.workers,
            buffer_size: race.buffer_size,
            crowd: args.crowd.get(),
            crowd_interval_ms: CROWD_INTERVAL_MS,
            cores: std::thread::available_parallelism()?.get(),
        },
        figures: figures.into_iter().flatten().collect(),
    })
}

/// Measures very many streams that rarely emit.
async fn crowd(args: &Args, instruments: &Instruments) -> anyhow::Result<[Option<Figure>; 4]> {
    let race = Race {
        streams: args.crowd.get() as usize,
        interval_ms: CROWD_INTERVAL_MS,
        overload: Overload::DropNewest,
        ..Race::default()
    };
    let before = Usage::of(std::process::id())?.resident_bytes;
    let during = tokio::spawn({
        let length = args.length.get();
        async move {
            tokio::time::sleep(length).await;
            Usage::of(std::process::id())
        }
    });
    // A little longer, so that the memory is read while all streams run.
    let span = args.length.get() + Duration::from_millis(500);
    let statistics = race.orchestrator(span, instruments).await?;
    let resident = during.await??.resident_bytes.saturating_sub(before);
    Ok([
        Figure::of("crowd", RESIDENT, [resident as f64 / f64::from(args.crowd.get())]),
        Figure::of("crowd", CROWD_RATE, [statistics.throughput()]),
        Figure::of("crowd", LAG_P50, statistics.emission_lag.p50.ms()),
        Figure::of("crowd", LAG_P99, statistics.emission_lag.p99.ms()),
    ])
}
