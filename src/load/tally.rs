//! What a driver counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::StatusCode;

use super::connection::{Answer, Failure};
use crate::latency::Histogram;

/// Requests by what became of them: `started = answered + errors + unfinished`.
///
/// A connection that could not be made started no request; it is in `errors.connect` alone.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests that a connection was given.
    pub started: u64,
    /// Whole answers, by status.
    pub by_status: BTreeMap<u16, u64>,
    /// What failed, by kind.
    pub errors: ErrorCounts,
    /// Bytes of the answers' bodies.
    pub body_bytes: u64,
    /// From send to last byte. Failures count as infinitely slow, the unfinished as censored.
    pub latency: Histogram,
}

/// Failures by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorCounts {
    /// Connections that could not be made.
    pub connect: u64,
    /// Connections that broke before the head of an answer.
    pub answer: u64,
    /// Connections that broke within the body of an answer.
    pub body: u64,
}

impl ErrorCounts {
    /// All of them.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.connect + self.answer + self.body
    }
}

impl Tally {
    /// Whole answers of any status.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.by_status.values().sum()
    }

    /// Answers of 200.
    #[must_use]
    pub fn ok(&self) -> u64 {
        self.by_status.get(&StatusCode::OK.as_u16()).copied().unwrap_or(0)
    }

    /// Requests still in flight when the driver stopped.
    #[must_use]
    pub const fn unfinished(&self) -> u64 {
        self.latency.censored()
    }

    pub(super) fn count(&mut self, result: Result<Answer, Failure>, took: Duration) {
        match result {
            Ok(answer) => {
                *self.by_status.entry(answer.status.as_u16()).or_insert(0) += 1;
                self.body_bytes += answer.body_bytes;
                self.latency.record(took);
            }
            Err(failure) => {
                match failure {
                    Failure::Connect(_) => {
                        self.errors.connect += 1;
                        return;
                    }
                    Failure::Answer(_) => self.errors.answer += 1,
                    Failure::Body(_) => self.errors.body += 1,
                }
                self.latency.record_infinitely_slow();
            }
        }
    }
}

/// The tally that all connections of a driver add to. On one thread the lock is never waited for.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedTally(Arc<Mutex<Tally>>);

impl SharedTally {
    pub(super) fn lock(&self) -> MutexGuard<'_, Tally> {
        // Each count is one step, so they are true even after a panic elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the counts when all connections have stopped; what has no outcome is unfinished.
    pub(super) fn close(&self) -> Tally {
        let mut tally = std::mem::take(&mut *self.lock());
        for _ in tally.latency.offered()..tally.started {
            tally.latency.record_censored();
        }
        tally
    }
}
