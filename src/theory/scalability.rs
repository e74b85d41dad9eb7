//! The Universal Scalability Law: a service that slows down with the calls in progress.

/// With n calls in progress, each takes `1 + contention (n - 1) + coherency n (n - 1)` times as long.
///
/// A model, which is exact for services that are simulated with it: Gunther, "A Simple Capacity Model of Massively
/// Parallel Transaction Systems", CMG 1993. Numbers of calls may be fractional, as means are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scalability {
    /// The serial share, 0 to 1 (sigma).
    pub contention: f64,
    /// The cost of coordination between calls, 0 to 1 (kappa).
    pub coherency: f64,
}

impl Scalability {
    /// How long a call takes with `calls` in progress. `mean` is its time when it is the only one, in the same unit.
    pub fn time(&self, calls: f64, mean: f64) -> f64 {
        mean * self.stretch(calls)
    }

    /// Calls that complete per second with `calls` in progress; `None` for a service that takes no time.
    pub fn throughput_per_second(&self, calls: f64, mean_ms: f64) -> Option<f64> {
        (mean_ms > 0.0).then(|| calls.max(0.0) / self.time(calls, mean_ms) * 1e3)
    }

    /// The calls in progress at which throughput is highest, sqrt((1 - σ) / κ), at least 1; `None` if throughput
    /// never falls.
    pub fn peak_calls(&self) -> Option<f64> {
        let calls = ((1.0 - self.contention) / self.coherency).sqrt().max(1.0);
        (self.coherency > 0.0 && calls.is_finite()).then_some(calls)
    }

    /// The calls in progress at which calls complete at the rate at which they arrive; `None` if they arrive faster
    /// than the service's peak throughput.
    ///
    /// These are averages: at random, the calls in progress sooner or later exceed the tipping point. So under
    /// open-loop load there is no steady state, only a time until collapse.
    pub fn balance(&self, rate_per_second: f64, mean_ms: f64) -> Option<Balance> {
        let offered = rate_per_second * mean_ms / 1e3;
        // offered (1 + σ(n-1) + κn(n-1)) = n, a quadratic in n. A single call is not slowed: below 1, n = offered.
        let square = offered * self.coherency;
        let linear = 1.0 + offered * (self.coherency - self.contention);
        let constant = offered * (1.0 - self.contention);
        let discriminant = linear * linear - 4.0 * square * constant;
        let alone = offered <= 1.0;
        if !alone && (linear <= 0.0 || discriminant < 0.0 || linear < 2.0 * square) {
            return None;
        }
        let larger = linear + discriminant.max(0.0).sqrt();
        // Compute the smaller root from the larger one to avoid cancellation.
        let stable_calls = if alone { offered } else { 2.0 * constant / larger };
        let tipping_calls = larger / (2.0 * square);
        Some(Balance { stable_calls, tipping_calls: tipping_calls.is_finite().then_some(tipping_calls) })
    }

    fn stretch(&self, calls: f64) -> f64 {
        let n = calls.max(1.0);
        1.0 + self.contention * (n - 1.0) + self.coherency * n * (n - 1.0)
    }
}

/// The calls in progress at which a service completes calls as fast as they arrive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Balance {
    /// The stable point: after a disturbance, the calls in progress return to it.
    pub stable_calls: f64,
    /// The tipping point: with more calls in progress, the service collapses. `None` if throughput never falls.
    pub tipping_calls: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LAB: Scalability = Scalability { contention: 0.05, coherency: 0.001 };

    #[test]
    fn the_law_of_the_lab() {
        // sqrt(0.95 / 0.001)
        let peak = LAB.peak_calls().expect("a peak");
        assert!((peak - 30.82).abs() < 0.01, "{peak}");
        let at = |calls| LAB.throughput_per_second(calls, 750.0).expect("it takes time");
        assert!(at(24.0) > 0.98 * at(peak) && at(40.0) > 0.98 * at(peak), "the peak is flat");
        // 1 + 0.05 * 9 + 0.001 * 90
        assert!((LAB.time(10.0, 750.0) - 750.0 * 1.54).abs() < 1e-9);
        assert_eq!(LAB.time(0.3, 750.0), 750.0, "a call alone is not slowed");
    }

    #[test]
    fn there_is_a_stable_point_and_a_tipping_point() {
        let peak = LAB.throughput_per_second(30.82, 750.0).expect("it takes time");
        let balance = LAB.balance(0.9 * peak, 750.0).expect("below the peak");
        let (low, high) = (balance.stable_calls, balance.tipping_calls.expect("it collapses"));
        assert!(1.0 < low && low < 30.82 && 30.82 < high, "{balance:?}");
        assert_eq!(LAB.balance(1.01 * peak, 750.0), None);
        // Half a call at a time; with two or more it slows down, and collapses only far off.
        let alone = LAB.balance(1.0, 500.0).expect("below the peak");
        assert_eq!(alone.stable_calls, 0.5);
        assert!(alone.tipping_calls.expect("it collapses") > 1_000.0);
    }

    #[test]
    fn without_coherency_throughput_never_falls() {
        let amdahl = Scalability { contention: 0.1, coherency: 0.0 };
        assert_eq!(amdahl.peak_calls(), None);
        // n / (1 + 0.1 (n - 1)) = 5, so n = 9.
        let balance = amdahl.balance(5.0, 1000.0).expect("below 10 a second");
        assert!((balance.stable_calls - 9.0).abs() < 1e-9 && balance.tipping_calls.is_none(), "{balance:?}");
        assert_eq!(amdahl.balance(10.0, 1000.0), None);
        let none = Scalability { contention: 0.0, coherency: 0.0 };
        assert_eq!(none.balance(30.0, 750.0), Some(Balance { stable_calls: 22.5, tipping_calls: None }));
        assert_eq!(none.throughput_per_second(5.0, 0.0), None);
    }

    proptest! {
        #[test]
        fn throughput_is_highest_at_the_peak_and_equals_the_rate_at_a_balance(
            contention in prop_oneof![Just(0.0), Just(1.0), 0.0..=1.0_f64],
            coherency in prop_oneof![Just(0.0), 0.0..=1.0_f64, 0.0..1e-6_f64],
            calls in 0.0..1e5_f64,
            rate in 0.0..1e5_f64,
        ) {
            let law = Scalability { contention, coherency };
            let at = |calls| law.throughput_per_second(calls, 750.0).expect("it takes time");
            prop_assert!(at(calls).is_finite());
            if let Some(peak) = law.peak_calls() {
                prop_assert!(at(calls) <= at(peak) * (1.0 + 1e-9), "{peak}");
            }
            if let Some(balance) = law.balance(rate, 750.0) {
                prop_assert!((at(balance.stable_calls) - rate).abs() <= rate * 1e-6, "{balance:?}");
                if let Some(tipping) = balance.tipping_calls {
                    prop_assert!((at(tipping) - rate).abs() <= rate * 1e-6, "{balance:?}");
                    prop_assert!(tipping >= balance.stable_calls * (1.0 - 1e-9), "{balance:?}");
                }
            } else {
                let most = at(law.peak_calls().unwrap_or(1e15));
                prop_assert!(rate >= most * (1.0 - 1e-6), "{most}");
            }
        }
    }
}
