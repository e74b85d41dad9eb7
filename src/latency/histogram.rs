//! Pure histogram arithmetic: finite times in buckets, the rest as counters on the slow side.

use std::time::Duration;

use hdrhistogram::Histogram as Buckets;

use super::{Percentile, Quantile, Rate};

/// The shortest and the longest time told apart, in microseconds. What is outside counts at the edge.
const LOWEST_US: u64 = 1;
const HIGHEST_US: u64 = 3_600_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// A percentile is given only when this many samples lie beyond it.
pub const SAMPLES_BEYOND: f64 = 10.0;

/// Room for the binary tail of shares such as 0.9, relative to the number of samples.
const ROUNDING: f64 = 1e-9;

/// Latencies of offered requests: answered, infinitely slow, or censored.
///
/// Times are kept in microseconds from 1 µs to 1 h with three significant digits, which takes about
/// 190 KB however many samples there are. Percentiles are over *all* offered requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    answered: Buckets<u64>,
    infinitely_slow: u64,
    censored: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// An empty histogram.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the bounds are constants, and every test builds them")]
    pub fn new() -> Self {
        Self {
            answered: Buckets::new_with_bounds(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS)
                .expect("1 µs to 1 h in three digits are bounds that a histogram takes"),
            infinitely_slow: 0,
            censored: 0,
        }
    }

    /// Counts an answer that took `latency`.
    pub fn record(&mut self, latency: Duration) {
        let us = latency.as_secs().saturating_mul(1_000_000).saturating_add(latency.subsec_micros().into());
        self.answered.saturating_record(us.clamp(LOWEST_US, HIGHEST_US));
    }

    /// Counts a request that will never have a useful answer.
    pub fn record_infinitely_slow(&mut self) {
        self.infinitely_slow += 1;
    }

    /// Counts several of them at once.
    pub fn add_infinitely_slow(&mut self, requests: u64) {
        self.infinitely_slow += requests;
    }

    /// Counts a request that was still in flight when the run ended.
    pub fn record_censored(&mut self) {
        self.censored += 1;
    }

    /// Adds what `other` counted. The order of merges does not matter.
    pub fn merge(&mut self, other: &Self) {
        // Cannot fail: both have the same bounds.
        let added = self.answered.add(&other.answered);
        debug_assert!(added.is_ok(), "{added:?}");
        self.infinitely_slow += other.infinitely_slow;
        self.censored += other.censored;
    }

    /// How many requests were offered: all that was recorded.
    #[must_use]
    pub fn offered(&self) -> u64 {
        self.answered() + self.infinitely_slow + self.censored
    }

    /// How many had an answer.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.len()
    }

    /// How many will never have one.
    #[must_use]
    pub const fn infinitely_slow(&self) -> u64 {
        self.infinitely_slow
    }

    /// How many were cut off by the end of the run.
    #[must_use]
    pub const fn censored(&self) -> u64 {
        self.censored
    }

    /// The time within which a share `q` (0 to 1) of all offered requests was answered, true to
    /// three digits and never below the exact one.
    ///
    /// A `q` that leaves fewer than ten samples beyond it, as 1 always does, is [`Quantile::TooFew`].
    #[must_use]
    pub fn percentile(&self, q: f64) -> Quantile {
        let n = self.offered();
        let total = n as f64;
        let slack = total * ROUNDING;
        let beyond = total * (1.0 - q) + slack;
        if beyond.is_nan() || beyond < SAMPLES_BEYOND {
            return Quantile::TooFew { n };
        }
        let rank = (total * q - slack).ceil().max(1.0);
        let answered = self.answered() as f64;
        if rank > answered {
            return Quantile::NotReached;
        }
        // Half a rank below, because the histogram rounds up without room for the binary tail.
        let us = self.answered.value_at_quantile((rank - 0.5) / answered);
        Quantile::Value(Duration::from_micros(us))
    }

    /// [`Histogram::percentile`] with its name and sample size, for people.
    #[must_use]
    pub fn labelled_percentile(&self, q: f64) -> Percentile {
        Percentile { q, n: self.offered(), quantile: self.percentile(q) }
    }

    /// The mean of the answered ones, to three digits.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        self.unless_empty(|buckets| Duration::from_secs_f64(buckets.mean() / 1e6))
    }

    /// The shortest of the answered ones, to three digits as the [longest](Self::max): of one they are the same.
    #[must_use]
    pub fn min(&self) -> Option<Duration> {
        self.unless_empty(|buckets| Duration::from_micros(buckets.highest_equivalent(buckets.min())))
    }

    /// The longest of the answered ones, to three digits.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        self.unless_empty(|buckets| Duration::from_micros(buckets.max()))
    }

    /// The share of offered requests that were answered within `limit`. An answer that differs from
    /// the limit only in the fourth digit counts as within.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Rate {
        let us = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        let part = if us < LOWEST_US { 0 } else { self.answered.count_between(0, us.min(HIGHEST_US)) };
        Rate { part, whole: self.offered() }
    }

    pub(super) const fn buckets(&self) -> &Buckets<u64> {
        &self.answered
    }

    /// A histogram of these answers, whatever range they were recorded with; what is outside the own
    /// range counts at its edge.
    pub(super) fn from_parts(
        answered: &Buckets<u64>,
        infinitely_slow: u64,
        censored: u64,
    ) -> Result<Self, &'static str> {
        let mut histogram = Self { infinitely_slow, censored, ..Self::new() };
        for step in answered.iter_recorded() {
            let us = step.value_iterated_to().clamp(LOWEST_US, HIGHEST_US);
            histogram.answered.saturating_record_n(us, step.count_at_value());
        }
        let total = histogram.answered().checked_add(infinitely_slow);
        total.and_then(|sum| sum.checked_add(censored)).ok_or("more counts than there are numbers")?;
        Ok(histogram)
    }

    fn unless_empty<T>(&self, read: impl FnOnce(&Buckets<u64>) -> T) -> Option<T> {
        (!self.answered.is_empty()).then(|| read(&self.answered))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QS: [f64; 8] = [0.0, 0.07, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999];

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Answered(u64),
        InfinitelySlow,
        Censored,
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let us = (0_u32..32, any::<u32>())
            .prop_map(|(shift, raw)| Event::Answered(u64::from(raw >> shift).clamp(LOWEST_US, HIGHEST_US)));
        let event = prop_oneof![
            12 => us,
            1 => Just(Event::InfinitelySlow),
            1 => Just(Event::Censored),
        ];
        prop::collection::vec(event, 0..3_000)
    }

    fn histogram(events: &[Event]) -> Histogram {
        let mut histogram = Histogram::new();
        for event in events {
            match *event {
                Event::Answered(us) => histogram.record(Duration::from_micros(us)),
                Event::InfinitelySlow => histogram.record_infinitely_slow(),
                Event::Censored => histogram.record_censored(),
            }
        }
        histogram
    }

    fn sorted_us(events: &[Event]) -> Vec<u64> {
        let mut list: Vec<u64> = events
            .iter()
            .map(|event| match *event {
                Event::Answered(us) => us,
                Event::InfinitelySlow | Event::Censored => u64::MAX,
            })
            .collect();
        list.sort_unstable();
        list
    }

    /// The rank in whole numbers: q is taken in thousandths.
    fn exact(list: &[u64], q: f64) -> Quantile {
        let n = list.len();
        let thousandths = (q * 1e3).round() as usize;
        if n * (1000 - thousandths) < 10_000 {
            return Quantile::TooFew { n: n as u64 };
        }
        let rank = (n * thousandths).div_ceil(1000).max(1);
        match list[rank - 1] {
            u64::MAX => Quantile::NotReached,
            us => Quantile::Value(Duration::from_micros(us)),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn percentiles_agree_with_the_sorted_list(events in events()) {
            let histogram = histogram(&events);
            let list = sorted_us(&events);
            for q in QS {
                match (histogram.percentile(q), exact(&list, q)) {
                    (Quantile::Value(read), Quantile::Value(exact)) => {
                        prop_assert!(read >= exact, "q {q}: {read:?} < {exact:?}");
                        prop_assert!(read <= exact.mul_f64(1.001), "q {q}: {read:?} > {exact:?}");
                    }
                    (read, exact) => prop_assert_eq!(read, exact, "q {}", q),
                }
            }
        }

        #[test]
        fn merging_is_associative_and_equals_recording_in_one(
            a in events(), b in events(), c in events(),
        ) {
            let [ha, hb, hc] = [&a, &b, &c].map(|events| histogram(events));
            let mut left = ha.clone();
            left.merge(&hb);
            left.merge(&hc);
            let mut tail = hb;
            tail.merge(&hc);
            let mut right = ha;
            right.merge(&tail);
            prop_assert_eq!(&left, &right);
            prop_assert_eq!(left, histogram(&[a, b, c].concat()));
        }

        #[test]
        fn requests_without_a_response_never_make_a_percentile_faster(events in events(), extra in 1..500_u32) {
            let before = histogram(&events);
            let mut after = before.clone();
            for _ in 0..extra {
                after.record_infinitely_slow();
            }
            for q in QS {
                if let (Quantile::Value(old), Quantile::Value(new)) =
                    (before.percentile(q), after.percentile(q))
                {
                    prop_assert!(new >= old, "q {q}: {new:?} < {old:?}");
                }
            }
            let limit = Duration::from_secs(1);
            prop_assert_eq!(after.within(limit).part, before.within(limit).part);
            prop_assert_eq!(after.offered(), before.offered() + u64::from(extra));
        }
    }

    #[test]
    fn the_rule_of_ten_holds_at_its_edge() {
        for (q, enough) in [(0.5, 20), (0.9, 100), (0.99, 1_000), (0.9999, 100_000)] {
            let mut histogram = Histogram::new();
            for _ in 1..enough {
                histogram.record(Duration::from_millis(1));
            }
            assert_eq!(histogram.percentile(q), Quantile::TooFew { n: enough - 1 }, "q {q}");
            histogram.record(Duration::from_millis(1));
            assert!(histogram.percentile(q).value().is_some(), "q {q}");
        }
    }

    #[test]
    fn shares_out_of_range_are_too_few() {
        let histogram = histogram(&[Event::Answered(5); 100]);
        for q in [1.0, 1.5, f64::NAN, f64::INFINITY] {
            assert_eq!(histogram.percentile(q), Quantile::TooFew { n: 100 });
        }
    }

    #[test]
    fn times_outside_the_range_count_at_its_edges() {
        let mut histogram = Histogram::new();
        histogram.record(Duration::ZERO);
        assert_eq!(histogram.max(), Some(Duration::from_micros(1)));
        histogram.record(Duration::MAX);
        let max = histogram.max().unwrap();
        assert!(max >= Duration::from_secs(3_600) && max < Duration::from_secs(3_604));
    }

    #[test]
    fn within_counts_answers_out_of_all_offered() {
        let histogram = histogram(&[
            Event::Answered(1_000),
            Event::Answered(1_500_000),
            Event::Answered(1_600_000),
            Event::InfinitelySlow,
            Event::Censored,
        ]);
        let rate = |ms| histogram.within(Duration::from_millis(ms));
        assert_eq!(rate(0), Rate { part: 0, whole: 5 });
        assert_eq!(rate(1), Rate { part: 1, whole: 5 });
        assert_eq!(rate(1_500), Rate { part: 2, whole: 5 });
        assert_eq!(rate(u64::MAX), Rate { part: 3, whole: 5 });
    }

    #[test]
    fn an_empty_histogram_has_no_figures() {
        let empty = Histogram::new();
        assert_eq!((empty.mean(), empty.max()), (None, None));
        assert_eq!(empty.percentile(0.5), Quantile::TooFew { n: 0 });
        assert_eq!(empty.labelled_percentile(0.5).to_string(), "p50 too few (n 0)");
    }
}
