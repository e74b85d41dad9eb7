//! One request, as the recorder sees it.

use tokio::time::Instant;

use crate::choice;

/// One offered request, once it is known what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When the schedule said that the request should start.
    pub intended: Instant,
    /// When it was in fact sent; `None` when it never was.
    pub sent: Option<Instant>,
    /// When the outcome was known: the last byte of the answer, the refusal, the end of the run.
    pub finished: Instant,
    /// What became of it.
    pub outcome: Outcome,
}

choice! {
    /// What became of an offered request.
    pub enum Outcome {
        /// Answered with 200.
        Ok = "ok",
        /// Answered, but the answer reports a failure (such as a 502).
        ServiceError = "service_error",
        /// Turned away by the server's own protection (429 or 503).
        Shed = "shed",
        /// The server gave up at its deadline (504).
        Deadline = "deadline",
        /// The caller went away before the answer.
        Cancelled = "cancelled",
        /// The caller's own time limit passed before the answer.
        TimedOut = "timed_out",
        /// The server refused the connection or the request, and sent no answer.
        Refused = "refused",
        /// There was no connection for another reason, or it broke before the whole answer had come.
        Failed = "failed",
        /// The generator was at its own limit and did not send.
        NotSent = "not_sent",
        /// Still in flight when the run ended.
        Unfinished = "unfinished",
    }
}

/// How an outcome counts in the headline percentiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// An answer, with the time it took.
    Answered,
    /// No useful answer will ever come: slower than any number.
    InfinitelySlow,
    /// Not known: the run ended first.
    Censored,
}

impl Outcome {
    /// How the outcome counts in the headline percentiles.
    #[must_use]
    pub const fn fate(self) -> Fate {
        match self {
            Self::Ok | Self::ServiceError => Fate::Answered,
            Self::Shed
            | Self::Deadline
            | Self::Cancelled
            | Self::TimedOut
            | Self::Refused
            | Self::Failed
            | Self::NotSent => Fate::InfinitelySlow,
            Self::Unfinished => Fate::Censored,
        }
    }

    /// The position in [`Outcome::ALL`].
    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_an_outcome_is_its_place_in_the_list() {
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome.index(), place, "{}", outcome.label());
        }
    }
}
