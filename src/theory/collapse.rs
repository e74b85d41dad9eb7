//! How long a service that slows down with its calls lasts, until chance takes it past its tipping point.

use super::scalability::Scalability;

/// Calls in progress are followed up to so many: from further off no chance brings a service to its tipping point.
const CALLS_LIMIT: f64 = 100_000.0;

/// A service between its start and its collapse, under Poisson arrivals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UntilCollapse {
    /// Calls in progress on average while it lasts.
    pub mean_calls: f64,
    /// The mean time from an idle service until its calls in progress pass the tipping point; infinite beyond what a
    /// number holds.
    pub mean_time_s: f64,
}

impl Scalability {
    /// What becomes of the service until it collapses; none where it never does, where more arrives than it carries at
    /// its peak, or where its tipping point is out of reach.
    ///
    /// All calls in progress share one pace, so with n of them a call ends at the rate of `throughput(n)`, and what was
    /// there before an arrival is π(n) ~ Π λ / throughput(k), cut at the tipping point: whatever the distribution of
    /// their times (Kelly, "Reversibility and Stochastic Networks", 1979, symmetric queues), as long as the tipping
    /// point is seldom near. The time until it is passed is that of a birth and death process (Karlin and Taylor, "A
    /// First Course in Stochastic Processes", 1975), exact for exponential times: `Σ_n Σ_{k<=n} π(k) / (λ π(n))`.
    pub fn until_collapse(&self, rate_per_second: f64, mean_ms: f64) -> Option<UntilCollapse> {
        let tipping = self.balance(rate_per_second, mean_ms)?.tipping_calls?;
        if rate_per_second <= 0.0 || tipping > CALLS_LIMIT {
            return None;
        }
        let states = tipping.floor() as u32;
        // Up to n: the share of n itself is 1 / weight.
        let (mut weight, mut mean_calls, mut mean_time_s) = (1.0_f64, 0.0, 1.0 / rate_per_second);
        for n in 1..=states {
            let calls = f64::from(n);
            weight = 1.0 + weight * self.throughput_per_second(calls, mean_ms)? / rate_per_second;
            mean_calls += (calls - mean_calls) / weight;
            mean_time_s += weight / rate_per_second;
        }
        Some(UntilCollapse { mean_calls, mean_time_s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::witness::{Shared, sharing};
    use proptest::prelude::*;

    const LAB: Scalability = Scalability { contention: 0.05, coherency: 0.001 };
    const MEAN_MS: f64 = 750.0;

    fn peak(law: Scalability) -> f64 {
        let calls = law.peak_calls().expect("a peak");
        law.throughput_per_second(calls, MEAN_MS).expect("it takes time")
    }

    fn until(law: Scalability, share_of_peak: f64) -> UntilCollapse {
        law.until_collapse(share_of_peak * peak(law), MEAN_MS).expect("it collapses")
    }

    /// B of the lab: minutes at 90% of its peak rate, days at 80%.
    #[test]
    fn near_its_peak_it_lasts_minutes_and_further_off_days() {
        let (minutes, days) = (until(LAB, 0.9).mean_time_s / 60.0, until(LAB, 0.8).mean_time_s / 86_400.0);
        assert!((minutes - 8.8).abs() < 0.1 && (days - 2.19).abs() < 0.01, "{minutes} min, {days} days");
        assert_eq!(LAB.until_collapse(1.01 * peak(LAB), MEAN_MS), None, "it has no balance to lose");
        let amdahl = Scalability { contention: 0.1, coherency: 0.0 };
        assert_eq!(amdahl.until_collapse(5.0, MEAN_MS), None, "it never falls");
    }

    /// Textbook values of a queue without slow-down: M/M/∞ holds as many calls as it is offered, which is what a law
    /// with next to no coherency is.
    #[test]
    fn without_slow_down_it_holds_what_it_is_offered() {
        let law = Scalability { contention: 0.0, coherency: 1e-6 };
        let held = law.until_collapse(30.0, MEAN_MS).expect("far off");
        assert!((held.mean_calls - 22.5).abs() < 0.05 && held.mean_time_s.is_infinite(), "{held:?}");
    }

    #[test]
    fn what_it_holds_is_what_a_simulation_shows_whatever_the_times() {
        for (name, draw) in [
            ("exponential", (|share: f64| -(1.0 - share).ln()) as fn(f64) -> f64),
            ("uniform", |share| 0.4 + 1.2 * share),
        ] {
            let rate = 0.7 * peak(LAB);
            let shown = sharing(LAB, rate * MEAN_MS / 1e3, draw, Shared::Arrivals(200_000));
            let stated = until(LAB, 0.7).mean_calls;
            assert!(shown.mean_calls.agrees(stated, 0.0), "{name}: {stated}, {shown:?}");
        }
    }

    /// Exact for exponential times, and shorter for times that vary less: the factors that the page states.
    #[test]
    fn the_time_is_exact_for_exponential_times_and_within_what_is_stated_for_others() {
        let law = Scalability { contention: 0.1, coherency: 0.01 };
        let rate = 0.9 * peak(law);
        let tipping =
            law.balance(rate, MEAN_MS).and_then(|balance| balance.tipping_calls).expect("it collapses");
        let stated = until(law, 0.9).mean_time_s;
        for (draw, low, high) in [
            ((|share: f64| -(1.0 - share).ln()) as fn(f64) -> f64, 1.0, 1.0),
            (|share| 0.4 + 1.2 * share, 0.6, 0.8),
            (|share| if share < 0.9 { 50.0 / 145.0 } else { 1000.0 / 145.0 }, 1.3, 2.1),
        ] {
            let times = (0..200).map(|seed| {
                sharing(law, rate * MEAN_MS / 1e3, draw, Shared::Until { calls: tipping, seed }).time
            });
            let ratio = times.sum::<f64>() / 200.0 * MEAN_MS / 1e3 / stated;
            // The time is nearly exponential: its mean over 200 runs is known to 7%.
            assert!((low - 0.21..=high + 0.21).contains(&ratio), "{ratio}, not from {low} to {high}");
        }
    }

    #[test]
    fn from_below_the_tipping_point_it_returns_and_from_above_it_runs_away() {
        let rate = 0.8 * peak(LAB);
        let balance = LAB.balance(rate, MEAN_MS).expect("below the peak");
        let tipping = balance.tipping_calls.expect("it collapses");
        for (start, returns) in [(0.4 * tipping, true), (1.5 * tipping, false)] {
            let mut collapsed = 0;
            for seed in 0..20 {
                let from = Shared::From {
                    calls: start as usize,
                    seed,
                    until: [balance.stable_calls, 2.5 * tipping],
                };
                collapsed += usize::from(
                    sharing(LAB, rate * MEAN_MS / 1e3, |share: f64| -(1.0 - share).ln(), from).collapsed,
                );
            }
            assert!(if returns { collapsed <= 2 } else { collapsed >= 18 }, "{start}: {collapsed} of 20");
        }
    }

    proptest! {
        #[test]
        fn it_holds_less_than_it_tips_at_and_more_load_is_sooner_over(
            contention in 0.0..0.3_f64,
            coherency in 0.0001..0.02_f64,
            share in 0.2..0.95_f64,
        ) {
            let law = Scalability { contention, coherency };
            let (less, more) = (until(law, share), until(law, share + 0.04));
            let balance = law.balance(share * peak(law), MEAN_MS).expect("below the peak");
            prop_assert!(less.mean_calls < balance.tipping_calls.expect("it collapses"), "{less:?}");
            prop_assert!(more.mean_time_s <= less.mean_time_s, "{less:?} {more:?}");
            prop_assert!(less.mean_time_s > 0.0, "{less:?}");
        }
    }
}
