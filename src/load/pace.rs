//! Who asks, and when: the two kinds of load, and the one between them.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Schedule;
use crate::choice;

/// Who asks, and when.
#[derive(Clone, Debug)]
pub enum Pace {
    /// Arrivals by a schedule, whatever the server does.
    Open {
        /// When.
        schedule: Schedule,
        /// Requests in flight at a time; one more is not sent.
        max_in_flight: NonZeroU32,
    },
    /// Users who wait for their answer before they ask again.
    Closed {
        /// How many.
        users: NonZeroU32,
        /// How long they ask.
        length: Duration,
        /// How many requests they make together, if that ends them before.
        requests: Option<u64>,
        /// When they would have asked; without it as soon as they can.
        schedule: Option<Schedule>,
    },
}

choice! {
    /// What latency is measured from, and what holds a request back: results of different kinds do not add up.
    pub enum PaceKind {
        /// Requests start by the schedule.
        Open = "open",
        /// Each user asks again when the answer is there.
        Closed = "closed",
        /// The users of a closed loop take their turns from the schedule.
        Paced = "paced",
    }
}

impl Pace {
    /// How its results are to be read.
    #[must_use]
    pub const fn kind(&self) -> PaceKind {
        match self {
            Self::Open { .. } => PaceKind::Open,
            Self::Closed { schedule: None, .. } => PaceKind::Closed,
            Self::Closed { schedule: Some(_), .. } => PaceKind::Paced,
        }
    }
}
