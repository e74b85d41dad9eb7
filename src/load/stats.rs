//! The statistics behind verdicts. Pure.

use statrs::distribution::{ContinuousCDF as _, Normal, StudentsT};

use crate::latency::Rate;

/// The confidence level of the interval of a share.
const CONFIDENCE: f64 = 0.95;

/// A share with the interval in which the true one lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Share {
    /// The 95 % interval of a share (Wilson 1927, "Probable inference, the law of succession, and
    /// statistical inference"): always within 0 to 1, and wide for few samples.
    #[must_use]
    pub fn of(rate: Rate) -> Self {
        let n = rate.whole as f64;
        let Some(p) = rate.fraction() else {
            return Self { low: 0.0, high: 1.0 };
        };
        let z = normal_quantile(f64::midpoint(1.0, CONFIDENCE));
        let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        // All or nothing: the end is exact, not a rounding away from it.
        let low = if rate.part == 0 { 0.0 } else { (middle - half).max(0.0) };
        let high = if rate.part == rate.whole { 1.0 } else { (middle + half).min(1.0) };
        Self { low, high }
    }

    /// Whether it lies above `limit` (`true`) or below (`false`); `None` where the limit is inside.
    #[must_use]
    pub fn beside(self, limit: f64) -> Option<bool> {
        if self.low > limit {
            Some(true)
        } else if self.high < limit {
            Some(false)
        } else {
            None
        }
    }
}

/// The mean of some differences with its interval (Student's t: the spread is estimated from them too).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The standard deviation of one difference.
    pub deviation: f64,
    /// How many differences there are.
    pub n: usize,
}

impl Mean {
    /// The interval of the mean at `confidence` (0 to 1); none of fewer than two.
    #[must_use]
    pub fn of(differences: &[f64], confidence: f64) -> Option<Self> {
        let n = differences.len();
        if n < 2 {
            return None;
        }
        let mean = differences.iter().sum::<f64>() / n as f64;
        let squares: f64 = differences.iter().map(|x| (x - mean).powi(2)).sum();
        let deviation = (squares / (n - 1) as f64).sqrt();
        let half = student_quantile(f64::midpoint(1.0, confidence), n - 1) * deviation / (n as f64).sqrt();
        Some(Self { mean, low: mean - half, high: mean + half, deviation, n })
    }

    /// How many differences are needed so that a true mean `beyond` the limit is shown to be beyond it
    /// with the given power: the least n with `(t(conf) + t(power)) deviation / sqrt(n) <= beyond`.
    #[must_use]
    pub fn needed(&self, beyond: f64, confidence: f64, power: f64) -> Option<usize> {
        const MOST: usize = 1_000_000;
        if beyond <= 0.0 || !self.deviation.is_finite() {
            return None;
        }
        let enough = |n: usize| {
            let both =
                student_quantile(f64::midpoint(1.0, confidence), n - 1) + student_quantile(power, n - 1);
            both * self.deviation / (n as f64).sqrt() <= beyond
        };
        // It falls with n: double, then halve the interval.
        let mut high = 2;
        while !enough(high) {
            high *= 2;
            if high > MOST {
                return None;
            }
        }
        let mut low = high / 2;
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            if middle >= 2 && enough(middle) { high = middle } else { low = middle }
        }
        Some(high)
    }
}

fn student_quantile(p: f64, freedom: usize) -> f64 {
    StudentsT::new(0.0, 1.0, freedom as f64).map_or(f64::INFINITY, |t| t.inverse_cdf(p))
}

fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 5e-4
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (p, freedom, t) in
            [(0.975, 1, 12.7062), (0.975, 9, 2.2622), (0.995, 19, 2.8609), (0.9, 4, 1.5332)]
        {
            assert!(near(student_quantile(p, freedom), t), "{p} {freedom}: {}", student_quantile(p, freedom));
        }
        assert!(near(normal_quantile(0.975), 1.95996));
    }

    #[test]
    fn the_interval_of_a_share_is_wilsons() {
        // Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I.
        for (part, whole, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let share = Share::of(Rate { part, whole });
            assert!(near(share.low, low) && near(share.high, high), "{part}/{whole}: {share:?}");
        }
        assert_eq!(Share::of(Rate { part: 0, whole: 0 }), Share { low: 0.0, high: 1.0 });
        assert_eq!(Share::of(Rate { part: 5, whole: 5 }).high, 1.0);
    }

    #[test]
    fn a_mean_has_an_interval_and_the_number_of_pairs_needed() {
        let mean = Mean::of(&[1.0, 2.0, 3.0, 4.0], 0.95).unwrap();
        // s = 1.29099, t(3) = 3.18245.
        assert!(near(mean.mean, 2.5) && near(mean.low, 0.4457) && near(mean.high, 4.5543), "{mean:?}");
        assert_eq!(Mean::of(&[1.0], 0.95), None);
        // Half of the deviation to see: (1.96 + 1.28)^2 / 0.25 = 42 by the normal, by t 3.3165 / sqrt(45) = 0.494.
        let one = Mean { deviation: 1.0, ..mean };
        assert_eq!(one.needed(0.5, 0.95, 0.9), Some(45));
        assert_eq!(one.needed(0.0, 0.95, 0.9), None);
        assert_eq!(Mean { deviation: 0.0, ..mean }.needed(0.1, 0.95, 0.9), Some(2));
    }
}
