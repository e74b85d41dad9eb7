//! The highest rate at which some checks hold: bracket, then halve. Pure.
//!
//! A [`Search`] says which rate to try next and takes the verdict of that step. It doubles the rate until
//! the checks fail (or halves it until they hold), then tries the geometric middle until the interval is
//! as narrow as asked. A step whose verdict is within chance of the limit stays *undecided* and narrows
//! nothing by itself: the search goes on on both sides of it, so that the true rate is not cut off by a
//! guess. The answer is an interval: the checks hold at its lower end and fail at its upper.

use std::time::Duration;

use super::Checks;
use super::Verdict;
use crate::config::Rate;

/// The most steps of a search.
const STEPS_LIMIT: usize = 60;

/// One step that was made.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// Arrivals a second.
    rate: f64,
    /// Its verdict.
    verdict: Verdict,
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The highest rate at which the checks held; `None` if they never did.
    pub holds: Option<f64>,
    /// The lowest rate above it at which they failed; `None` if they never did.
    pub fails: Option<f64>,
}

/// A search for the highest rate.
#[derive(Clone, Debug)]
pub struct Search {
    precision: f64,
    lowest: f64,
    highest: f64,
    next: Option<f64>,
    steps: Vec<Step>,
}

impl Search {
    /// A search that begins at `first`, stays within `lowest` and `highest`, and ends when its interval
    /// is no wider than `precision` of its lower end.
    #[must_use]
    pub fn new(first: Rate, lowest: Rate, highest: Rate, precision: f64) -> Self {
        let (lowest, highest) = (lowest.get().min(highest.get()), highest.get());
        let first = first.get().clamp(lowest, highest);
        Self { precision: precision.max(1e-4), lowest, highest, next: Some(first), steps: Vec::new() }
    }

    /// The rate to try; `None` when the search is over.
    #[must_use]
    pub fn next(&self) -> Option<Rate> {
        self.next.and_then(|rate| Rate::try_from(rate).ok())
    }

    /// Records the verdict of the step at [`Search::next`].
    pub fn record(&mut self, verdict: Verdict) {
        if let Some(rate) = self.next {
            self.steps.push(Step { rate, verdict });
            self.next = self.choose();
        }
    }

    /// The interval so far.
    #[must_use]
    pub fn found(&self) -> Found {
        let of =
            |verdict| self.steps.iter().filter(move |step| step.verdict == verdict).map(|step| step.rate);
        let fails = of(Verdict::Failed).reduce(f64::min);
        // A rate that held above one that failed held by chance, so only rates below the failure count.
        let holds = of(Verdict::Held).filter(|rate| fails.is_none_or(|fails| *rate < fails)).reduce(f64::max);
        Found { holds, fails }
    }

    fn choose(&self) -> Option<f64> {
        if self.steps.len() >= STEPS_LIMIT {
            return None;
        }
        let Found { holds, fails } = self.found();
        let tried = || self.steps.iter().map(|step| step.rate);
        let (low, high) = match (holds, fails) {
            (_, None) => {
                let top = tried().fold(0.0, f64::max);
                return (top < self.highest).then(|| (top * 2.0).min(self.highest));
            }
            (None, Some(_)) => {
                let bottom = tried().fold(f64::INFINITY, f64::min);
                return (bottom > self.lowest).then(|| (bottom / 2.0).max(self.lowest));
            }
            (Some(low), Some(high)) => (low, high),
        };
        let wide = |low: f64, high: f64| high / low > 1.0 + self.precision;
        // Undecided steps within the interval split it; the widest decided gap at its ends is next.
        let undecided = || tried().filter(|rate| *rate > low && *rate < high);
        let first = undecided().fold(high, f64::min);
        let last = undecided().fold(low, f64::max);
        let middle = |low: f64, high: f64| wide(low, high).then(|| (low * high).sqrt());
        middle(low, first).or_else(|| middle(last, high))
    }
}

