//! When requests should start: decided ahead, whatever the server does.
//!
//! A [`Schedule`] is data; [`Schedule::arrivals`] walks through its intended times one by one, in memory
//! that does not grow with their number. Nothing here reads a clock, and the same schedule gives the
//! same times to the nanosecond.
//!
//! The times come from the expected number of arrivals by time t, the integral of the rate: the n-th
//! arrival stands where it passes the n-th mark. Marks a whole number apart are constant arrivals; marks
//! an exponential draw of mean 1 apart are a Poisson process of that rate, however the rate changes
//! (Çinlar, "Introduction to Stochastic Processes", 1975, 4.7: a Poisson process in stretched time).

mod phase;
mod recorded;

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Exp1};

use crate::config::Rate;

pub use phase::{Phase, Phases};
pub use recorded::{Recorded, RecordedError};

/// An arrival this close to the end of a phase belongs to the next: room for the rounding of 0.1 + 0.2.
const ROUNDING: f64 = 1e-9;

/// How arrivals of a given rate are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// Evenly.
    Constant,
    /// Random, as from independent users, drawn from this seed.
    Poisson {
        /// The same seed gives the same arrivals.
        seed: u64,
    },
}

/// When requests should start. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// Rates over time.
    Phases {
        /// In order.
        phases: Phases,
        /// How arrivals are spaced within them.
        spacing: Spacing,
    },
    /// Times that were recorded.
    Recorded(Recorded),
    /// A number of arrivals, however long they take.
    Counted {
        /// Arrivals a second.
        rate: Rate,
        /// Number of arrivals.
        count: u64,
        /// How they are spaced.
        spacing: Spacing,
    },
}

impl Schedule {
    /// One rate for one length of time.
    #[must_use]
    pub fn hold(rate: Rate, length: Duration, spacing: Spacing) -> Self {
        Self::Phases { phases: Phases::hold(rate.get(), length), spacing }
    }

    /// The intended times, from the start of the run, rising.
    #[must_use]
    pub fn arrivals(&self) -> Arrivals {
        match self {
            Self::Phases { phases, spacing } => {
                let mut marks = Marks::new(*spacing);
                let mark = marks.first();
                let state = InPhases {
                    phases: phases.clone(),
                    phase: 0,
                    start: 0.0,
                    passed: 0.0,
                    burst: 0,
                    mark,
                    marks,
                };
                Arrivals(Source::Phases(Box::new(state)))
            }
            Self::Recorded(recorded) => Arrivals(Source::Recorded { times: recorded.times(), next: 0 }),
            Self::Counted { rate, count, spacing } => {
                let mut marks = Marks::new(*spacing);
                let mark = marks.first();
                Arrivals(Source::Counted { rate: rate.get(), left: *count, mark, marks })
            }
        }
    }

    /// How long it lasts: to the end of the last phase, to the last recorded time, or as so many arrivals take on
    /// average.
    #[must_use]
    pub fn length(&self) -> Duration {
        match self {
            Self::Phases { phases, .. } => phases.length(),
            Self::Recorded(recorded) => recorded.length(),
            Self::Counted { rate, count, .. } => Duration::from_secs_f64(*count as f64 / rate.get()),
        }
    }
}

/// The intended times of a [`Schedule`].
#[derive(Debug)]
pub struct Arrivals(Source);

#[derive(Debug)]
enum Source {
    Phases(Box<InPhases>),
    Recorded { times: Arc<[u64]>, next: usize },
    Counted { rate: f64, left: u64, mark: f64, marks: Marks },
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        match &mut self.0 {
            Source::Phases(state) => state.next().map(Duration::from_secs_f64),
            Source::Recorded { times, next } => {
                let time = times.get(*next)?;
                *next += 1;
                Some(Duration::from_nanos(*time))
            }
            Source::Counted { rate, left, mark, marks } => {
                *left = left.checked_sub(1)?;
                let time = *mark / *rate;
                *mark += marks.gap();
                Some(Duration::from_secs_f64(time))
            }
        }
    }
}

/// The position in the phases.
#[derive(Debug)]
struct InPhases {
    phases: Phases,
    phase: usize,
    /// When the phase starts, seconds.
    start: f64,
    /// Arrivals expected before the phase; bursts do not count.
    passed: f64,
    /// How many of a burst have come.
    burst: u32,
    /// The mark that the next arrival stands at.
    mark: f64,
    marks: Marks,
}

impl InPhases {
    fn next(&mut self) -> Option<f64> {
        loop {
            let phase = *self.phases.get(self.phase)?;
            if let Phase::Burst { count } = phase {
                if self.burst < count {
                    self.burst += 1;
                    return Some(self.start);
                }
                self.burst = 0;
            } else {
                let expected = phase.expected();
                if self.mark < self.passed + expected - ROUNDING * self.mark.max(1.0) {
                    let time = self.start + phase.time_of(self.mark - self.passed);
                    self.mark += self.marks.gap();
                    return Some(time);
                }
                self.passed += expected;
                self.start += phase.seconds();
            }
            self.phase += 1;
        }
    }
}

/// The distances between marks.
#[derive(Debug)]
enum Marks {
    Even,
    Drawn(Box<ChaCha8Rng>),
}

impl Marks {
    fn new(spacing: Spacing) -> Self {
        match spacing {
            Spacing::Constant => Self::Even,
            Spacing::Poisson { seed } => Self::Drawn(Box::new(ChaCha8Rng::seed_from_u64(seed))),
        }
    }

    /// Even arrivals start with the run.
    fn first(&mut self) -> f64 {
        match self {
            Self::Even => 0.0,
            Self::Drawn(_) => self.gap(),
        }
    }

