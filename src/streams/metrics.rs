//! The orchestrator's instruments. What the ledger knows is read from it when somebody looks; only
//! durations and what peers do wrong are recorded as they happen.

use std::time::Duration;

use super::{
    framing::Fault,
    ledger::{Ledger, Reason},
};
use crate::{
    labelled,
    telemetry::{Buckets, Counter, Durations, Instruments},
};

labelled! {
    /// Why a peer was refused before it could send anything.
    #[derive(thiserror::Error)]
    pub(super) enum Refusal {
        /// As many peers as are taken at a time are there.
        #[error("as many peers as are taken at a time are there")]
        TooMany = "too_many_peers",
        /// Under `fair` no place in the buffer is left for another stream.
        #[error("no place in the buffer is left for another stream")]
        NoSlot = "no_slot",
    }
}

/// What is recorded as it happens.
#[derive(Debug)]
pub(super) struct StreamMetrics {
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
    faults: [Counter; Fault::ALL.len()],
    refusals: [Counter; Refusal::ALL.len()],
}

/// What callbacks read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gauges {
    pub(super) ledger: Ledger,
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
        let latency = instruments.durations(
            "streams_chunk_latency_ms",
            "Milliseconds from a chunk's intended emission to the end of its processing, by outcome",
            ["outcome"],
            Buckets::Percentile,
        );
        let wait = instruments.durations(
            "streams_queue_wait_ms",
            "Milliseconds that a chunk was in the buffer, by how it left",
            ["outcome"],
            Buckets::Coarse,
        );
        let faults = instruments.counter_by(
            "streams_peer_faults_total",
            "Peers whose stream was ended for what they sent or did not send, by reason",
            ["reason"],
        );
        let refusals = instruments.counter_by(
            "streams_peers_refused_total",
            "Peers that were refused before they could send, by reason",
            ["reason"],
        );
        Self {
            processed: latency.with(["processed"]),
            sink_failed: latency.with(["sink_failed"]),
            taken: wait.with(["taken"]),
            // Counted as dropped.
            evicted: wait.rare(["evicted"]),
            bytes: instruments
                .counter("streams_processed_bytes_total", "Bytes of the chunks that were processed"),
            retried: instruments
                .counter("streams_sink_retries_total", "Further attempts at deliveries that failed"),
            peers: instruments
                .counter("streams_peers_total", "Streams that came from outside, over TCP or HTTP"),
            faults: Fault::ALL.map(|fault| faults.with([fault.label()])),
            refusals: Refusal::ALL.map(|refusal| refusals.with([refusal.label()])),
        }
    }

    pub(super) fn processed(&self, latency: Duration, wait: Duration, bytes: usize) {
        self.processed.record(latency);
        self.taken.record(wait);
        self.bytes.add(bytes as u64);
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

/// Shows what `look` reads; `None` when the system is gone.
pub(super) fn observe(instruments: &Instruments, look: impl Fn() -> Option<Gauges> + Send + Sync + 'static) {
    instruments
        .observe(look)
        .show("streams_chunks_generated_total", "Chunks that sources emitted", |now| now.ledger.generated)
        .show("streams_chunks_processed_total", "Chunks that a worker finished", |now| now.ledger.processed)
        .show_by("streams_chunks_dropped_total", "Chunks that were dropped, by reason", ["reason"], |now| {
            Reason::ALL.map(|reason| ([reason.label()], now.ledger.dropped_by.of(reason)))
        })
        .show("streams_queue_depth", "Chunks in the buffer", |now| now.ledger.queued)
        .show("streams_queue_capacity", "Places in the buffer", |now| now.capacity as u64)
        .show("streams_workers", "Workers wanted in the pool", |now| now.workers as u64)
        .show("streams_workers_busy", "Workers that have a chunk", |now| now.ledger.in_progress)
        .show("streams_sources", "Generated streams", |now| now.streams as u64)
        .show("streams_peers_connected", "Streams from outside that are connected", |now| now.peers as u64)
        .show("streams_running", "1 while the orchestrator takes chunks in, else 0", |now| {
            u64::from(now.running)
        });
}
