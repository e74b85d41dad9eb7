//! What a policy sees: the pipeline now, and at the checks before.

use std::{collections::VecDeque, time::Duration};

/// The supervisor remembers this many checks, and no policy looks back further.
pub const PAST_LIMIT_CHECKS: u32 = 600;
/// Rates and utilisation are measured over this many checks: enough to smooth single jobs.
const MEASURED_OVER_CHECKS: usize = 10;
/// The service time is measured over this many: it changes more slowly than the load.
const SERVICE_OVER_CHECKS: usize = 60;

/// The pipeline at one moment. Counts and times are sums since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reading {
    /// When, since the start.
    pub at: Duration,
    /// The wanted number of workers, without those that finish their last job.
    pub workers: u32,
    /// Jobs that wait, retries among them.
    pub waiting: u64,
    /// Jobs in progress.
    pub running: u64,
    /// Jobs that the producer wanted to enqueue, whether or not there was room.
    pub offered: u64,
    /// Retries that were asked for.
    pub retried: u64,
    /// Attempts that ended.
    pub attempts: u64,
    /// Time that those took.
    pub service: Duration,
    /// Time that workers spent working.
    pub busy: Duration,
    /// Time that workers were running: what one would pay for.
    pub paid: Duration,
}

/// What was decided at a check.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Decision {
    /// The number of workers from now on.
    pub workers: u32,
    /// The number before windows and limits were applied.
    pub recommended: u32,
    /// The same before it was rounded; a controller's output.
    pub output: f64,
}

impl Decision {
    /// A decision without windows and rounding.
    pub(super) fn plain(workers: u32) -> Self {
        Self { workers, recommended: workers, output: f64::from(workers) }
    }
}

/// The last checks, oldest first; at most [`PAST_LIMIT_CHECKS`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past(VecDeque<(Reading, Decision)>);

impl Past {
    /// Remembers a check, and forgets the oldest when there are too many.
    pub fn remember(&mut self, reading: Reading, decision: Decision) {
        if self.0.len() >= PAST_LIMIT_CHECKS as usize {
            self.0.pop_front();
        }
        self.0.push_back((reading, decision));
    }

    /// The last check.
    pub(super) fn last(&self) -> Option<&(Reading, Decision)> {
        self.0.back()
    }

    /// The check before the last.
    pub(super) fn last_but_one(&self) -> Option<&(Reading, Decision)> {
        self.0.iter().rev().nth(1)
    }

    /// The checks at `since` or later, latest first.
    pub(super) fn since(&self, since: Duration) -> impl Iterator<Item = &(Reading, Decision)> {
        self.0.iter().rev().take_while(move |(reading, _)| reading.at >= since)
    }

    /// The reading `checks` checks ago, or the start where the past is shorter.
    fn ago(&self, checks: usize) -> Reading {
        match self.0.len().checked_sub(checks) {
            Some(place) => self.0.get(place).map_or_else(Reading::default, |(reading, _)| *reading),
            None => Reading::default(),
        }
    }
}

/// What a policy decides on.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// The pipeline now.
    pub now: Reading,
    /// The readings and decisions of earlier checks.
    pub past: &'a Past,
    /// Workers at least.
    pub min: u32,
    /// Workers at most.
    pub max: u32,
    /// The assumed service time until attempts have ended.
    pub expected_service: Duration,
}

impl Observation<'_> {
    /// Jobs queued, in progress and waiting for a retry.
    pub fn backlog(&self) -> u64 {
        self.now.waiting + self.now.running
    }

    /// Attempts a second that arrived over the last checks: jobs wanted to be handed in, and retries.
    pub fn arrivals_per_s(&self) -> f64 {
        let then = self.past.ago(MEASURED_OVER_CHECKS);
        let arrived = self.arrived_since(&then) as f64;
        ratio(arrived, self.now.at.saturating_sub(then.at).as_secs_f64()).unwrap_or(0.0)
    }

    /// The mean time of an attempt over the last checks.
    pub fn service_s(&self) -> f64 {
        let then = self.past.ago(SERVICE_OVER_CHECKS);
        let attempts = self.now.attempts.saturating_sub(then.attempts);
        let service = self.now.service.saturating_sub(then.service);
        ratio(service.as_secs_f64(), attempts as f64).unwrap_or(self.expected_service.as_secs_f64())
    }

    /// The share of the workers' time over the last checks that was spent working, 0 to 1.
    pub fn utilisation(&self) -> f64 {
        let then = self.past.ago(MEASURED_OVER_CHECKS);
        let busy = self.now.busy.saturating_sub(then.busy).as_secs_f64();
        let paid = self.now.paid.saturating_sub(then.paid).as_secs_f64();
        ratio(busy, paid).unwrap_or(0.0).min(1.0)
    }

    /// Whether there is nothing to do and nothing has come over the last checks.
    pub fn is_idle(&self) -> bool {
        self.backlog() == 0 && self.arrived_since(&self.past.ago(MEASURED_OVER_CHECKS)) == 0
    }

    fn arrived_since(&self, then: &Reading) -> u64 {
        self.now.offered.saturating_sub(then.offered) + self.now.retried.saturating_sub(then.retried)
    }
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}
