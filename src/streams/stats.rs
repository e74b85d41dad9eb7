//! What was measured: histograms in bounded memory, and the statistics read from them.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{
    chunk::{Label, Stream},
    ledger::{ChunkLedger, Reason},
    over_time::OverTime,
    sharded::Sharded,
};
use crate::{
    document,
    latency::{DurationText, Good, Histogram, Outcome, Percentiles, Quantile, Rate, Recent, milliseconds},
};

/// The histograms of one run.
#[derive(Debug)]
pub(super) struct Recorder {
    begun: Instant,
    slo: Duration,
    shards: Sharded<Shard>,
    /// Kept when the first generated stream is a noisy neighbour.
    neighbours: Option<Neighbours>,
}

/// The generated streams beside the noisy one.
#[derive(Debug, Default)]
struct Neighbours {
    generated: AtomicU64,
    processed: AtomicU64,
}

#[derive(Debug)]
struct Shard {
    totals: Totals,
    recent: Recent,
}

#[derive(Debug, Default)]
struct Totals {
    latency: Histogram,
    /// For the mean, which a histogram has to three digits only.
    latency_sum: Duration,
    latency_max: Duration,
    queue_wait: Histogram,
    emission_lag: Histogram,
}

impl Recorder {
    /// The run begins now. `noisy`: whether the first generated stream is a noisy neighbour of the others.
    pub(super) fn new(noisy: bool, slo: Duration) -> Self {
        let neighbours = noisy.then(Neighbours::default);
        let shard = || Shard { totals: Totals::default(), recent: Recent::new(slo) };
        Self { begun: Instant::now(), slo, shards: Sharded::of(shard), neighbours }
    }

    /// Latency over time until now.
    pub(super) fn over_time(&self) -> OverTime {
        let mut recent = Recent::new(self.slo);
        for shard in self.shards.each() {
            recent.add(&shard.recent);
        }
        OverTime { begun: self.begun, recent }
    }

    /// The second of the run in which a chunk was to be emitted.
    fn second(&self, intended: Instant) -> u64 {
        intended.saturating_duration_since(self.begun).as_secs()
    }

    /// A chunk was generated.
    pub(super) fn generated(&self, stream: &Stream, intended: Instant) {
        let second = self.second(intended);
        self.shards.mine().recent.offer(second);
        if let Some(neighbours) = self.neighbours.as_ref().filter(|_| is_neighbour(stream)) {
            neighbours.generated.fetch_add(1, Relaxed);
        }
    }

    /// A worker processed a chunk.
    pub(super) fn processed(
        &self,
        stream: &Stream,
        intended: Instant,
        latency: Duration,
        queue_wait: Duration,
    ) {
        if let Some(neighbours) = self.neighbours.as_ref().filter(|_| is_neighbour(stream)) {
            neighbours.processed.fetch_add(1, Relaxed);
        }
        self.took(self.second(intended), latency, queue_wait);
    }

    fn took(&self, second: u64, latency: Duration, queue_wait: Duration) {
        let mut shard = self.shards.mine();
        let Shard { totals, recent } = &mut *shard;
        recent.end(second, Outcome::Ok, latency);
        totals.latency.record(latency);
        totals.latency_sum = totals.latency_sum.saturating_add(latency);
        totals.latency_max = totals.latency_max.max(latency);
        totals.queue_wait.record(queue_wait);
    }

    /// A generated stream emitted a chunk this long after its intended time.
    pub(super) fn emitted(&self, lag: Duration) {
        self.shards.mine().totals.emission_lag.record(lag);
    }

    fn neighbours(&self) -> Option<Rate> {
        let neighbours = self.neighbours.as_ref()?;
        // The part first: it never exceeds the whole.
        let part = neighbours.processed.load(Relaxed);
        Some(Rate { part, whole: neighbours.generated.load(Relaxed) })
    }

    fn merged(&self) -> Totals {
        let mut all = Totals::default();
        for shard in self.shards.each() {
            let shard = &shard.totals;
            all.latency.merge(&shard.latency);
            all.latency_sum = all.latency_sum.saturating_add(shard.latency_sum);
            all.latency_max = all.latency_max.max(shard.latency_max);
            all.queue_wait.merge(&shard.queue_wait);
            all.emission_lag.merge(&shard.emission_lag);
        }
        all
    }

