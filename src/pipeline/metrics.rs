//! The pipeline's instruments. Counts are read from the board when metrics are collected.

use std::time::Duration;

use super::{board::Board, config::Settings};
use crate::{
    metrics,
    telemetry::{Buckets, Counter, Durations, Instruments},
};

metrics! {
    /// Jobs that the producer wanted to hand in
    OFFERED: "pipeline_offered_total";
    /// Jobs left out because another already waited for room in the queue
    HELD_BACK: "pipeline_held_back_total";
    /// Jobs that were handed in
    CREATED: "pipeline_created_total";
    /// Jobs that ended, by outcome (succeeded, permanently_failed)
    JOBS: "pipeline_jobs_total" by "outcome";
    /// Failed attempts that are followed by another
    RETRIES: "pipeline_retries_total";
    /// Jobs queued, in progress and waiting for a retry
    BACKLOG: "pipeline_backlog";
    /// The backlog by the state of its jobs (queued, running, retrying)
    BACKLOG_BY_STATE: "pipeline_backlog_by_state" by "state";
    /// Milliseconds that a job waited for a worker, by attempt (first, retry)
    QUEUE_WAIT: "pipeline_queue_wait_ms" by "attempt";
    /// Milliseconds of an attempt's work, by outcome (ok, failed)
    JOB_DURATION: "pipeline_job_duration_ms" by "outcome";
    /// Milliseconds from a job's intended arrival to its end, retries included, by outcome (succeeded, permanently_failed)
    SOJOURN: "pipeline_sojourn_ms" by "outcome";
    /// Workers that the pool should have
    WORKERS: "pipeline_workers";
    /// Workers that run, including those that finish a last job
    WORKERS_PRESENT: "pipeline_workers_present";
    /// Seconds that workers ran, summed over the workers: what is paid for
    WORKER_SECONDS: "pipeline_worker_seconds_total";
    /// Workers added and removed, by direction (up, down)
    SCALE_EVENTS: "pipeline_scale_events_total" by "direction";
    /// The current limits, by bound (min_workers, max_workers, queue_capacity)
    LIMIT: "pipeline_limit" by "bound";
}

/// Instruments that are recorded as things happen.
#[derive(Debug)]
pub(super) struct Metrics {
    succeeded: Counter,
    permanently_failed: Counter,
    scaled_up: Counter,
    scaled_down: Counter,
    /// Failed attempts that are followed by another.
    pub(super) retries: Counter,
    attempts_ok: Durations,
    attempts_failed: Durations,
    first_waits: Durations,
    retry_waits: Durations,
    sojourns_succeeded: Durations,
    sojourns_failed: Durations,
}

impl Metrics {
    /// Makes the instruments and lets the gauges look at `board`.
    pub(super) fn new(instruments: &Instruments, board: &Board, settings: &Settings) -> Self {
        observe(instruments, board, settings);
        let jobs = instruments.counter(JOBS);
        let scale_events = instruments.counter(SCALE_EVENTS);
        let durations = instruments.durations(JOB_DURATION, Buckets::Coarse);
        let waits = instruments.durations(QUEUE_WAIT, Buckets::Coarse);
        let sojourns = instruments.durations(SOJOURN, Buckets::Percentile);
        Self {
            succeeded: jobs.with(["succeeded"]),
            permanently_failed: jobs.with(["permanently_failed"]),
            scaled_up: scale_events.with(["up"]),
            scaled_down: scale_events.with(["down"]),
            retries: instruments.counter(RETRIES).with([]),
            attempts_ok: durations.with(["ok"]),
            attempts_failed: durations.with(["failed"]),
            first_waits: waits.with(["first"]),
            retry_waits: waits.with(["retry"]),
            sojourns_succeeded: sojourns.with(["succeeded"]),
            // Counted as jobs.
            sojourns_failed: sojourns.rare(["permanently_failed"]),
        }
    }

    pub(super) fn queue_wait(&self, is_retry: bool, waited: Duration) {
        if is_retry { &self.retry_waits } else { &self.first_waits }.record(waited);
    }

    pub(super) fn attempt(&self, succeeded: bool, took: Duration) {
        if succeeded { &self.attempts_ok } else { &self.attempts_failed }.record(took);
    }

    pub(super) fn ended(&self, succeeded: bool, sojourn: Duration) {
        let (jobs, sojourns) = if succeeded {
            (&self.succeeded, &self.sojourns_succeeded)
        } else {
            (&self.permanently_failed, &self.sojourns_failed)
        };
        jobs.add(1);
        sojourns.record(sojourn);
    }

    pub(super) fn scaled(&self, up: u32, down: u32) {
        self.scaled_up.add(u64::from(up));
        self.scaled_down.add(u64::from(down));
    }
}

fn observe(instruments: &Instruments, board: &Board, settings: &Settings) {
    instruments
        .observe(board.look())
        .show(BACKLOG, |board| board.ledger().backlog)
        .show_by(BACKLOG_BY_STATE, |board| {
            let ledger = board.ledger();
            [(["queued"], ledger.queued), (["running"], ledger.in_progress), (["retrying"], ledger.retrying)]
        })
        .show(WORKERS, |board| u64::from(board.workers().wanted))
        .show(WORKERS_PRESENT, |board| u64::from(board.workers().present))
        .show(OFFERED, |board| board.counts().offered)
        .show(HELD_BACK, |board| board.counts().held_back)
        .show(CREATED, |board| board.ledger().created)
        .show(WORKER_SECONDS, |board| board.reading().paid.as_secs_f64());
    let limits = [
        (["min_workers"], u64::from(settings.min_workers.get())),
        (["max_workers"], u64::from(settings.max_workers.get())),
        (["queue_capacity"], u64::from(settings.queue_capacity.get())),
    ];
    instruments.observe(move || Some(limits)).show_by(LIMIT, |limits| *limits);
}
