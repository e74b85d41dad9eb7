//! How an attempt ends, decided purely: from what the handler said to what the store is asked to do.

use crate::labelled;

/// The longest error that is kept, in bytes. Longer ones are cut.
pub const ERROR_LIMIT_BYTES: usize = 2_048;

/// What a handler's attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The work is done.
    Done,
    /// The work failed; another attempt may succeed.
    Failed {
        /// Why, for people.
        error: String,
        /// How long the next attempt should wait at least, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// The work failed, and would fail again.
    FailedForGood {
        /// Why, for people.
        error: String,
    },
    /// Not now: start it again after this time, without counting a failure.
    Snoozed {
        /// The time, in milliseconds.
        ms: u64,
    },
    /// The task was cancelled while it ran.
    Cancelled,
    /// The worker stops before the attempt has ended. Nothing is counted.
    HandedBack,
}

labelled! {
    /// Why a task became a dead letter.
    pub enum DeathReason {
        /// It failed as often as it may.
        Exhausted = "exhausted",
        /// Its handler said that it would fail again.
        Final = "final",
        /// Its worker's process died with it, and no other task, more than once.
        Crashed = "crashed",
        /// What was pushed to the raw list is no task.
        Malformed = "malformed",
    }
}

/// What the store is asked to do with a task whose attempt has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settle {
    /// Done.
    Succeeded,
    /// Wait, then start again; a failure is counted.
    Retry {
        /// How long it waits, in milliseconds.
        delay_ms: u64,
        /// Why it failed.
        error: String,
    },
    /// Wait, then start again; nothing is counted.
    Snooze {
        /// How long it waits, in milliseconds.
        delay_ms: u64,
    },
    /// Return to its lane; nothing is counted.
    HandBack,
    /// Becomes a dead letter.
    Bury {
        /// Why.
        reason: DeathReason,
        /// The last error.
        error: String,
    },
    /// Ended because it was cancelled.
    Cancelled,
}

/// How failed tasks are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The wait before the first retry at most, in milliseconds; doubled for each further one.
    pub backoff_ms: u64,
    /// The wait before any retry at most, in milliseconds.
    pub backoff_limit_ms: u64,
}

impl RetryPolicy {
    /// The wait after `failures` failures: drawn evenly from the upper half of the doubled back-off, so that tasks
    /// that failed together do not come back together. `draw` is in 0..1.
    fn wait_ms(self, failures: u32, draw: f64) -> u64 {
        let doubled = self.backoff_ms.saturating_mul(1 << failures.saturating_sub(1).min(32));
        let longest = doubled.min(self.backoff_limit_ms);
        longest - (longest as f64 / 2.0 * draw) as u64
    }
}

/// What follows from `verdict` on an attempt of a task that has failed `failures` times before and may fail
/// `attempts_limit` times. `draw` is in 0..1.
pub fn settle(
    verdict: Verdict,
    (failures, attempts_limit): (u32, u32),
    policy: RetryPolicy,
    draw: f64,
) -> Settle {
    match verdict {
        Verdict::Done => Settle::Succeeded,
        Verdict::Failed { error, retry_after_ms } => {
            let failures = failures.saturating_add(1);
            let error = cut(error);
            if failures >= attempts_limit {
                return Settle::Bury { reason: DeathReason::Exhausted, error };
            }
            let delay_ms = policy.wait_ms(failures, draw).max(retry_after_ms.unwrap_or(0));
            Settle::Retry { delay_ms, error }
        }
        Verdict::FailedForGood { error } => Settle::Bury { reason: DeathReason::Final, error: cut(error) },
        Verdict::Snoozed { ms } => Settle::Snooze { delay_ms: ms },
        Verdict::Cancelled => Settle::Cancelled,
        Verdict::HandedBack => Settle::HandBack,
    }
}

/// Cuts an error to [`ERROR_LIMIT_BYTES`], at a character.
pub(super) fn cut(mut error: String) -> String {
    if error.len() > ERROR_LIMIT_BYTES {
        error.truncate(error.floor_char_boundary(ERROR_LIMIT_BYTES));
    }
    error
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: RetryPolicy = RetryPolicy { backoff_ms: 1_000, backoff_limit_ms: 60_000 };

    fn failed(retry_after_ms: Option<u64>) -> Verdict {
        Verdict::Failed { error: "no".to_owned(), retry_after_ms }
    }

    #[test]
    fn the_last_attempt_buries_the_task() {
        let retried = settle(failed(None), (1, 3), POLICY, 0.0);
        assert_eq!(retried, Settle::Retry { delay_ms: 2_000, error: "no".to_owned() });
        let buried = settle(failed(None), (2, 3), POLICY, 0.0);
        assert_eq!(buried, Settle::Bury { reason: DeathReason::Exhausted, error: "no".to_owned() });
    }

    #[test]
    fn a_wait_that_the_service_asked_for_is_kept() {
        let retried = settle(failed(Some(90_000)), (0, 3), POLICY, 0.0);
        assert_eq!(retried, Settle::Retry { delay_ms: 90_000, error: "no".to_owned() });
    }

    #[test]
    fn an_error_is_cut_at_a_character() {
        let cut = cut("ü".repeat(2_000));
        assert_eq!(cut.len(), ERROR_LIMIT_BYTES);
        assert!(super::cut(format!("a{}", "ü".repeat(2_000))).len() == ERROR_LIMIT_BYTES - 1);
    }

    proptest! {
        #[test]
        fn a_wait_lies_in_the_upper_half_of_the_back_off(failures in 1_u32..100, draw in 0.0..1.0) {
            let longest = (1_000_u64 << (failures - 1).min(20)).min(60_000);
            let wait = POLICY.wait_ms(failures, draw);
            prop_assert!((longest.div_ceil(2)..=longest).contains(&wait), "{wait} of {longest}");
        }
    }
}
