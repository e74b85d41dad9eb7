//! Did it get slower? Two targets in blocks, one after the other, and the difference within each pair.
//! Pure.
//!
//! A pair is a block of each target with the same arrivals, in an order that changes from pair to pair
//! (AB BA AB ...), so that drift affects both. One figure is taken of each block; the difference of a
//! pair is the logarithm of their ratio, and the mean of the differences has a Student t interval. The
//! figures within a block depend on each other, but pairs are independent: the pair is the sample.

use serde::Serialize;
use utoipa::ToSchema;

use super::Measured;
use super::stats::Mean;
use crate::choice;
use crate::latency::{Quantile, milliseconds};

/// The power of the test: how surely `pairs_needed` pairs find the slowdown.
const POWER: f64 = 0.9;

choice! {
    /// The figure of a block.
    pub enum Figure {
        /// The mean over the answered, when all were.
        Mean = "mean",
        /// The median over all offered.
        P50 = "p50",
        /// The 95th percentile over all offered.
        P95 = "p95",
        /// The 99th percentile over all offered.
        P99 = "p99",
    }
}

impl Figure {
    /// The figure of a block in milliseconds.
    ///
    /// # Errors
    ///
    /// Why the block has none.
    pub fn of(self, measured: &Measured) -> Result<f64, NoFigure> {
        let headline = measured.recorder.headline();
        let q = match self {
            Self::Mean if headline.answered() < headline.offered() => return Err(NoFigure::NotReached),
            Self::Mean => {
                return headline.mean().map(milliseconds).ok_or(NoFigure::TooFew);
            }
            Self::P50 => 0.5,
            Self::P95 => 0.95,
            Self::P99 => 0.99,
        };
        match headline.percentile(q) {
            Quantile::Value(value) => Ok(milliseconds(value)),
            Quantile::NotReached => Err(NoFigure::NotReached),
            Quantile::TooFew { .. } => Err(NoFigure::TooFew),
        }
    }
}

/// Why a block has no figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoFigure {
    /// The block is too short.
    #[error("too few requests in a block for this figure: make blocks longer or the rate higher")]
    TooFew,
    /// Too many requests were lost.
    #[error("too many requests had no useful answer for this figure")]
    NotReached,
}

/// The settings of a comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Question {
    /// The slowdown that is tolerated, as a share (0.05: 5 %).
    pub margin: f64,
    /// The slowdown to detect, as a share.
    pub detect: f64,
    /// The confidence level of the interval, 0 to 1.
    pub confidence: f64,
}

/// How two targets compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CompareVerdict {
    /// B is slower by more than the margin, beyond chance.
    Regression,
    /// B is slower, beyond chance, but perhaps within the margin.
    Slower,
    /// B is faster, beyond chance.
    Faster,
    /// Any difference is within the margin, beyond chance.
    WithinMargin,
    /// None of these is shown.
    Undecided,
}

/// The paired difference, B against A.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Comparison {
    /// The answer.
    pub answer: CompareVerdict,
    /// How much slower B is, as a share; negative: faster.
    pub difference: f64,
    /// The lower end of its interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How many pairs there are.
    pub n: usize,
    /// How many pairs detect the slowdown in 9 of 10 runs.
    #[schema(required)]
    pub pairs_needed: Option<usize>,
    /// Why no number is given: `detect_not_above_margin`, or `spread_too_wide` (more than a million).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs_needed_why: Option<&'static str>,
}

/// Compares the figures of A and of B, pair by pair; `None` for fewer than two pairs.
#[must_use]
pub fn compare(pairs: &[(f64, f64)], question: &Question) -> Option<Comparison> {
    let differences: Vec<f64> = pairs.iter().map(|(a, b)| (b / a).ln()).filter(|d| d.is_finite()).collect();
    let mean = Mean::of(&differences, question.confidence)?;
    let share = |log: f64| log.exp_m1();
    let margin = question.margin.max(0.0);
    let (low, high) = (share(mean.low), share(mean.high));
    let answer = if low > margin {
        CompareVerdict::Regression
    } else if high < 0.0 {
        CompareVerdict::Faster
    } else if low > 0.0 {
        CompareVerdict::Slower
    } else if high < margin && low > -margin {
        CompareVerdict::WithinMargin
    } else {
        CompareVerdict::Undecided
    };
    let beyond = question.detect.ln_1p() - margin.ln_1p();
    let pairs_needed = mean.needed(beyond, question.confidence, POWER);
    let why = if beyond > 0.0 { "spread_too_wide" } else { "detect_not_above_margin" };
    let pairs_needed_why = pairs_needed.is_none().then_some(why);
    Some(Comparison {
        answer,
        difference: share(mean.mean),
        low,
        high,
        n: mean.n,
        pairs_needed,
        pairs_needed_why,
    })
}

/// Which target of pair `pair` comes first: A in even ones, B in odd ones.
#[must_use]
pub const fn a_first(pair: usize) -> bool {
    pair.is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: Question = Question { margin: 0.0, detect: 0.05, confidence: 0.99 };

    fn answer(ratios: &[f64], margin: f64) -> CompareVerdict {
        let pairs: Vec<(f64, f64)> = ratios.iter().map(|ratio| (100.0, 100.0 * ratio)).collect();
        compare(&pairs, &Question { margin, ..QUESTION }).unwrap().answer
    }

    #[test]
    fn a_difference_is_reported_beyond_chance_and_beyond_the_margin() {
        let slower = [1.08, 1.1, 1.09, 1.11, 1.1, 1.09];
        assert_eq!(answer(&slower, 0.0), CompareVerdict::Regression);
        assert_eq!(answer(&slower, 0.05), CompareVerdict::Regression);
        assert_eq!(answer(&slower, 0.09), CompareVerdict::Slower);
        assert_eq!(answer(&slower.map(|ratio| 1.0 / ratio), 0.0), CompareVerdict::Faster);
        let same = [1.01, 0.99, 1.0, 1.005, 0.995, 1.0];
        assert_eq!(answer(&same, 0.05), CompareVerdict::WithinMargin);
        assert_eq!(answer(&same, 0.0), CompareVerdict::Undecided);
        assert_eq!(answer(&[1.3, 0.8, 1.2, 0.9], 0.05), CompareVerdict::Undecided);
        assert_eq!(compare(&[(1.0, 2.0)], &QUESTION), None);
    }

    #[test]
    fn the_difference_is_a_share_and_the_number_of_pairs_is_said() {
        let pairs = [(100.0, 104.0), (200.0, 212.0), (50.0, 52.5), (80.0, 84.0)];
        let found = compare(&pairs, &QUESTION).unwrap();
        assert!((found.difference - 0.05).abs() < 1e-3 && found.low < 0.05 && found.high > 0.05, "{found:?}");
        assert!(found.pairs_needed.is_some_and(|needed| (2..10).contains(&needed)), "{found:?}");
        let hopeless = Question { margin: 0.05, ..QUESTION };
        assert_eq!(compare(&pairs, &hopeless).unwrap().pairs_needed, None);
    }

    #[test]
    fn a_drift_common_to_both_falls_out() {
        let pairs: Vec<(f64, f64)> = (1..20).map(|n| (f64::from(n), f64::from(n) * 1.1)).collect();
        let found = compare(&pairs, &QUESTION).unwrap();
        assert!((found.low - 0.1).abs() < 1e-9 && (found.high - 0.1).abs() < 1e-9);
        assert!(a_first(0) && !a_first(1));
    }
}
