//! The orchestrator's instruments. Counts are read from the ledger when metrics are collected; only durations and
//! faults of peers are recorded.

use std::time::Duration;

use super::{
    framing::Fault,
    ledger::{ChunkLedger, Reason},
    sharded::Sharded,
};
use crate::{
    labelled, metrics,
    telemetry::{Buckets, Counter, Durations, Instruments},
};

metrics! {
    /// Chunks that sources emitted
    CHUNKS_GENERATED: "streams_chunks_generated_total";
    /// Chunks that a worker finished
    CHUNKS_PROCESSED: "streams_chunks_processed_total";
    /// Chunks that were dropped, by reason (full, evicted, share, sink, abandoned)
    CHUNKS_DROPPED: "streams_chunks_dropped_total" by "reason";
    /// Bytes of the chunks that were processed
    PROCESSED_BYTES: "streams_processed_bytes_total";
    /// Milliseconds from a chunk's intended emission to the end of its processing, by outcome (processed, sink_failed)
    CHUNK_LATENCY: "streams_chunk_latency_ms" by "outcome";
    /// Chunks in the buffer
    QUEUE_DEPTH: "streams_queue_depth";
    /// Places in the buffer
    QUEUE_CAPACITY: "streams_queue_capacity";
    /// Milliseconds that a chunk was in the buffer, by outcome (taken, evicted)
    QUEUE_WAIT: "streams_queue_wait_ms" by "outcome";
    /// Workers that the pool should have
    WORKERS: "streams_workers";
    /// Workers that have a chunk
    WORKERS_BUSY: "streams_workers_busy";
    /// Further attempts at deliveries that failed
    SINK_RETRIES: "streams_sink_retries_total";
    /// Generated streams
    SOURCES: "streams_sources";
    /// Streams that came from outside, over TCP or HTTP
    PEERS: "streams_peers_total";
    /// Streams from outside that are connected
    PEERS_CONNECTED: "streams_peers_connected";
    /// Peers whose stream was ended for what they sent or did not send, by reason (frame_too_long, half_frame, broken, idle)
    PEER_FAULTS: "streams_peer_faults_total" by "reason";
    /// Lines above the limit that were skipped
    LINES_SKIPPED: "streams_lines_skipped_total";
    /// Peers that were refused before they could send, by reason (too_many_peers, no_slot)
    PEERS_REFUSED: "streams_peers_refused_total" by "reason";
    /// 1 while the orchestrator takes chunks in, else 0
    RUNNING: "streams_running";
}

labelled! {
    /// Why a peer was refused before it could send anything.
    #[derive(thiserror::Error)]
    pub(super) enum Refusal {
        /// The limit of connected peers is reached.
        #[error("the limit of connected peers is reached")]
        TooMany = "too_many_peers",
        /// Under `fair` no place in the buffer is left for another stream.
        #[error("no place in the buffer is left for another stream")]
        NoSlot = "no_slot",
    }
}

/// Chunks that a thread keeps to itself before it publishes them.
const BATCH_CHUNKS: usize = 256;

/// Instruments: processed chunks are recorded in batches, the rest as things happen.
///
/// All threads share an instrument, so recording each chunk there would make them wait for each other. Each thread
/// keeps the chunks it processed, and publishes them when the batch is full, when metrics are collected, and at the end.
#[derive(Debug)]
pub(super) struct StreamMetrics {
    unpublished: Sharded<Batch>,
    processed: Durations,
    sink_failed: Durations,
    taken: Durations,
    /// The waits of chunks that made room for others.
    pub(super) evicted: Durations,
    bytes: Counter,
    /// Further attempts at deliveries.
    pub(super) retried: Counter,
    /// Streams from outside.
    pub(super) peers: Counter,
    /// Lines above the limit.
    pub(super) skipped: Counter,
    faults: [Counter; Fault::ALL.len()],
    refusals: [Counter; Refusal::ALL.len()],
}

