//! The requests of the last minutes, second by second, for live pages.
//!
//! ```text
//!   offered at second 7 ──> [ 5 | 6 | 7 | 8 ] <── ended, whenever that is: counted in second 7
//!                              └─ window(5..7) ──> good, outcomes, percentiles over all offered
//! ```
//!
//! A request counts in the second of its intended start, as in every other view. So the figures of a second change
//! until its last request has ended, and a window has the number of unfinished requests. If a percentile falls on
//! those, only a lower bound is known: the time that they have waited ([`Known::LongerThan`]).
//!
//! Memory is bounded: [`SECONDS_KEPT`] seconds, with 1.5 KB for each in which requests ended. A request that ends after
//! its second has been dropped is not counted.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use super::times::Times;
use super::{Fate, Outcome, Quantile, Rate, SAMPLES_BEYOND};

/// How many seconds are kept: five minutes, and two more for requests that end late.
pub const SECONDS_KEPT: u64 = 420;

/// The last minutes. Seconds are numbers from an origin that the caller chooses, and must not decrease.
#[derive(Clone, Debug)]
pub struct Recent {
    slo: Duration,
    /// The number of the first second kept.
    first: u64,
    seconds: VecDeque<Second>,
}

#[derive(Clone, Debug, Default)]
struct Second {
    offered: u64,
    good: u64,
    ended: [u64; Outcome::ALL.len()],
    /// The sum of the times of those that ended.
    sojourn: Duration,
    /// The latencies of answered requests; allocated for the first one.
    answered: Option<Box<Times>>,
}

impl Recent {
    /// Without requests. A 200 within `slo` is good.
    #[must_use]
    pub const fn new(slo: Duration) -> Self {
        Self { slo, first: 0, seconds: VecDeque::new() }
    }

    /// Counts a request that starts in this second.
    pub fn offer(&mut self, second: u64) {
        if let Some(second) = self.reach(second) {
            second.offered += 1;
        }
    }

    /// Counts the end of a request that started in this second; it may be told before the start.
    pub fn end(&mut self, second: u64, outcome: Outcome, took: Duration) {
        let slo = self.slo;
        let Some(second) = self.reach(second) else { return };
        second.ended[outcome.index()] += 1;
        second.sojourn += took;
        second.good += u64::from(outcome == Outcome::Ok && took <= slo);
        if outcome.fate() == Fate::Answered {
            second.answered.get_or_insert_default().record(took);
        }
    }

    /// The outcomes of the requests of these seconds, when `age` has passed since the end of the last second. Seconds
    /// that are not kept count as seconds without requests.
    #[must_use]
    pub fn window(&self, seconds: Range<u64>, age: Duration) -> Window {
        let mut window = Window {
            age,
            offered: 0,
            good: 0,
            ended: [0; Outcome::ALL.len()],
            sojourn: Duration::ZERO,
            answered: Times::default(),
        };
        let place = |second: u64| second.saturating_sub(self.first).min(self.seconds.len() as u64) as usize;
        for second in self.seconds.range(place(seconds.start)..place(seconds.end.max(seconds.start))) {
            window.add(second);
        }
        window
    }

    /// The latest second from which on, up to `end`, enough requests started for the percentile `q`; `not_before` if
    /// there are too few.
    #[must_use]
    pub fn start_for(&self, q: f64, end: u64, not_before: u64) -> u64 {
        let needed = SAMPLES_BEYOND / (1.0 - q) - 1e-6;
        let mut offered = 0;
        let mut start = end;
        while start > not_before && (offered as f64) < needed {
            start -= 1;
            let second = start
                .checked_sub(self.first)
                .and_then(|place| self.seconds.get(usize::try_from(place).ok()?));
            offered += second.map_or(0, |second| second.offered);
        }
        start
    }

