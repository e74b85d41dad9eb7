//! A run's state and time in words: how long it has been running, or how long ago it ended.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::lifecycle::{RunState, RunTimes};

/// A run's state and its time, as a page shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Clock {
    /// The state of the lifecycle.
    pub state: RunState,
    /// The state for people.
    pub word: &'static str,
    /// The time in that state.
    pub text: String,
}

impl Clock {
    /// The clock of the run of `times`, the last one that began, at `now`.
    pub(super) fn of(state: RunState, times: Option<RunTimes>, now: Instant) -> Self {
        let since = |then: Instant| long(now.saturating_duration_since(then));
        let (word, text) = match (state, times) {
            (RunState::Running, Some(run)) => ("Running", format!("for {}", since(run.begun))),
            (RunState::Draining, Some(run)) => {
                let begun = since(run.begun);
                ("Draining", format!("finishing the work that is left; started {begun} ago"))
            }
            (RunState::Idle, Some(RunTimes { begun, ended: Some(ended) })) => {
                let length = long(ended.saturating_duration_since(begun));
                ("Ended", format!("{} ago, after a run of {length}", since(ended)))
            }
            (RunState::Running, None) => ("Running", String::new()),
            (RunState::Draining, None) => ("Draining", String::new()),
            (RunState::Idle, _) => ("Not started", String::new()),
        };
        Self { state, word, text }
    }
}

/// A length of time in whole seconds: `12 s`, `2 min 5 s`, `3 h 1 min`.
fn long(length: Duration) -> String {
    let seconds = length.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_runs_from_the_runs_start_and_says_how_long_ago_it_ended() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let running = Some(RunTimes { begun, ended: None });
        let ended = Some(RunTimes { begun, ended: Some(at(125)) });
        for (state, times, now, said) in [
            (RunState::Idle, None, 5, "Not started "),
            (RunState::Running, running, 12, "Running for 12 s"),
            (
                RunState::Draining,
                running,
                61,
                "Draining finishing the work that is left; started 1 min 1 s ago",
            ),
            (RunState::Idle, ended, 137, "Ended 12 s ago, after a run of 2 min 5 s"),
            (RunState::Idle, ended, 125 + 3_661, "Ended 1 h 1 min ago, after a run of 2 min 5 s"),
        ] {
            let Clock { word, text, .. } = Clock::of(state, times, at(now));
            assert_eq!(format!("{word} {text}"), said);
        }
    }
}