/// How long a step at `rate` must be: long enough for the requests that the checks need, and so that an overload
/// of `precision` is seen, whatever the server's speed. Such a queue grows by that share of the time: it
/// is as long as the slowest time that the checks allow after `slowest / precision`, and the share of
/// requests before that moment has to be smaller than the one that the checks want to be well.
#[must_use]
pub fn step_length(
    checks: &Checks,
    rate: Rate,
    slo: Duration,
    precision: f64,
    shortest: Duration,
) -> Duration {
    let requests = checks.requests_needed() as f64 / rate.get();
    let growth = 1.25 * checks.slowest(slo).as_secs_f64() / (precision.max(1e-4) * checks.least_share());
    let seconds = requests.max(growth).max(shortest.as_secs_f64()).min(86_400.0);
    Duration::from_secs_f64(seconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(rate: f64) -> Rate {
        Rate::try_from(rate).unwrap()
    }

    /// A server whose checks hold below `capacity`, and are within chance `margin` around it.
    fn search(first: f64, capacity: f64, margin: f64) -> Search {
        let mut search = Search::new(rate(first), rate(0.01), rate(1e6), 0.05);
        while let Some(next) = search.next() {
            let away = next.get() / capacity;
            search.record(if away < 1.0 - margin {
                Verdict::Held
            } else if away > 1.0 + margin {
                Verdict::Failed
            } else {
                Verdict::Undecided
            });
        }
        search
    }

    #[test]
    fn it_brackets_and_halves() {
        let search = search(10.0, 42.0, 0.0);
        let rates: Vec<f64> = search.steps.iter().map(|step| step.rate.round()).collect();
        assert_eq!(rates, [10.0, 20.0, 40.0, 80.0, 57.0, 48.0, 44.0, 42.0]);
        let found = search.found();
        assert!(found.holds.unwrap() <= 42.0 && found.fails.unwrap() >= 42.0, "{found:?}");
    }

    #[test]
    fn it_ends_at_its_bounds() {
        let all = |verdict| {
            let mut search = Search::new(rate(10.0), rate(1.0), rate(100.0), 0.05);
            while search.next().is_some() {
                search.record(verdict);
            }
            (search.found(), search.steps.len())
        };
        assert_eq!(all(Verdict::Held), (Found { holds: Some(100.0), fails: None }, 5));
        assert_eq!(all(Verdict::Failed), (Found { holds: None, fails: Some(1.0) }, 5));
        assert_eq!(all(Verdict::Undecided), (Found { holds: None, fails: None }, 5));
    }

    #[test]
    fn a_step_is_long_enough_for_its_interval() {
        let checks: Checks = "p99<800ms,good>99%".parse().unwrap();
        let length =
            |at| step_length(&checks, rate(at), Duration::from_secs(1), 0.05, Duration::from_secs(1));
        assert_eq!(length(10_000.0).as_secs(), 25, "1.25 s of queue at 5 % too many");
        let half: Checks = "p50<1s".parse().unwrap();
        let length = |at| step_length(&half, rate(at), Duration::from_secs(1), 0.05, Duration::from_secs(1));
        assert_eq!(length(10_000.0).as_secs(), 50, "half of the requests come before the queue is long");
        let length =
            |at| step_length(&checks, rate(at), Duration::from_secs(1), 0.05, Duration::from_secs(1));
        assert_eq!(length(10.0).as_secs(), 200, "2000 requests");
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_capacity_and_is_as_narrow_as_chance_allows(
            first in 0.1..10_000.0_f64, capacity in 0.1..10_000.0_f64, margin in 0.0..0.2_f64,
        ) {
            let search = search(first, capacity, margin);
            let Found { holds: Some(holds), fails: Some(fails) } = search.found() else {
                return Err(TestCaseError::fail(format!("{:?}", search.found())));
            };
            prop_assert!(holds <= capacity && capacity <= fails, "{holds} {fails}");
            let widest = (1.0 + margin) / (1.0 - margin) * 1.0501_f64.powi(2);
            prop_assert!(fails / holds <= widest, "{holds} {fails}");
        }
    }
}
