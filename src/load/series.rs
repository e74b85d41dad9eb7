//! A run second by second, in memory that is bounded by its length and its time limit.
//!
//! A request belongs to the second in which it was intended. Seconds that can still change keep a small
//! histogram; those whose last request must have ended are closed: their percentiles are read and the
//! histogram is dropped.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use hdrhistogram::Histogram as Buckets;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::latency::{Fate, Outcome, Percentiles, Quantile, SAMPLES_BEYOND};

/// The longest series: a day. Later requests count in its last second.
const SECONDS_LIMIT: u64 = 86_400;
/// The longest latency that is distinguished, in microseconds: an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// Seconds in order; those without a request are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Series {
    #[serde(skip)]
    slo: Duration,
    /// By their number from 0.
    seconds: BTreeMap<u64, Second>,
    #[serde(skip)]
    open: BTreeMap<u64, Buckets<u32>>,
}

/// The counts of one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Second {
    /// Requests whose intended start is in it.
    pub offered: u64,
    /// Successes.
    pub ok: u64,
    /// Successes within the objective.
    pub good: u64,
    /// Answers that report a failure.
    pub service_error: u64,
    /// Refused by the server's own protection, or given up at its deadline.
    pub shed: u64,
    /// No whole answer: refused, broken or timed out.
    pub failed: u64,
    /// Not sent by the generator.
    pub not_sent: u64,
    /// In flight when the run ended.
    pub unfinished: u64,
    /// Over all offered; `null` where nothing was answered, or where the counts of two hosts were added: their
    /// percentiles do not add up.
    #[schema(required)]
    pub latency: Option<Percentiles>,
}

impl Series {
    /// An empty series; answers within `slo` are good.
    #[must_use]
    pub fn new(slo: Duration) -> Self {
        Self { slo, ..Self::default() }
    }

    pub(super) fn record(&mut self, at: Duration, outcome: Outcome, took: Duration) {
        let index = at.as_secs().min(SECONDS_LIMIT - 1);
        let second = self.seconds.entry(index).or_default();
        second.offered += 1;
        match outcome {
            Outcome::Ok => {
                second.ok += 1;
                second.good += u64::from(took <= self.slo);
            }
            Outcome::ServiceError => second.service_error += 1,
            Outcome::Shed | Outcome::Deadline => second.shed += 1,
            Outcome::Cancelled | Outcome::TimedOut | Outcome::Refused | Outcome::Failed => second.failed += 1,
            Outcome::NotSent => second.not_sent += 1,
            Outcome::Unfinished => second.unfinished += 1,
        }
        if outcome.fate() == Fate::Answered
            && let Some(buckets) = self.open_at(index)
        {
            let us = u64::try_from(took.as_micros()).unwrap_or(LONGEST_US);
            // Grows as it must; the range is far below what it can hold.
            let recorded = buckets.record(us.clamp(1, LONGEST_US));
            debug_assert!(recorded.is_ok(), "{recorded:?}");
        }
    }