/// Processed chunks that are not in the instruments yet.
#[derive(Debug, Default)]
struct Batch {
    /// Latency and wait of each.
    chunks: Vec<(Duration, Duration)>,
    bytes: u64,
}

/// Instruments that callbacks read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gauges {
    pub(super) ledger: ChunkLedger,
    pub(super) capacity: usize,
    pub(super) workers: usize,
    pub(super) streams: usize,
    pub(super) peers: usize,
    pub(super) running: bool,
}

impl StreamMetrics {
    /// The histograms have an edge at the streams' own objective too.
    pub(super) fn new(instruments: &Instruments, streams_slo_ms: u64) -> Self {
        let instruments = instruments.with_edge_ms(streams_slo_ms);
        let latency = instruments.durations(CHUNK_LATENCY, Buckets::Percentile);
        let wait = instruments.durations(QUEUE_WAIT, Buckets::Coarse);
        let faults = instruments.counter(PEER_FAULTS);
        let refusals = instruments.counter(PEERS_REFUSED);
        Self {
            unpublished: Sharded::new(),
            processed: latency.with(["processed"]),
            sink_failed: latency.with(["sink_failed"]),
            taken: wait.with(["taken"]),
            // Counted as dropped.
            evicted: wait.rare(["evicted"]),
            bytes: instruments.counter(PROCESSED_BYTES).with([]),
            retried: instruments.counter(SINK_RETRIES).with([]),
            peers: instruments.counter(PEERS).with([]),
            skipped: instruments.counter(LINES_SKIPPED).with([]),
            faults: Fault::ALL.map(|fault| faults.with([fault.label()])),
            refusals: Refusal::ALL.map(|refusal| refusals.with([refusal.label()])),
        }
    }

    pub(super) fn processed(&self, latency: Duration, wait: Duration, bytes: usize) {
        let mut batch = self.unpublished.mine();
        batch.chunks.push((latency, wait));
        batch.bytes += bytes as u64;
        if batch.chunks.len() >= BATCH_CHUNKS {
            self.publish_batch(&mut batch);
        }
    }

    /// Publishes what threads have kept to themselves: from here on the instruments are exact.
    pub(super) fn publish(&self) {
        self.unpublished.each().for_each(|mut batch| self.publish_batch(&mut batch));
    }

    fn publish_batch(&self, batch: &mut Batch) {
        for (latency, wait) in batch.chunks.drain(..) {
            self.processed.record(latency);
            self.taken.record(wait);
        }
        self.bytes.add(std::mem::take(&mut batch.bytes));
    }

    pub(super) fn sink_failed(&self, latency: Duration, wait: Duration) {
        self.sink_failed.record(latency);
        self.taken.record(wait);
    }

    pub(super) fn fault(&self, fault: Fault) {
        self.faults[fault as usize].add(1);
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        self.refusals[refusal as usize].add(1);
    }
}

/// Registers the metrics that are read from `look`, which returns `None` when the system is gone.
pub(super) fn observe(instruments: &Instruments, look: impl Fn() -> Option<Gauges> + Send + Sync + 'static) {
    instruments
        .observe(look)
        .show(CHUNKS_GENERATED, |now| now.ledger.generated)
        .show(CHUNKS_PROCESSED, |now| now.ledger.processed)
        .show_by(CHUNKS_DROPPED, |now| {
            Reason::ALL.map(|reason| ([reason.label()], now.ledger.dropped_by.of(reason)))
        })
        .show(QUEUE_DEPTH, |now| now.ledger.queued)
        .show(QUEUE_CAPACITY, |now| now.capacity as u64)
        .show(WORKERS, |now| now.workers as u64)
        .show(WORKERS_BUSY, |now| now.ledger.in_progress)
        .show(SOURCES, |now| now.streams as u64)
        .show(PEERS_CONNECTED, |now| now.peers as u64)
        .show(RUNNING, |now| u64::from(now.running));
}
