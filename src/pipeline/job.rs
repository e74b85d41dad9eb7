//! One job, from arrival to end.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::lines::Line;
use crate::exec::{self, Output};

/// Why an attempt, or a job for good, failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum JobError {
    /// The simulated work drew a failure.
    #[error("simulated worker failure")]
    Simulated,
    /// The command did not succeed.
    #[error(transparent)]
    Command(#[from] exec::Failure),
    /// The line is not a valid job.
    #[error("{0}")]
    Invalid(&'static str),
    /// The line has no such field, which the command needs.
    #[error("the line has no field {0:?}")]
    NoField(String),
}

impl JobError {
    /// Whether another attempt can succeed.
    pub(super) fn may_pass(&self) -> bool {
        !matches!(self, Self::Invalid(_) | Self::NoField(_) | Self::Command(exec::Failure::BadArguments(_)))
    }

    /// Whether every other job would fail in the same way.
    pub(super) fn is_hopeless(&self) -> bool {
        matches!(self, Self::Command(exec::Failure::NoProgram { .. }))
    }
}

/// A job on its way.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// Its number, from 1, never given twice.
    pub(super) id: u64,
    /// How many attempts have failed.
    pub(super) failed_attempts: u32,
    /// Its intended arrival, which is before it entered the queue if that was full.
    pub(super) offered_at: Instant,
    /// When it became ready to be taken.
    pub(super) ready_at: Instant,
    /// The line it was read from; `None` for a generated job.
    pub(super) line: Option<Arc<Line>>,
}

impl Job {
    /// Its name for people: its line's name, or its number.
    pub(super) fn name(&self) -> String {
        self.line.as_ref().map_or_else(|| self.id.to_string(), |line| line.name())
    }
}

/// A job that ended, on its way to the collector.
#[derive(Debug)]
pub(super) struct Finished {
    /// The job as it was when it ended.
    pub(super) job: Job,
    /// The worker that ended it.
    pub(super) worker: u64,
    /// When.
    pub(super) at: Instant,
    /// The result of its last attempt.
    pub(super) last: Attempt,
}

/// The result of an attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    /// How it ended.
    pub(super) outcome: Result<(), JobError>,
    /// How long it took.
    pub(super) took: Duration,
    /// When its command was started, if it was one.
    pub(super) started_at: Option<Timestamp>,
    /// What the command wrote.
    pub(super) output: Option<Output>,
}
