//! The bounded job queue. Pure: time is an argument.
//!
//! A new job is admitted while fewer than `capacity` jobs wait. A job that failed and is to be tried again
//! is *always* admitted, at once, so that a worker never waits to hand one back: with all workers waiting to
//! requeue into a full queue, no worker would be left to empty it. This costs no bound: a requeued job comes
//! from a worker, so the jobs inside grow only by admissions, each of which finds fewer than `capacity`
//! waiting. Hence the invariant
//!
//! ```text
//!   backlog = queued + running + retrying  <=  capacity + the most workers there ever were
//! ```
//!
//! and the balance `created = succeeded + permanently_failed + backlog`. All terms change together.
//!
//! Jobs are taken in the order in which they became ready: a new one when it is handed in, a retry when its
//! back-off is over.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{job::Job, lines::Line};
use crate::document;

document!(JobLedger as "lab/audit-pipeline/1");

/// The balance sheet of the jobs: `created = succeeded + permanently_failed + backlog`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = PipelineLedger)]
pub struct JobLedger {
    /// Jobs that were enqueued.
    pub created: u64,
    /// Jobs that ended well.
    pub succeeded: u64,
    /// Jobs that failed on their last allowed attempt.
    pub permanently_failed: u64,
    /// Jobs that have not ended: the sum of the next three.
    pub backlog: u64,
    /// Jobs that wait for a worker.
    pub queued: u64,
    /// Jobs in progress.
    pub in_progress: u64,
    /// Jobs that failed and wait to be tried again.
    pub retrying: u64,
}

impl JobLedger {
    /// Whether the terms add up.
    pub fn balances(&self) -> bool {
        self.created == self.succeeded + self.permanently_failed + self.backlog
            && self.backlog == self.queued + self.in_progress + self.retrying
    }
}

/// What a worker gets from the queue.
#[derive(Debug)]
pub(super) enum Taken {
    /// A job.
    Job(Job),
    /// No job before this time.
    NotBefore(Instant),
    /// No job until something changes.
    Nothing,
    /// No job any more.
    Closed,
}

/// The queue and its balance.
#[derive(Debug)]
pub(super) struct Queue {
    capacity: usize,
    fresh: VecDeque<Job>,
    retries: BTreeMap<(Instant, u64), Job>,
    running: u64,
    created: u64,
    succeeded: u64,
    permanently_failed: u64,
    closed: bool,
}

impl Queue {
    /// An empty queue in which `capacity` jobs may wait.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            fresh: VecDeque::new(),
            retries: BTreeMap::new(),
            running: 0,
            created: 0,
            succeeded: 0,
            permanently_failed: 0,
            closed: false,
        }
    }

    /// Whether a new job would be admitted.
    pub(super) fn has_room(&self) -> bool {
        !self.closed && self.fresh.len() + self.retries.len() < self.capacity
    }

    /// Admits a new job and gives it its number, if there is room.
    pub(super) fn push(&mut self, now: Instant, offered_at: Instant, line: Option<Arc<Line>>) -> Option<u64> {
        if !self.has_room() {
            return None;
        }
        self.created += 1;
        let id = self.created;
        self.fresh.push_back(Job { id, failed_attempts: 0, offered_at, ready_at: now, line });
        Some(id)
    }

    /// Hands out the job that has been ready the longest.
    pub(super) fn take(&mut self, now: Instant) -> Taken {
        let due = self.retries.first_key_value().map(|((due, _), _)| *due);
        let fresh = self.fresh.front().map(|job| job.ready_at);
        let retry_first = due.is_some_and(|due| due <= now && fresh.is_none_or(|fresh| due < fresh));
        let job = match retry_first {
            true => self.retries.pop_first().map(|(_, job)| job),
            false => self.fresh.pop_front(),
        };
        match (job, due) {
            (Some(job), _) => {
                self.running += 1;
                Taken::Job(job)
            }
            (None, Some(due)) => Taken::NotBefore(due),
            (None, None) if self.closed => Taken::Closed,
            (None, None) => Taken::Nothing,
        }
    }

    /// Takes a job back from a worker whose attempt failed; it can be taken again from `due` on. Never
    /// refuses.
    pub(super) fn retry(&mut self, mut job: Job, due: Instant) {
        self.running -= 1;
        job.failed_attempts += 1;
        job.ready_at = due;
        self.retries.insert((due, job.id), job);
    }

    /// Takes a job back from a worker that could not start it; it becomes the next.
    pub(super) fn put_back(&mut self, job: Job) {
        self.running -= 1;
        self.fresh.push_front(job);
    }

    /// Counts the end of a running job.
    pub(super) fn end(&mut self, succeeded: bool) {
        self.running -= 1;
        if succeeded {
            self.succeeded += 1;
        } else {
            self.permanently_failed += 1;
        }
    }

    /// Closes the queue to new jobs.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Opens the queue again.
    pub(super) fn open(&mut self) {
        self.closed = false;
    }

    /// How many jobs wait.
    pub(super) fn waiting(&self) -> u64 {
        (self.fresh.len() + self.retries.len()) as u64
    }

    /// How many jobs run.
    pub(super) fn running(&self) -> u64 {
        self.running
    }

    /// The balance now.
    pub(super) fn ledger(&self) -> JobLedger {
        JobLedger {
            created: self.created,
            succeeded: self.succeeded,
            permanently_failed: self.permanently_failed,
            backlog: self.waiting() + self.running,
            queued: self.fresh.len() as u64,
            in_progress: self.running,
            retrying: self.retries.len() as u64,
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