    /// The last second in which a request started, if it is kept.
    #[must_use]
    pub fn last_offered(&self) -> Option<u64> {
        let place = self.seconds.iter().rposition(|second| second.offered > 0)?;
        Some(self.first + place as u64)
    }

    /// Adds the counts of `other`. Seconds that either has dropped stay dropped.
    pub fn add(&mut self, other: &Self) {
        if self.seconds.is_empty() {
            self.first = other.first;
        }
        while self.first > other.first && (self.seconds.len() as u64) < SECONDS_KEPT {
            self.first -= 1;
            self.seconds.push_front(Second::default());
        }
        for (number, counts) in (other.first..).zip(&other.seconds) {
            if let Some(second) = self.reach(number) {
                second.add(counts);
            }
        }
    }

    /// The counters of a second, which is added if it is new; `None` if it has been dropped.
    fn reach(&mut self, second: u64) -> Option<&mut Second> {
        if self.seconds.is_empty() {
            self.first = self.first.max(second);
        }
        let end = self.first + self.seconds.len() as u64;
        if second >= end + SECONDS_KEPT {
            self.seconds.clear();
            self.first = second;
        }
        while self.first + self.seconds.len() as u64 <= second {
            if self.seconds.len() as u64 == SECONDS_KEPT {
                self.seconds.pop_front();
                self.first += 1;
            }
            self.seconds.push_back(Second::default());
        }
        self.kept(second)
    }

    fn kept(&mut self, second: u64) -> Option<&mut Second> {
        let place = usize::try_from(second.checked_sub(self.first)?).ok()?;
        self.seconds.get_mut(place)
    }
}

impl Second {
    fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.good += other.good;
        self.sojourn += other.sojourn;
        for (mine, theirs) in self.ended.iter_mut().zip(other.ended) {
            *mine += theirs;
        }
        if let Some(answered) = &other.answered {
            self.answered.get_or_insert_default().add(answered);
        }
    }
}

/// The outcomes of the requests that started in some seconds.
#[derive(Clone, Debug)]
pub struct Window {
    age: Duration,
    offered: u64,
    good: u64,
    ended: [u64; Outcome::ALL.len()],
    sojourn: Duration,
    answered: Times,
}

/// A percentile of requests, some of which may be unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The value, whatever the outcome of unfinished requests.
    Settled(Quantile),
    /// It falls, or may fall, on unfinished requests, which have waited this long.
    LongerThan(Duration),
}

impl Window {
    /// Requests that started.
    #[must_use]
    pub const fn offered(&self) -> u64 {
        self.offered
    }

    /// How many of them had this outcome.
    #[must_use]
    pub fn ended(&self, outcome: Outcome) -> u64 {
        self.ended[outcome.index()]
    }

