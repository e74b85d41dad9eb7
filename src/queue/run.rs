//! Where a task stands: its state, and the counts that decide what follows.

use super::{lane::Lane, settle::DeathReason};
use crate::labelled;

labelled! {
    /// How a task ended.
    pub enum Outcome {
        /// Its handler did the work.
        Succeeded = "succeeded",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// Its deadline passed before it could start.
        Expired = "expired",
        /// It was a dead letter, and was deleted or kept long enough.
        Discarded = "discarded",
    }
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In its lane, or, as a suspect, beside it until a process runs it alone.
    Pending {
        /// Its process died too often.
        suspect: bool,
    },
    /// A worker runs it.
    InFlight {
        /// The lease of the worker's process.
        epoch: u64,
        /// The process runs nothing else.
        alone: bool,
        /// Since when it could have been started, in milliseconds since 1970.
        ready_ms: u64,
    },
    /// Waiting for its time.
    Delayed {
        /// Its time, in milliseconds since 1970.
        due_ms: u64,
    },
    /// A dead letter.
    Dead(DeathReason),
    /// Ended.
    Done(Outcome),
}

impl State {
    /// Its name: pending, in_flight, delayed, dead, or how it ended.
    pub fn label(self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::InFlight { .. } => "in_flight",
            Self::Delayed { .. } => "delayed",
            Self::Dead(_) => "dead",
            Self::Done(outcome) => outcome.label(),
        }
    }
}

/// The record of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Where it stands.
    pub state: State,
    /// How often it was claimed: the fencing token.
    pub delivery: u64,
    /// How often it failed.
    pub failures: u32,
    /// How often its process died.
    pub crashes: u32,
    /// When its process died last, in milliseconds since 1970; 0: never.
    pub crashed_ms: u64,
    /// Since when it is in this state, in milliseconds since 1970.
    pub since_ms: u64,
    /// It is not started after this time, in milliseconds since 1970; 0: whenever.
    pub deadline_ms: u64,
    /// Its number in the order of enqueues.
    pub number: u64,
    /// When it was enqueued, in milliseconds since 1970 by the store's clock.
    pub enqueued_ms: u64,
    /// Where it waits.
    pub lane: Lane,
}

impl Run {
    /// Reads the line that Redis holds (see `prelude.lua`); `None` for anything else.
    pub(super) fn read(line: &str) -> Option<Self> {
        let mut parts = line.split(' ');
        let mut next = || parts.next();
        let (state, delivery, failures, crashes) = (next()?, next()?, next()?, next()?);
        let (crashed, since, extra, deadline, number, enqueued, lane) =
            (next()?, next()?, next()?, next()?, next()?, next()?, next()?);
        Some(Self {
            state: read_state(state, extra)?,
            delivery: delivery.parse().ok()?,
            failures: failures.parse().ok()?,
            crashes: crashes.parse().ok()?,
            crashed_ms: crashed.parse().ok()?,
            since_ms: since.parse().ok()?,
            deadline_ms: deadline.parse().ok()?,
            number: number.parse().ok()?,
            enqueued_ms: enqueued.parse().ok()?,
            lane: lane.parse().ok()?,
        })
    }
}

fn read_state(letter: &str, extra: &str) -> Option<State> {
    Some(match letter {
        "p" => State::Pending { suspect: extra == "s" },
        "f" => {
            let mut parts = extra.split('/');
            let (epoch, mark, ready) = (parts.next()?, parts.next()?, parts.next()?);
            State::InFlight { epoch: epoch.parse().ok()?, alone: mark == "a", ready_ms: ready.parse().ok()? }
        }
        "w" => State::Delayed { due_ms: extra.parse().ok()? },
        "x" => State::Dead(DeathReason::ALL.into_iter().find(|reason| reason.label() == extra)?),
        "d" => State::Done(Outcome::ALL.into_iter().find(|outcome| outcome.label() == extra)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_is_read_as_the_scripts_write_it() {
        let run = Run::read("f 3 1 2 900 1000 7/a/950 5000 42 100 2|email|acme").unwrap();
        assert_eq!(run.state, State::InFlight { epoch: 7, alone: true, ready_ms: 950 });
        assert_eq!((run.delivery, run.failures, run.crashes, run.crashed_ms), (3, 1, 2, 900));
        assert_eq!((run.since_ms, run.deadline_ms, run.number, run.enqueued_ms), (1000, 5000, 42, 100));
        assert_eq!(run.lane.to_string(), "2|email|acme");
        let dead = Run::read("x 3 1 2 900 1000 exhausted 0 42 100 2|email|").unwrap();
        assert_eq!(dead.state, State::Dead(DeathReason::Exhausted));
    }

    proptest! {
        #[test]
        fn other_lines_are_no_record_and_no_panic(line in "\\PC*") {
            let _ = Run::read(&line);
        }
    }
}
