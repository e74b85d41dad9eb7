//! One request, as the recorder sees it.

use tokio::time::Instant;

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

/// What became of an offered request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// Answered with 200.
    Ok,
    /// Answered, but the answer reports a failure (such as a 502).
    ServiceError,
    /// Turned away by the server's own protection (429 or 503).
    Shed,
    /// The server gave up at its deadline (504).
    Deadline,
    /// The caller went away before the answer.
    Cancelled,
    /// The caller's own time limit passed before the answer.
    TimedOut,
    /// No connection, or one that broke before the whole answer had come.
    Refused,
    /// The generator was at its own limit and did not send.
    NotSent,
    /// Still in flight when the run ended.
    Unfinished,
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
    /// Every outcome, in the order of declaration.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::ServiceError,
        Self::Shed,
        Self::Deadline,
        Self::Cancelled,
        Self::TimedOut,
        Self::Refused,
        Self::NotSent,
        Self::Unfinished,
    ];

    /// The name used in labels and reports.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ServiceError => "service_error",
            Self::Shed => "shed",
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Refused => "refused",
            Self::NotSent => "not_sent",
            Self::Unfinished => "unfinished",
        }
    }

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