    /// The statistics now.
    pub(super) fn look(&self, ledger: ChunkLedger, elapsed: Duration, slo: Duration) -> Statistics {
        let Totals { latency, latency_sum, latency_max, queue_wait, emission_lag } = self.merged();
        let mut offered = latency.clone();
        offered.add_infinitely_slow(ledger.dropped);
        let mut processed = Percentiles::from(&latency);
        if processed.n > 0 {
            processed.mean = Quantile::Value(latency_sum.div_f64(processed.n as f64));
            processed.max = Quantile::Value(latency_max);
        }
        Statistics {
            ledger,
            elapsed,
            // Of those in the same histogram: a chunk is recorded before its worker settles it.
            good: Rate { part: latency.within(slo).part, whole: latency.offered() + ledger.dropped },
            slo,
            processed,
            offered: Percentiles::from(&offered),
            queue_wait: Percentiles::from(&queue_wait),
            emission_lag: Percentiles::from(&emission_lag),
            neighbours: self.neighbours(),
        }
    }
}

fn is_neighbour(stream: &Stream) -> bool {
    matches!(stream.label, Label::Number(number) if number > 0)
}

/// The statistics of a run so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// The balance sheet.
    pub ledger: ChunkLedger,
    /// Since the start, until the end of the drain.
    pub elapsed: Duration,
    /// Chunks processed within the objective, out of all that were processed or dropped.
    pub good: Rate,
    /// The objective.
    pub slo: Duration,
    /// From intended emission to completion, of the processed ones.
    pub processed: Percentiles,
    /// The same over all, where a dropped one is infinitely slow.
    pub offered: Percentiles,
    /// From admission to a worker, of the processed ones.
    pub queue_wait: Percentiles,
    /// From intended to actual emission, of generated streams.
    pub emission_lag: Percentiles,
    /// Chunks processed of those generated beside a noisy neighbour, when there is one.
    pub neighbours: Option<Rate>,
}

impl Statistics {
    /// Processed chunks per second.
    pub fn throughput(&self) -> f64 {
        match self.elapsed.as_secs_f64() {
            seconds if seconds > 0.0 => self.ledger.processed as f64 / seconds,
            _ => 0.0,
        }
    }

    /// The final statistics: the counts of processed chunks first, then those with dropped chunks counted in.
    pub fn text(&self) -> String {
        let ledger = &self.ledger;
        format!(
            "=== Final Statistics ===\n\
             Processed: {} chunks\n\
             Dropped: {} chunks\n\
             Elapsed: {}\n\
             Throughput: {:.2} chunks/sec\n\
             Avg Latency: {}\n\
             P50 Latency: {}\n\
             P95 Latency: {}\n\
             P99 Latency: {}\n\
             === Over all generated ===\n\
             Good: {} within {}\n\
             Latency, a drop counting as infinitely slow: p50 {}, p95 {}, p99 {} (n {})\n\
             {}{}Balance: generated {} = processed {} + dropped {} + queued {} + in progress {}{}",
            ledger.processed,
            ledger.dropped,
            elapsed_text(self.elapsed),
            self.throughput(),
            self.processed.mean.value().map_or_else(|| "none".to_owned(), millis_text),
            quantile_text(self.processed.p50),
            quantile_text(self.processed.p95),
            quantile_text(self.processed.p99),
            self.good,
            DurationText(self.slo),
            self.offered.p50,
            self.offered.p95,
            self.offered.p99,
            self.offered.n,
            self.neighbours
                .map_or_else(String::new, |rate| format!("Processed beside the noisy neighbour: {rate}\n")),
            self.reasons(),
            ledger.generated,
            ledger.processed,
            ledger.dropped,
            ledger.queued,
            ledger.in_progress,
            if ledger.balances() { "" } else { " DOES NOT HOLD" },
        )
    }

    /// A line with the reasons of drops, if there were any.
    fn reasons(&self) -> String {
        let by = Reason::ALL.map(|reason| (reason.label(), self.ledger.dropped_by.of(reason)));
        let by =
            by.iter().filter(|(_, chunks)| *chunks > 0).map(|(reason, chunks)| format!("{reason} {chunks}"));
        let by = by.collect::<Vec<_>>().join(", ");
        if by.is_empty() { by } else { format!("Dropped by reason: {by}\n") }
    }

