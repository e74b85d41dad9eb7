//! The kinds of load: an open loop, a closed loop, and a closed loop on a schedule.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Schedule;
use crate::choice;

/// The kind of load, with its schedule.
#[derive(Clone, Debug)]
pub enum Pace {
    /// Arrivals by a schedule, whatever the server does.
    Open {
        /// When requests start.
        schedule: Schedule,
        /// Requests in flight at a time; one more is not sent.
        max_in_flight: NonZeroU32,
    },
    /// Users who wait for their answer before they send the next request.
    Closed {
        /// Number of users.
        users: NonZeroU32,
        /// How long they send requests.
        length: Duration,
        /// The number of requests after which they end, if that comes first.
        requests: Option<u64>,
        /// When requests should start; without it as soon as a user has the previous answer.
        schedule: Option<Schedule>,
    },
}

choice! {
    /// The kind of loop: results of different kinds cannot be added, as their latency means different things.
    pub enum PaceKind {
        /// Requests start by the schedule.
        Open = "open",
        /// Each user sends the next request when it has the answer.
        Closed = "closed",
        /// The users of a closed loop follow a schedule.
        Paced = "paced",
    }
}

impl Pace {
    /// Its kind of loop.
    #[must_use]
    pub const fn kind(&self) -> PaceKind {
        match self {
            Self::Open { .. } => PaceKind::Open,
            Self::Closed { schedule: None, .. } => PaceKind::Closed,
            Self::Closed { schedule: Some(_), .. } => PaceKind::Paced,
        }
    }
}
