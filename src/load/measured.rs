//! The measurement of a run: latency, and the counts of an HTTP client.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::part::{self, Part};
use super::series::Series;
use super::{Cause, Completed, Trace};
use crate::latency::{Histogram, Outcome, Percentile, Rate, Recorder, Sample, milliseconds};

/// Above this the generator itself was late: its figures are not the server's alone.
pub const LAG_LIMIT: Duration = Duration::from_millis(2);

/// Everything that a run measured. Two of them can be added, as of two hosts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Measured {
    /// Latency from the intended start, from the send, by outcome.
    pub recorder: Recorder,
    /// Whole answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without a whole answer, by cause; those that are 0 are left out.
    pub causes: BTreeMap<String, u64>,
    /// The same for each target, in order; empty for one target.
    pub parts: Vec<Part>,
    /// How late the generator started requests: its own lag, without any wait for a connection.
    pub own_lag: Histogram,
    /// How long connections took to make.
    pub connect: Histogram,
    /// From the send to the head of the answer.
    pub first_byte: Histogram,
    /// Bytes of the answers' bodies.
    pub body_bytes: u64,
    /// How long the schedule was to last, milliseconds.
    pub scheduled_ms: f64,
    /// From the start to the last send, milliseconds: longer than the schedule where the generator fell behind.
    pub sending_ms: f64,
    /// From the start to the last answer, milliseconds.
    pub elapsed_ms: f64,
    /// Whether it ended before its schedule.
    pub interrupted: bool,
    /// Second by second.
    pub series: Series,
}

/// One request, whose end is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndedRequest {
    pub(super) start: Instant,
    pub(super) intended: Instant,
    pub(super) finished: Instant,
    pub(super) trace: Trace,
    /// `None`: still in flight when the run ended.
    pub(super) result: Option<Result<Completed, Cause>>,
}

impl Measured {
    /// An empty measurement; answers within `slo` are good.
    #[must_use]
    pub fn new(slo: Duration) -> Self {
        Self { series: Series::new(slo), ..Self::default() }
    }

    pub(super) fn record(&mut self, ended: &EndedRequest) -> Outcome {
        let EndedRequest { start, intended, finished, trace, result } = *ended;
        let outcome = match result {
            Some(Ok(answer)) => {
                self.body_bytes += answer.body_bytes;
                answer.outcome()
            }
            Some(Err(cause)) => cause.outcome(),
            None => Outcome::Unfinished,
        };
        part::tally(&mut self.statuses, &mut self.causes, result);
        let sample = Sample { intended, sent: trace.sent, finished, outcome };
        if let Some(part) = self.parts.get_mut(trace.target) {
            part.record(sample, result);
        }
        self.recorder.record(sample);
        if let Some(took) = trace.connect {
            self.connect.record(took);
        }
        if let (Some(sent), Some(first_byte)) = (trace.sent, trace.first_byte) {
            self.first_byte.record(first_byte.saturating_duration_since(sent));
        }
        let since_start = |at: Instant| milliseconds(at.saturating_duration_since(start));
        if let Some(sent) = trace.sent {
            self.sending_ms = self.sending_ms.max(since_start(sent));
        }
        self.elapsed_ms = self.elapsed_ms.max(since_start(finished));
        let at = intended.saturating_duration_since(start);
        self.series.record(at, outcome, finished.saturating_duration_since(intended));
        outcome
    }

    /// Adds what another host measured at the same time: counts add up, the times are the longer ones.
    pub fn merge(&mut self, other: &Self) {
        self.recorder.merge(&other.recorder);
        part::add(&mut self.statuses, &other.statuses);
        part::add(&mut self.causes, &other.causes);
        for part in &other.parts {
            match self.parts.iter_mut().find(|mine| mine.target == part.target) {
                Some(mine) => mine.merge(part),
                None => self.parts.push(part.clone()),
            }
        }
        self.own_lag.merge(&other.own_lag);
        self.connect.merge(&other.connect);
        self.first_byte.merge(&other.first_byte);
        self.body_bytes += other.body_bytes;
        self.scheduled_ms = self.scheduled_ms.max(other.scheduled_ms);
        self.sending_ms = self.sending_ms.max(other.sending_ms);
        self.elapsed_ms = self.elapsed_ms.max(other.elapsed_ms);
        self.interrupted |= other.interrupted;
        self.series.merge(&other.series);
    }

    /// All requests that were offered.
    #[must_use]
    pub fn offered(&self) -> u64 {
        self.recorder.headline().offered()
    }

    /// Requests that were handed to a connection.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.recorder.since_sent().offered()
    }

    /// Whole answers of any status.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// How many requests had this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.recorder.of(outcome).map_or(0, Histogram::offered)
    }

    /// How many had this cause.
    #[must_use]
    pub fn caused(&self, cause: Cause) -> u64 {
        self.causes.get(cause.label()).copied().unwrap_or(0)
    }

    /// Whether requests have ended and none of them had a connection. Requests that were not sent do not count.
    #[must_use]
    pub fn is_without_connection(&self) -> bool {
        let lost: u64 = self.causes.values().sum::<u64>() - self.caused(Cause::NotSent);
        let without = Cause::ALL.into_iter().filter(|cause| cause.is_without_connection());
        lost > 0 && self.statuses.is_empty() && without.map(|cause| self.caused(cause)).sum::<u64>() == lost
    }

    /// The share of successes among the offered.
    #[must_use]
    pub fn ok(&self) -> Rate {
        Rate { part: self.count(Outcome::Ok), whole: self.offered() }
    }

    /// Requests offered a second, over the time the schedule was to last.
    #[must_use]
    pub fn offered_per_second(&self) -> f64 {
        per_second(self.offered(), self.scheduled_ms)
    }

    /// Requests sent a second, over the time that sending took.
    #[must_use]
    pub fn sent_per_second(&self) -> f64 {
        per_second(self.sent(), self.scheduled_ms.max(self.sending_ms))
    }

    /// Whole answers a second, over the time until the last one.
    #[must_use]
    pub fn answered_per_second(&self) -> f64 {
        per_second(self.answered(), self.scheduled_ms.max(self.elapsed_ms))
    }

    /// Whether the generator itself was late: the p99 of its own lag (of fewer than a thousand requests
    /// the highest percentile that they carry), when it is above [`LAG_LIMIT`].
    #[must_use]
    pub fn fell_behind(&self) -> Option<Percentile> {
        late(&self.own_lag)
    }

    /// Whether requests waited for a connection before they were sent, by the same measure.
    #[must_use]
    pub fn waited_for_connections(&self) -> Option<Percentile> {
        late(self.recorder.send_lag())
    }
}

fn late(lag: &Histogram) -> Option<Percentile> {
    let shown = [0.99, 0.95, 0.9, 0.5].map(|q| lag.labelled_percentile(q));
    let highest = shown.into_iter().find(|shown| shown.quantile.value().is_some())?;
    highest.quantile.value().filter(|lag| *lag > LAG_LIMIT).map(|_| highest)
}

fn per_second(count: u64, ms: f64) -> f64 {
    if ms > 0.0 { count as f64 * 1e3 / ms } else { 0.0 }
}