    /// How many of them are unfinished.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        self.offered.saturating_sub(self.ended.iter().sum())
    }

    /// The good rate among all offered. It can rise until the time of the objective has passed since the last second.
    #[must_use]
    pub const fn good(&self) -> Rate {
        Rate { part: self.good, whole: self.offered }
    }

    /// The sum of the times of all requests that ended, with any outcome.
    #[must_use]
    pub const fn sojourn(&self) -> Duration {
        self.sojourn
    }

    /// The time within which a share `q` (0 to 1) of all offered requests was answered, to within 3.2 %;
    /// [`Quantile::TooFew`] if fewer than ten lie beyond it.
    #[must_use]
    pub fn percentile(&self, q: f64) -> Known {
        let n = self.offered;
        let beyond = n as f64 * (1.0 - q) + 1e-9;
        if beyond.is_nan() || beyond < SAMPLES_BEYOND {
            return Known::Settled(Quantile::TooFew { n });
        }
        let unfinished = self.unfinished();
        let rank = ((q * n as f64 - 1e-9).ceil() as u64).max(1);
        match self.answered.at_rank(rank) {
            // All unfinished requests have waited longer than that, or there are none.
            Some(time) if unfinished == 0 || time <= self.age => Known::Settled(Quantile::Value(time)),
            None if rank > self.answered() + unfinished => Known::Settled(Quantile::NotReached),
            _ => Known::LongerThan(self.age),
        }
    }

    fn answered(&self) -> u64 {
        let is_answered = |outcome: &Outcome| outcome.fate() == Fate::Answered;
        Outcome::ALL.into_iter().filter(is_answered).map(|outcome| self.ended(outcome)).sum()
    }

    fn add(&mut self, second: &Second) {
        self.offered += second.offered;
        self.good += second.good;
        self.sojourn += second.sojourn;
        for (mine, theirs) in self.ended.iter_mut().zip(second.ended) {
            *mine += theirs;
        }
        if let Some(answered) = &second.answered {
            self.answered.add(answered);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn value(known: Known) -> Option<f64> {
        match known {
            Known::Settled(quantile) => Some(quantile.value()?.as_secs_f64() * 1e3),
            Known::LongerThan(_) => None,
        }
    }

    #[test]
    fn parts_add_up_whichever_began_first() {
        let part = |seconds: Range<u64>, offered| {
            let mut part = Recent::new(ms(100));
            seconds.for_each(|second| (0..offered).for_each(|_| part.offer(second)));
            part
        };
        let (early, late) = (part(2..5, 3), part(4..9, 10));
        for parts in [[&early, &late], [&late, &early]] {
            let mut sum = Recent::new(ms(100));
            parts.into_iter().for_each(|part| sum.add(part));
            let offered = |second| sum.window(second..second + 1, ms(0)).offered();
            assert_eq!([1, 2, 4, 5, 8, 9].map(offered), [0, 3, 13, 10, 10, 0]);
        }
        let mut sum = part(0..1, 1);
        sum.add(&part(SECONDS_KEPT..SECONDS_KEPT + 1, 1));
        assert_eq!(sum.window(0..1_000, ms(0)).offered(), 1, "the first second was dropped");
    }

    #[test]
    fn an_end_counts_where_its_request_started() {
        let mut recent = Recent::new(ms(100));
        for second in 7..9 {
            for _ in 0..40 {
                recent.offer(second);
            }
        }
        for n in 0..40 {
            recent.end(7, Outcome::Ok, ms(81 + n));
        }
        let window = recent.window(7..8, ms(500));
        assert_eq!((window.offered(), window.unfinished(), window.good().part), (40, 0, 20));
        let p50 = value(window.percentile(0.5)).unwrap();
        assert!((p50 - 100.0).abs() < 3.2, "{p50}");
        assert_eq!(window.percentile(0.95), Known::Settled(Quantile::TooFew { n: 40 }));
        let both = recent.window(0..1_000, ms(500));
        assert_eq!((both.offered(), both.unfinished()), (80, 40));
    }

    #[test]
    fn unfinished_requests_hide_only_the_percentiles_that_they_could_change() {
        let mut recent = Recent::new(ms(1_000));
        (0..100).for_each(|_| recent.offer(0));
        (0..60).for_each(|_| recent.end(0, Outcome::Ok, ms(900)));
        // The median stays 900 ms once all others have waited longer; before that they may still be faster.
        assert_eq!(recent.window(0..1, ms(800)).percentile(0.5), Known::LongerThan(ms(800)));
        assert!(value(recent.window(0..1, ms(950)).percentile(0.5)).is_some());
        assert_eq!(recent.window(0..1, ms(950)).percentile(0.9), Known::LongerThan(ms(950)));
        (0..15).for_each(|_| recent.end(0, Outcome::Shed, ms(5)));
        let window = recent.window(0..1, ms(950));
        assert_eq!(
            window.percentile(0.9),
            Known::Settled(Quantile::NotReached),
            "15 of 100 will never be answered"
        );
        assert_eq!(window.percentile(0.8), Known::LongerThan(ms(950)));
    }

    #[test]
    fn a_percentile_covers_as_many_seconds_as_it_needs() {
        let mut recent = Recent::new(ms(100));
        for second in 0..100 {
            (0..30).for_each(|_| recent.offer(second));
        }
        assert_eq!(recent.start_for(0.5, 50, 0), 49);
        assert_eq!(recent.start_for(0.95, 50, 0), 43, "200 requests, 30 in each second");
        assert_eq!(recent.start_for(0.95, 50, 47), 47);
        let start = recent.start_for(0.99, 100, 0);
        assert_ne!(
            recent.window(start..100, ms(0)).percentile(0.99),
            Known::Settled(Quantile::TooFew { n: 1_020 })
        );
        assert_eq!((recent.window(start..100, ms(0)).offered(), recent.start_for(1.0, 100, 0)), (1_020, 0));
    }

    #[test]
    fn it_keeps_a_fixed_number_of_seconds_and_allows_gaps() {
        let mut recent = Recent::new(ms(100));
        recent.offer(0);
        recent.offer(SECONDS_KEPT - 1);
        assert_eq!(recent.window(0..u64::MAX, ms(0)).offered(), 2);
        recent.offer(SECONDS_KEPT);
        assert_eq!(recent.window(0..u64::MAX, ms(0)).offered(), 2, "the first is forgotten");
        recent.end(0, Outcome::Ok, ms(1));
        recent.offer(0);
        assert_eq!(recent.window(0..u64::MAX, ms(0)).ended(Outcome::Ok), 0);
        recent.offer(u64::MAX - SECONDS_KEPT * 2);
        assert_eq!((recent.window(0..u64::MAX, ms(0)).offered(), recent.seconds.len()), (1, 1));
        let (late, early) = (9, 3);
        assert_eq!(recent.window(late..early, ms(0)).offered(), 0);
    }

    proptest! {
        /// For any requests that end in any order, a window gives the same figures as a sorted list.
        #[test]
        fn a_window_gives_the_same_figures_as_a_list(
            requests in prop::collection::vec((0..60_u64, 1..4_000_u64, 0..10_usize, any::<bool>()), 0..300),
            from in 0..60_u64, to in 0..60_u64, q in 0.0..1.0_f64,
        ) {
            let mut recent = Recent::new(ms(1_500));
            let mut sorted = requests.clone();
            sorted.sort_unstable();
            sorted.iter().for_each(|(second, ..)| recent.offer(*second));
            for (second, took, outcome, ended) in &requests {
                if *ended {
                    recent.end(*second, Outcome::ALL[*outcome], ms(*took));
                }
            }
            let window = recent.window(from..to, ms(10_000));
            let inside: Vec<_> = requests.iter().filter(|(second, ..)| (from..to).contains(second)).collect();
            let n = inside.len() as u64;
            prop_assert_eq!(window.offered(), n);
            let mut answered: Vec<u64> = inside
                .iter()
                .filter(|(_, _, outcome, ended)| *ended && Outcome::ALL[*outcome].fate() == Fate::Answered)
                .map(|(_, took, ..)| *took)
                .collect();
            answered.sort_unstable();
            match window.percentile(q) {
                Known::Settled(Quantile::TooFew { n: told }) => prop_assert!(told == n && n as f64 * (1.0 - q) < 10.0),
                Known::Settled(Quantile::Value(time)) => {
                    let rank = ((q * n as f64 - 1e-9).ceil() as usize).max(1);
                    let exact = answered[rank - 1] as f64;
                    let told = time.as_secs_f64() * 1e3;
                    prop_assert!((told - exact).abs() <= exact * 0.032 + 0.032, "{told} for {exact}");
                }
                Known::Settled(Quantile::NotReached) | Known::LongerThan(_) => {
                    let rank = ((q * n as f64 - 1e-9).ceil() as usize).max(1);
                    prop_assert!(rank > answered.len());
                }
            }
        }
    }
}
