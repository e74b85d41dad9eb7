//! The queue's metrics. Those of the whole queue are read from the last look at the store, so each process shows the
//! same; durations are those of the worker in this process.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{
    broker::Caps,
    ended::{Ended, OTHER},
    name::Name,
    seen::Seen,
};
use crate::{
    metrics,
    telemetry::{Buckets, Durations, DurationsBy, Instruments},
};

metrics! {
    /// Tasks, by state (pending, in_flight, delayed, dead)
    DEPTH: "queue_depth" by "state";
    /// Elements of the raw list that are not admitted yet
    INBOX: "queue_inbox";
    /// Payloads of all tasks that have not ended, in bytes
    PAYLOAD_BYTES: "queue_payload_bytes";
    /// What the queue may hold, by bound (tasks, bytes)
    LIMIT: "queue_limit" by "bound";
    /// Pending tasks, by whether they can be started (claimable, paused, unclaimable)
    PENDING: "queue_pending" by "claim";
    /// How long the first of them has waited, in milliseconds, by whether they can be started (claimable, paused, unclaimable); 0 if none waits
    PENDING_AGE: "queue_pending_age_ms" by "claim";
    /// How long the first task of any lane has waited, in milliseconds; 0 if none waits
    OLDEST_AGE: "queue_oldest_age_ms";
    /// Tasks that were enqueued
    ENQUEUED: "queue_enqueued_total";
    /// Tasks that ended, by outcome (succeeded, cancelled, expired, discarded)
    DONE: "queue_done_total" by "outcome";
    /// Failures that were followed by another attempt
    RETRIES: "queue_retries_total";
    /// Tasks that were taken back from processes whose lease had expired
    RECLAIMED: "queue_reclaimed_total";
    /// Tasks that became dead letters
    BURIED: "queue_buried_total";
    /// Worker processes with a lease
    PROCESSES: "queue_processes";
    /// 1 while the store answers, else 0
    STORE_UP: "queue_store_up";
    /// Milliseconds from when a task could start to its start
    WAIT: "queue_wait_ms";
    /// Milliseconds of an attempt, by type and outcome (succeeded, failed, cancelled, snoozed, handed_back)
    DURATION: "queue_task_duration_ms" by "type", "outcome";
}

/// Registers the metrics that are read from the last look at the store. What it holds is shown from the first look on:
/// a counter that began at 0 and then jumped to what it is would look like work.
pub(super) fn observe(
    instruments: &Instruments,
    caps: Caps,
    look: impl Fn() -> Option<Seen> + Clone + Send + Sync + 'static,
) {
    let is_up = {
        let look = look.clone();
        move || look().map(|seen| seen.last.is_some() && seen.away.is_none())
    };
    instruments
        .observe(is_up)
        .show(STORE_UP, |is_up| u64::from(*is_up))
        .show_by(LIMIT, move |_| [(["tasks"], caps.tasks), (["bytes"], caps.bytes)]);
    let held = move || {
        let seen = look()?;
        let waiting = seen.waiting();
        let (_, stats) = seen.last?;
        Some((stats, waiting))
    };
    instruments
        .observe(held)
        .show_by(DEPTH, |(stats, _)| {
            let counts = stats.counts;
            [
                (["pending"], counts.pending),
                (["in_flight"], counts.in_flight),
                (["delayed"], counts.delayed),
                (["dead"], counts.dead),
            ]
        })
        .show(INBOX, |(stats, _)| stats.inbox)
        .show(PAYLOAD_BYTES, |(stats, _)| stats.counts.bytes)
        .show(OLDEST_AGE, |(_, waiting)| waiting.each().map(|(_, part)| part.age_ms).max().unwrap_or(0))
        .show_by(PENDING, |(_, waiting)| waiting.each().map(|(claim, part)| ([claim.label()], part.tasks)))
        .show_by(PENDING_AGE, |(_, waiting)| {
            waiting.each().map(|(claim, part)| ([claim.label()], part.age_ms))
        })
        .show(ENQUEUED, |(stats, _)| stats.counts.enqueued)
        .show_by(DONE, |(stats, _)| {
            let counts = stats.counts;
            [
                (["succeeded"], counts.succeeded),
                (["cancelled"], counts.cancelled),
                (["expired"], counts.expired),
                (["discarded"], counts.discarded),
            ]
        })
        .show(RETRIES, |(stats, _)| stats.counts.retried)
        .show(RECLAIMED, |(stats, _)| stats.counts.reclaimed)
        .show(BURIED, |(stats, _)| stats.counts.buried)
        .show(PROCESSES, |(stats, _)| stats.processes.len() as u64);
}

/// What a worker measures.
#[derive(Debug)]
pub(super) struct WorkerMetrics {
    wait: Durations,
    by_kind: HashMap<Name, BTreeMap<Ended, Durations>>,
    other: BTreeMap<Ended, Durations>,
}

impl WorkerMetrics {
    /// With a series for each of `kinds`, and one for all other types.
    pub(super) fn new(instruments: &Instruments, kinds: impl IntoIterator<Item = Name>) -> Self {
        let durations = instruments.durations(DURATION, Buckets::Percentile);
        let series = |durations: &DurationsBy<2>, kind: &str| {
            let each = Ended::ALL.map(|ended| {
                let values = [kind.to_owned().into(), ended.label().into()];
                (ended, durations.rare_values(values))
            });
            BTreeMap::from(each)
        };
        Self {
            wait: instruments.durations(WAIT, Buckets::Percentile).with([]),
            by_kind: kinds
                .into_iter()
                .map(|kind| (kind.clone(), series(&durations, kind.as_str())))
                .collect(),
            other: series(&durations, OTHER),
        }
    }

    pub(super) fn waited(&self, wait: Duration) {
        self.wait.record(wait);
    }

    pub(super) fn ended(&self, kind: &Name, ended: Ended, took: Duration) {
        if let Some(durations) = self.by_kind.get(kind).unwrap_or(&self.other).get(&ended) {
            durations.record(took);
        }
    }
}
