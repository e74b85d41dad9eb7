//! The orchestrator's instruments. What the ledger knows is read from it when somebody looks; only
//! durations and what peers do wrong are recorded as they happen.

use std::{sync::Arc, time::Duration};

use opentelemetry::{
    KeyValue,
    metrics::{BoundCounter, BoundHistogram, Meter},
};

use super::{
    framing::Fault,
    ledger::{Ledger, Reason},
};
use crate::telemetry::latency_buckets_ms;

/// Why a peer was refused before it could send anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// As many peers as are taken at a time are there.
    TooMany,
    /// Under `fair` no place in the buffer is left for another stream.
    NoSlot,
}

impl Refusal {
    const ALL: [Self; 2] = [Self::TooMany, Self::NoSlot];

    const fn label(self) -> &'static str {
        match self {
            Self::TooMany => "too_many_peers",
            Self::NoSlot => "no_slot",
        }
    }
}

/// What is recorded as it happens.
#[derive(Debug)]
pub(super) struct StreamMetrics {
    latency: [BoundHistogram<f64>; 2],
    wait: [BoundHistogram<f64>; 2],
    bytes: BoundCounter<u64>,
    retried: Arc<BoundCounter<u64>>,
    faults: [BoundCounter<u64>; Fault::ALL.len()],
    refusals: [BoundCounter<u64>; Refusal::ALL.len()],
    peers: BoundCounter<u64>,
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
    /// The histograms have an edge at the process's objective and one at the streams' own.
    pub(super) fn new(meter: &Meter, slo_ms: u64, streams_slo_ms: u64) -> Self {
        let mut buckets = latency_buckets_ms(slo_ms);
        let own = streams_slo_ms as f64;
        if let Err(at) = buckets.binary_search_by(|edge| edge.total_cmp(&own)) {
            buckets.insert(at, own);
        }
        let latency = meter
            .f64_histogram("streams_chunk_latency_ms")
            .with_description(
                "Milliseconds from a chunk's intended emission to the end of its processing, by outcome",
            )
            .with_boundaries(buckets.clone())
            .build();
        let wait = meter
            .f64_histogram("streams_queue_wait_ms")
            .with_description("Milliseconds that a chunk was in the buffer, by how it left")
            .with_boundaries(buckets)
            .build();
        let faults = meter
            .u64_counter("streams_peer_faults")
            .with_description("Peers whose stream was ended for what they sent or did not send, by reason")
            .build();
        let refusals = meter
            .u64_counter("streams_peers_refused")
            .with_description("Peers that were refused before they could send, by reason")
            .build();
        let counter = |name: &'static str, about: &'static str| {
            let counter = meter.u64_counter(name).with_description(about).build().bind(&[]);
            counter.add(0);
            counter
        };
        let outcome = |outcome: &'static str| [KeyValue::new("outcome", outcome)];
        let reason = |counter: &opentelemetry::metrics::Counter<u64>, label: &'static str| {
            let counter = counter.bind(&[KeyValue::new("reason", label)]);
            counter.add(0);
            counter
        };
        Self {
            latency: [latency.bind(&outcome("processed")), latency.bind(&outcome("sink_failed"))],
            wait: [wait.bind(&outcome("taken")), wait.bind(&outcome("evicted"))],
            bytes: counter("streams_processed_bytes", "Bytes of the chunks that were processed"),
            retried: Arc::new(counter("streams_sink_retries", "Further attempts at deliveries that failed")),
            faults: Fault::ALL.map(|fault| reason(&faults, fault.label())),
            refusals: Refusal::ALL.map(|refusal| reason(&refusals, refusal.label())),
            peers: counter("streams_peers", "Streams that came from outside, over TCP or HTTP"),
        }
    }

    pub(super) fn processed(&self, latency: Duration, wait: Duration, bytes: usize) {
        self.latency[0].record(latency.as_secs_f64() * 1e3);
        self.wait[0].record(wait.as_secs_f64() * 1e3);
        self.bytes.add(bytes as u64);
    }

    pub(super) fn sink_failed(&self, latency: Duration, wait: Duration) {
        self.latency[1].record(latency.as_secs_f64() * 1e3);
        self.wait[0].record(wait.as_secs_f64() * 1e3);
    }

    pub(super) fn evicted(&self, wait: Duration) {
        self.wait[1].record(wait.as_secs_f64() * 1e3);
    }

    pub(super) fn retried(&self) -> Arc<BoundCounter<u64>> {
        self.retried.clone()
    }

    pub(super) fn fault(&self, fault: Fault) {
        self.faults[fault as usize].add(1);
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        self.refusals[refusal as usize].add(1);
    }

    pub(super) fn peer(&self) {
        self.peers.add(1);
    }
}

/// Shows what `look` reads, each time somebody asks for the metrics; `None` when the system is gone.
pub(super) fn observe(meter: &Meter, look: impl Fn() -> Option<Gauges> + Clone + Send + Sync + 'static) {
    type Read = fn(&Gauges) -> u64;
    let counters: [(&'static str, &'static str, Read); 2] = [
        ("streams_chunks_generated", "Chunks that sources emitted", |now| now.ledger.generated),
        ("streams_chunks_processed", "Chunks that a worker finished", |now| now.ledger.processed),
    ];
    for (name, about, read) in counters {
        let look = look.clone();
        let callback = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<u64>| {
            if let Some(now) = look() {
                observer.observe(read(&now), &[]);
            }
        };
        meter.u64_observable_counter(name).with_description(about).with_callback(callback).build();
    }
    let dropped = look.clone();
    meter
        .u64_observable_counter("streams_chunks_dropped")
        .with_description("Chunks that were dropped, by reason")
        .with_callback(move |observer| {
            if let Some(now) = dropped() {
                for reason in Reason::ALL {
                    observer.observe(
                        now.ledger.dropped_by.of(reason),
                        &[KeyValue::new("reason", reason.label())],
                    );
                }
            }
        })
        .build();
    let gauges: [(&'static str, &'static str, Read); 7] = [
        ("streams_queue_depth", "Chunks in the buffer", |now| now.ledger.queued),
        ("streams_queue_capacity", "Places in the buffer", |now| now.capacity as u64),
        ("streams_workers", "Workers wanted in the pool", |now| now.workers as u64),
        ("streams_workers_busy", "Workers that have a chunk", |now| now.ledger.in_progress),
        ("streams_sources", "Generated streams", |now| now.streams as u64),
        ("streams_peers_connected", "Streams from outside that are connected", |now| now.peers as u64),
        ("streams_running", "1 while the orchestrator takes chunks in, else 0", |now| u64::from(now.running)),
    ];
    for (name, about, read) in gauges {
        let look = look.clone();
        let callback = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<u64>| {
            if let Some(now) = look() {
                observer.observe(read(&now), &[]);
            }
        };
        meter.u64_observable_gauge(name).with_description(about).with_callback(callback).build();
    }
}