    /// The same for programs.
    pub fn report(&self) -> RunReport {
        RunReport {
            ledger: self.ledger,
            balances: self.ledger.balances(),
            elapsed_ms: milliseconds(self.elapsed),
            processed_per_second: self.throughput(),
            slo_ms: milliseconds(self.slo),
            good: self.good.into(),
            latency: LatencyReport { processed: self.processed, offered: self.offered },
            queue_wait: self.queue_wait,
            emission_lag: self.emission_lag,
            neighbours: self
                .neighbours
                .map(|rate| NeighbourReport { generated: rate.whole, processed: rate.part }),
        }
    }
}

/// The result of `lab streams`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = streams::Report)]
pub struct RunReport {
    /// The terms of the balance.
    #[serde(flatten)]
    pub ledger: ChunkLedger,
    /// Whether they balance.
    pub balances: bool,
    /// Milliseconds since the start, until the end of the drain.
    pub elapsed_ms: f64,
    /// Processed chunks per second.
    pub processed_per_second: f64,
    /// The objective, milliseconds.
    pub slo_ms: f64,
    /// Chunks processed within the objective, out of all that were processed or dropped.
    #[serde(flatten)]
    pub good: Good,
    /// From intended emission to completion.
    pub latency: LatencyReport,
    /// From admission to a worker.
    pub queue_wait: Percentiles,
    /// From intended to actual emission of generated streams.
    pub emission_lag: Percentiles,
    /// The streams beside the noisy one, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neighbours: Option<NeighbourReport>,
}

document!(RunReport as "lab/streams/1");

/// The generated streams beside a noisy neighbour, in chunks.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = streams::NeighbourReport)]
pub struct NeighbourReport {
    /// Generated by them.
    pub generated: u64,
    /// Processed of those.
    pub processed: u64,
}

/// Latency of chunks.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = streams::LatencyReport)]
pub struct LatencyReport {
    /// Of the processed ones.
    pub processed: Percentiles,
    /// Over all generated, a drop counting as infinitely slow.
    pub offered: Percentiles,
}

fn millis_text(duration: Duration) -> String {
    format!("{:.3}ms", duration.as_secs_f64() * 1e3)
}

fn quantile_text(quantile: Quantile) -> String {
    match quantile {
        Quantile::Value(value) => millis_text(value),
        Quantile::NotReached => "not reached".to_owned(),
        Quantile::TooFew { n } => format!("too few chunks ({n})"),
    }
}

/// `1m23s`: a whole number of seconds.
fn elapsed_text(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elapsed_is_written_in_whole_seconds() {
        for (seconds, text) in [(0.4, "0s"), (59.6, "1m0s"), (83.0, "1m23s"), (3_661.0, "1h1m1s")] {
            assert_eq!(elapsed_text(Duration::from_secs_f64(seconds)), text);
        }
    }

    #[test]
    fn a_chunk_that_is_recorded_and_not_settled_yet_makes_no_share_above_one() {
        let recorder = Recorder::new(false, Duration::from_millis(100));
        for _ in 0..30 {
            recorder.took(0, Duration::from_millis(35), Duration::ZERO);
        }
        let ledger = ChunkLedger { generated: 30, processed: 25, in_progress: 5, ..ChunkLedger::default() };
        let now = recorder.look(ledger, Duration::from_secs(1), Duration::from_millis(100));
        assert_eq!(now.good, Rate { part: 30, whole: 30 });
    }

    #[test]
    fn the_final_statistics_keep_their_lines_and_list_the_drops() {
        let recorder = Recorder::new(false, Duration::from_millis(100));
        for _ in 0..900 {
            recorder.took(0, Duration::from_millis(35), Duration::ZERO);
        }
        let mut ledger = ChunkLedger { generated: 1_000, processed: 900, ..ChunkLedger::default() };
        ledger.drop_chunks(super::super::ledger::Reason::Full, 100);
        let statistics = recorder.look(ledger, Duration::from_secs(83), Duration::from_millis(100));
        insta::assert_snapshot!(statistics.text(), @r"
        === Final Statistics ===
        Processed: 900 chunks
        Dropped: 100 chunks
        Elapsed: 1m23s
        Throughput: 10.84 chunks/sec
        Avg Latency: 35.000ms
        P50 Latency: 35.007ms
        P95 Latency: 35.007ms
        P99 Latency: too few chunks (900)
        === Over all generated ===
        Good: 90.00 % (900 of 1000) within 100 ms
        Latency, a drop counting as infinitely slow: p50 35.0 ms, p95 not reached, p99 not reached (n 1000)
        Dropped by reason: full 100
        Balance: generated 1000 = processed 900 + dropped 100 + queued 0 + in progress 0
        ");
    }
}
