//! How an attempt ended, as it is counted.

use super::settle::Verdict;
use crate::labelled;

labelled! {
    /// How an attempt ended.
    pub(super) enum Ended {
        /// The work is done.
        Succeeded = "succeeded",
        /// It failed.
        Failed = "failed",
        /// The task was cancelled.
        Cancelled = "cancelled",
        /// It is to be started again later.
        Snoozed = "snoozed",
        /// It was handed back.
        HandedBack = "handed_back",
    }
}

impl Ended {
    pub(super) fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Done => Self::Succeeded,
            Verdict::Failed { .. } | Verdict::FailedForGood { .. } => Self::Failed,
            Verdict::Cancelled => Self::Cancelled,
            Verdict::Snoozed { .. } => Self::Snoozed,
            Verdict::HandedBack => Self::HandedBack,
        }
    }
}

/// The label of types that no handler is configured for.
pub(super) const OTHER: &str = "other";