    /// Two digits are enough for a line on a chart; it grows with the longest time in it.
    fn open_at(&mut self, index: u64) -> Option<&mut Buckets<u32>> {
        Some(match self.open.entry(index) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let mut buckets = Buckets::new(2).ok()?;
                buckets.auto(true);
                entry.insert(buckets)
            }
        })
    }

    /// Closes the seconds whose requests have all ended by `now`, each having `limit` to do so.
    pub(super) fn close_until(&mut self, now: Duration, limit: Duration) {
        while let Some(first) = self.open.first_entry() {
            if Duration::from_secs(first.key() + 2) + limit > now {
                break;
            }
            let (index, buckets) = first.remove_entry();
            self.close(index, &buckets);
        }
    }

    /// Closes all seconds.
    pub(super) fn close_all(&mut self) {
        for (index, buckets) in std::mem::take(&mut self.open) {
            self.close(index, &buckets);
        }
    }

    fn close(&mut self, index: u64, buckets: &Buckets<u32>) {
        if let Some(second) = self.seconds.get_mut(&index) {
            let (n, answered) = (second.offered, buckets.len());
            let time = |us: f64| Quantile::Value(Duration::from_secs_f64(us / 1e6));
            let of_all = |us: f64| if answered == n { time(us) } else { Quantile::NotReached };
            let read = |q: f64| {
                let rank = (q * n as f64).ceil().max(1.0);
                // As everywhere: noise is not shown.
                if n as f64 * (1.0 - q) + 1e-9 < SAMPLES_BEYOND {
                    Quantile::TooFew { n }
                } else if rank > answered as f64 {
                    Quantile::NotReached
                } else {
                    time(buckets.value_at_quantile((rank - 0.5) / answered as f64) as f64)
                }
            };
            second.latency =
                Some(Percentiles::read(n, of_all(buckets.mean()), of_all(buckets.max() as f64), read));
        }
    }

    /// Adds another host's counts.
    pub(super) fn merge(&mut self, other: &Self) {
        for (index, theirs) in &other.seconds {
            let mine = self.seconds.entry(*index).or_default();
            let alone = mine.offered == 0;
            *mine = Second {
                offered: mine.offered + theirs.offered,
                ok: mine.ok + theirs.ok,
                good: mine.good + theirs.good,
                service_error: mine.service_error + theirs.service_error,
                shed: mine.shed + theirs.shed,
                failed: mine.failed + theirs.failed,
                not_sent: mine.not_sent + theirs.not_sent,
                unfinished: mine.unfinished + theirs.unfinished,
                latency: theirs.latency.filter(|_| alone),
            };
        }
    }

    /// The same series with that objective, which its JSON leaves out.
    #[must_use]
    pub fn within(self, slo: Duration) -> Self {
        Self { slo, ..self }
    }

    /// The seconds that had a request, by their number from 0.
    pub fn seconds(&self) -> impl Iterator<Item = (u64, &Second)> {
        self.seconds.iter().map(|(index, second)| (*index, second))
    }

    /// Good answers are those within this.
    #[must_use]
    pub const fn slo(&self) -> Duration {
        self.slo
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_request_counts_in_the_second_of_its_intended_start() {
        let mut series = Series::new(ms(100));
        for n in 0..100 {
            series.record(ms(n * 10), Outcome::Ok, ms(50 + n));
        }
        for n in 0..10 {
            series.record(ms(1_500 + n), Outcome::TimedOut, ms(5_000));
            series.record(ms(1_600 + n), Outcome::Ok, ms(20));
        }
        series.close_until(ms(3_900), ms(1_000));
        assert_eq!(series.open.len(), 1, "the first can change no more");
        series.close_all();
        let seconds: Vec<(u64, Second)> = series.seconds().map(|(index, second)| (index, *second)).collect();
        let (_, first) = seconds[0];
        assert_eq!((first.offered, first.ok, first.good), (100, 100, 51));
        let latency = first.latency.unwrap();
        assert!((latency.p50.ms().unwrap() - 99.0).abs() < 2.0, "{first:?}");
        assert_eq!(latency.p95, Quantile::TooFew { n: latency.n }, "five requests beyond it are noise");
        let (index, second) = seconds[1];
        assert_eq!((index, second.offered, second.failed, second.good), (1, 20, 10, 10));
        let latency = second.latency.unwrap();
        assert!(latency.p50.ms().is_some() && latency.p99.ms().is_none(), "half of them never answered");
    }

    #[test]
    fn memory_is_bounded_by_the_time_limit() {
        let mut series = Series::new(ms(100));
        for second in 0..10_000_u64 {
            series.close_until(Duration::from_secs(second), ms(5_000));
            series.record(Duration::from_secs(second), Outcome::Ok, ms(3));
        }
        assert!(series.open.len() <= 8, "{}", series.open.len());
        series.record(Duration::from_secs(u64::MAX / 2), Outcome::Ok, ms(3));
        assert_eq!(series.seconds.last_key_value().map(|(index, _)| *index), Some(SECONDS_LIMIT - 1));
    }
}
