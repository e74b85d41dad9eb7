//! From samples to histograms: the headline, and the second view by outcome.

use std::time::Duration;

use super::{Fate, Histogram, Outcome, Rate, Sample};

/// Counts samples in histograms; one owner each, merged at the end.
///
/// The headline is over all offered requests, from the intended start. Beside it stand the time
/// from the actual send, how late sends were, and the time each outcome took to be known. Memory
/// is bounded by the number of outcomes seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorder {
    headline: Histogram,
    since_sent: Histogram,
    send_lag: Histogram,
    by_outcome: [Option<Box<Histogram>>; Outcome::ALL.len()],
}

impl Recorder {
    pub(super) fn with_views(headline: Histogram, since_sent: Histogram, send_lag: Histogram) -> Self {
        Self { headline, since_sent, send_lag, by_outcome: Default::default() }
    }

    pub(super) fn set(&mut self, outcome: Outcome, histogram: Histogram) {
        self.by_outcome[outcome.index()] = Some(Box::new(histogram));
    }

    /// Counts one sample. Instants out of order count as no time between them.
    pub fn record(&mut self, sample: Sample) {
        let took = sample.finished.saturating_duration_since(sample.intended);
        count(&mut self.headline, sample.outcome.fate(), took);
        if let Some(sent) = sample.sent {
            let took = sample.finished.saturating_duration_since(sent);
            count(&mut self.since_sent, sample.outcome.fate(), took);
            self.send_lag.record(sent.saturating_duration_since(sample.intended));
        }
        self.by_outcome[sample.outcome.index()].get_or_insert_default().record(took);
    }

    /// Adds what `other` counted. The order of merges does not matter.
    pub fn merge(&mut self, other: &Self) {
        self.headline.merge(&other.headline);
        self.since_sent.merge(&other.since_sent);
        self.send_lag.merge(&other.send_lag);
        for (mine, theirs) in self.by_outcome.iter_mut().zip(&other.by_outcome) {
            if let Some(theirs) = theirs {
                mine.get_or_insert_default().merge(theirs);
            }
        }
    }

    /// All offered requests, from their intended start.
    #[must_use]
    pub const fn headline(&self) -> &Histogram {
        &self.headline
    }

    /// The requests that were sent, from the actual send.
    #[must_use]
    pub const fn since_sent(&self) -> &Histogram {
        &self.since_sent
    }

    /// How long after their intended start requests were sent.
    #[must_use]
    pub const fn send_lag(&self) -> &Histogram {
        &self.send_lag
    }

    /// The requests of one outcome, with the time until it was known; `None` when there are none.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> Option<&Histogram> {
        self.by_outcome[outcome.index()].as_deref()
    }

    /// The good rate: answers of 200 within the SLO, out of all offered requests.
    #[must_use]
    pub fn good(&self, slo: Duration) -> Rate {
        Rate {
            part: self.of(Outcome::Ok).map_or(0, |histogram| histogram.within(slo).part),
            whole: self.headline.offered(),
        }
    }
}

fn count(histogram: &mut Histogram, fate: Fate, took: Duration) {
    match fate {
        Fate::Answered => histogram.record(took),
        Fate::InfinitelySlow => histogram.record_infinitely_slow(),
        Fate::Censored => histogram.record_censored(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::latency::Quantile;

    fn sample(start: Instant, lag_ms: u64, total_ms: u64, outcome: Outcome) -> Sample {
        Sample {
            intended: start,
            sent: (outcome != Outcome::NotSent).then(|| start + Duration::from_millis(lag_ms)),
            finished: start + Duration::from_millis(total_ms),
            outcome,
        }
    }

    fn ms(histogram: &Histogram) -> Option<u128> {
        histogram.max().map(|max| max.as_millis())
    }

    #[test]
    fn latency_runs_from_the_intended_start() {
        let start = Instant::now();
        let mut recorder = Recorder::default();
        recorder.record(sample(start, 40, 100, Outcome::Ok));
        assert_eq!(ms(recorder.headline()), Some(100));
        assert_eq!(ms(recorder.since_sent()), Some(60));
        assert_eq!(ms(recorder.send_lag()), Some(40));
    }

    #[test]
    fn a_fast_refusal_is_slow_in_the_headline_and_fast_in_its_own_view() {
        let start = Instant::now();
        let mut recorder = Recorder::default();
        for _ in 0..50 {
            recorder.record(sample(start, 0, 100, Outcome::Ok));
            recorder.record(sample(start, 0, 2, Outcome::Shed));
        }
        assert_eq!(recorder.headline().percentile(0.9), Quantile::NotReached);
        assert_eq!(ms(recorder.of(Outcome::Shed).unwrap()), Some(2));
        assert!(recorder.of(Outcome::Deadline).is_none());
    }

    #[test]
    fn only_answers_of_200_within_the_slo_are_good() {
        let start = Instant::now();
        let mut recorder = Recorder::default();
        recorder.record(sample(start, 0, 100, Outcome::Ok));
        recorder.record(sample(start, 0, 2_000, Outcome::Ok));
        recorder.record(sample(start, 0, 100, Outcome::ServiceError));
        recorder.record(sample(start, 0, 0, Outcome::NotSent));
        recorder.record(sample(start, 0, 500, Outcome::Unfinished));
        let good = recorder.good(Duration::from_millis(1_500));
        assert_eq!(good, Rate { part: 1, whole: 5 });
        assert_eq!(recorder.since_sent().offered(), 4);
    }

    #[test]
    fn merged_recorders_equal_one_that_saw_everything() {
        let start = Instant::now();
        let mut all = Recorder::default();
        let mut halves = [Recorder::default(), Recorder::default()];
        for (i, outcome) in Outcome::ALL.into_iter().cycle().take(40).enumerate() {
            let sample = sample(start, 1, 10 + i as u64, outcome);
            all.record(sample);
            halves[i % 2].record(sample);
        }
        let [mut merged, other] = halves;
        merged.merge(&other);
        assert_eq!(merged, all);
    }
}