    fn gap(&mut self) -> f64 {
        match self {
            Self::Even => 1.0,
            Self::Drawn(rng) => Exp1.sample(rng.as_mut()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counted_arrivals_have_their_number_and_rate() {
        let rate = Rate::TEN_PER_SECOND;
        let of = |spacing| Schedule::Counted { rate, count: 1_000, spacing };
        let even: Vec<Duration> = of(Spacing::Constant).arrivals().collect();
        assert_eq!((even.len(), even[0], even[999]), (1_000, Duration::ZERO, Duration::from_millis(99_900)));
        let drawn = of(Spacing::Poisson { seed: 1 });
        assert_eq!((drawn.arrivals().count(), drawn.length().as_secs()), (1_000, 100));
        let last = drawn.arrivals().last().unwrap().as_secs_f64();
        assert!((last - 100.0).abs() < 20.0, "{last}");
    }

    fn schedule(text: &str, spacing: Spacing) -> Schedule {
        Schedule::Phases { phases: text.parse().expect(text), spacing }
    }

    fn seconds(text: &str) -> Vec<f64> {
        schedule(text, Spacing::Constant)
            .arrivals()
            .map(|at| (at.as_secs_f64() * 1e6).round() / 1e6)
            .collect()
    }

    #[test]
    fn constant_arrivals_are_evenly_spaced_from_the_start() {
        assert_eq!(seconds("4 for 1s"), [0.0, 0.25, 0.5, 0.75]);
        assert_eq!(seconds("0.5 for 4s"), [0.0, 2.0]);
        // What a phase leaves over is carried into the next.
        assert_eq!(seconds("1 for 500ms, 1 for 1s"), [0.0, 1.0]);
        assert_eq!(seconds("2 for 1s, 0 for 2s, burst 3, 1 for 2s"), [0.0, 0.5, 3.0, 3.0, 3.0, 3.0, 4.0]);
        let minute =
            Schedule::hold(Rate::try_from(30.0).unwrap(), Duration::from_secs(60), Spacing::Constant);
        assert_eq!((minute.arrivals().count(), minute.length().as_secs()), (1_800, 60));
    }

    #[test]
    fn a_ramp_passes_through_its_rates() {
        let times = seconds("0..10 for 10s");
        assert_eq!(times.len(), 50);
        let within = |from: f64, to: f64| times.iter().filter(|time| (from..to).contains(time)).count();
        // The integral of t: 12.5 by 5 s; of the last second 9.5.
        assert_eq!(within(0.0, 5.0), 13);
        assert!((9..=10).contains(&within(9.0, 10.0)));
        let down = seconds("10..0 for 10s");
        assert!(down[1] - down[0] < 0.2 && down[49] - down[48] > 0.4, "{down:?}");
        assert_eq!(seconds("1..3 by 1 for 3s"), seconds("1 for 1s, 2 for 1s, 3 for 1s"));
    }

    #[test]
    fn drawn_arrivals_have_the_rate_and_the_variance_of_a_poisson_process() {
        let counts: Vec<f64> = (0..200)
            .map(|seed| schedule("50..150 for 10s", Spacing::Poisson { seed }).arrivals().count() as f64)
            .collect();
        let n = counts.len() as f64;
        let mean = counts.iter().sum::<f64>() / n;
        let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / (n - 1.0);
        // 1000 expected: the mean's standard error is 2.2, the variance's 100.
        assert!((mean - 1_000.0).abs() < 8.0, "{mean}");
        assert!((variance - 1_000.0).abs() < 350.0, "{variance}");
    }

    #[test]
    fn the_same_seed_draws_the_same_and_versions_agree() {
        let first = |seed| schedule("100 for 1s", Spacing::Poisson { seed }).arrivals().next().unwrap();
        assert_eq!(first(7), first(7));
        assert_ne!(first(7), first(8));
        assert_eq!(first(1).as_nanos(), FIRST_OF_SEED_1_NS);
    }

    /// Seen once and held: a replayed run must not change under a new version of a library.
    const FIRST_OF_SEED_1_NS: u128 = 4_469_032;

    #[test]
    fn five_thousand_a_second_is_met_exactly() {
        let schedule = schedule("5000 for 10s", Spacing::Constant);
        assert_eq!(schedule.arrivals().count(), 50_000);
        let last = schedule.arrivals().last().unwrap();
        assert_eq!(last.as_micros(), 9_999_800);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn times_rise_stay_within_and_are_as_many_as_expected(
            rates in prop::collection::vec((0.0..300.0_f64, 0.0..300.0_f64, 1..2_000_u64), 1..6),
            drawn in any::<bool>(), seed in any::<u64>(),
        ) {
            let text: Vec<String> =
                rates.iter().map(|(from, to, ms)| format!("{from}..{to} for {ms}ms")).collect();
            let spacing = if drawn { Spacing::Poisson { seed } } else { Spacing::Constant };
            let schedule = schedule(&text.join(", "), spacing);
            let times: Vec<Duration> = schedule.arrivals().collect();
            prop_assert!(times.is_sorted());
            prop_assert!(times.iter().all(|time| *time <= schedule.length() + Duration::from_nanos(10)));
            // The mean rate of each phase, as long as it lasts.
            let expected: f64 = rates.iter().map(|(from, to, ms)| (from + to) / 2e3 * *ms as f64).sum();
            let count = times.len() as f64;
            let room = if drawn { 6.0 * expected.sqrt() + 12.0 } else { 1.000_001 };
            prop_assert!((count - expected).abs() <= room, "{count} {expected}");
        }
    }
}
