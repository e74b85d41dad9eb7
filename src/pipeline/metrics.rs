//! The pipeline's instruments, bound to their labels once; series exist from 0 on.

use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{BoundCounter, BoundHistogram, Meter},
};

use super::{board::Board, config::Settings};
use crate::telemetry::latency_buckets_ms;

/// How an attempt, or a job for good, ended.
const ATTEMPTS: [&str; 2] = ["ok", "failed"];
const OUTCOMES: [&str; 2] = ["succeeded", "permanently_failed"];
/// Which attempt waited.
const WAITS: [&str; 2] = ["first", "retry"];
const DIRECTIONS: [&str; 2] = ["up", "down"];

/// What is counted as it happens; the rest is observed on the board.
#[derive(Debug)]
pub(super) struct Metrics {
    jobs: [BoundCounter<u64>; 2],
    scale_events: [BoundCounter<u64>; 2],
    retries: BoundCounter<u64>,
    durations: [BoundHistogram<f64>; 2],
    waits: [BoundHistogram<f64>; 2],
    sojourns: [BoundHistogram<f64>; 2],
}

impl Metrics {
    /// Makes the instruments and lets the gauges look at `board`.
    pub(super) fn new(meter: &Meter, slo_ms: u64, board: &Board, settings: &Settings) -> Self {
        observe(meter, board, settings);
        let count =
            |name: &'static str, about: &'static str, label: &'static str, values: [&'static str; 2]| {
                let counter = meter.u64_counter(name).with_description(about).build();
                values.map(|value| {
                    let bound = counter.bind(&[KeyValue::new(label, value)]);
                    bound.add(0);
                    bound
                })
            };
        let time = |name: &'static str, about: &'static str| {
            meter
                .f64_histogram(name)
                .with_description(about)
                .with_boundaries(latency_buckets_ms(slo_ms))
                .build()
        };
        let durations =
            time("pipeline_job_duration_ms", "Milliseconds of an attempt's work, by how it ended");
        let sojourns = time(
            "pipeline_sojourn_ms",
            "Milliseconds from a job's intended arrival to its end, retries included, by outcome",
        );
        let waits =
            time("pipeline_queue_wait_ms", "Milliseconds from ready to taken, of first attempts and retries");
        let retries = meter
            .u64_counter("pipeline_retries")
            .with_description("Failed attempts that are followed by another")
            .build()
            .bind(&[]);
        retries.add(0);
        Self {
            jobs: count("pipeline_jobs", "Jobs that ended, by outcome", "outcome", OUTCOMES),
            scale_events: count(
                "pipeline_scale_events",
                "Workers added and removed, by direction",
                "direction",
                DIRECTIONS,
            ),
            retries,
            durations: ATTEMPTS.map(|outcome| durations.bind(&[KeyValue::new("outcome", outcome)])),
            waits: WAITS.map(|attempt| waits.bind(&[KeyValue::new("attempt", attempt)])),
            sojourns: OUTCOMES.map(|outcome| sojourns.bind(&[KeyValue::new("outcome", outcome)])),
        }
    }

    pub(super) fn queue_wait(&self, is_retry: bool, waited: Duration) {
        self.waits[usize::from(is_retry)].record(waited.as_secs_f64() * 1e3);
    }

    pub(super) fn attempt(&self, succeeded: bool, took: Duration) {
        self.durations[usize::from(!succeeded)].record(took.as_secs_f64() * 1e3);
    }

    pub(super) fn retry(&self) {
        self.retries.add(1);
    }

    pub(super) fn ended(&self, succeeded: bool, sojourn: Duration) {
        self.jobs[usize::from(!succeeded)].add(1);
        self.sojourns[usize::from(!succeeded)].record(sojourn.as_secs_f64() * 1e3);
    }

    pub(super) fn scaled(&self, up: u32, down: u32) {
        self.scale_events[0].add(u64::from(up));
        self.scale_events[1].add(u64::from(down));
    }
}

fn observe(meter: &Meter, board: &Board, settings: &Settings) {
    type Look = fn(&Board) -> u64;
    let gauges: [(&'static str, &'static str, Look); 3] = [
        ("pipeline_backlog", "Jobs queued, in progress and waiting for a retry", |board| {
            board.ledger().backlog
        }),
        ("pipeline_workers", "Workers that are to be there", |board| u64::from(board.workers().wanted)),
        (
            "pipeline_workers_present",
            "Workers that are there, those that finish a last job among them",
            |board| u64::from(board.workers().present),
        ),
    ];
    for (name, about, look) in gauges {
        // The meter's provider keeps the callbacks: weak, so that it does not keep the board.
        let board = board.downgrade();
        meter
            .u64_observable_gauge(name)
            .with_description(about)
            .with_callback(move |observer| {
                if let Some(board) = board.upgrade() {
                    observer.observe(look(&board), &[]);
                }
            })
            .build();
    }
    let terms = board.downgrade();
    meter
        .u64_observable_gauge("pipeline_backlog_by_state")
        .with_description("The backlog's terms")
        .with_callback(move |observer| {
            if let Some(board) = terms.upgrade() {
                let ledger = board.ledger();
                for (state, jobs) in
                    [("queued", ledger.queued), ("running", ledger.running), ("retrying", ledger.retrying)]
                {
                    observer.observe(jobs, &[KeyValue::new("state", state)]);
                }
            }
        })
        .build();
    let counters: [(&'static str, &'static str, Look); 3] = [
        ("pipeline_offered", "Jobs that the producer wanted to hand in", |board| board.counts().offered),
        ("pipeline_held_back", "Jobs left out because one already waited for room in the queue", |board| {
            board.counts().held_back
        }),
        ("pipeline_created", "Jobs that were handed in", |board| board.ledger().created),
    ];
    for (name, about, look) in counters {
        let board = board.downgrade();
        meter
            .u64_observable_counter(name)
            .with_description(about)
            .with_callback(move |observer| {
                if let Some(board) = board.upgrade() {
                    observer.observe(look(&board), &[]);
                }
            })
            .build();
    }
    let paid = board.downgrade();
    meter
        .f64_observable_counter("pipeline_worker_seconds")
        .with_description("Seconds that workers were there: what is paid for")
        .with_callback(move |observer| {
            if let Some(board) = paid.upgrade() {
                observer.observe(board.reading().paid.as_secs_f64(), &[]);
            }
        })
        .build();
    let limits = [
        ("min_workers", u64::from(settings.min_workers.get())),
        ("max_workers", u64::from(settings.max_workers.get())),
        ("queue_capacity", u64::from(settings.queue_capacity.get())),
    ];
    meter
        .u64_observable_gauge("pipeline_limit")
        .with_description("The bounds in force: fewest and most workers, jobs that may wait")
        .with_callback(move |observer| {
            for (bound, value) in limits {
                observer.observe(value, &[KeyValue::new("bound", bound)]);
            }
        })
        .build();
}
