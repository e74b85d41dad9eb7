//! Benchmark statistics: the median with its interval, the range, and ratios within rounds. Pure.

use serde::Serialize;

/// The median and the range of repeated readings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) n: usize,
    /// Where the true median lies, with a confidence of 95 % at least; `null` with fewer than six readings.
    #[schema(inline, required)]
    pub(super) interval: Option<Interval>,
}

/// A confidence interval, in the unit of what it is of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub(super) struct Interval {
    pub(super) low: f64,
    pub(super) high: f64,
}

/// The probability that the true median is outside the interval, at most.
const OUTSIDE: f64 = 0.05;

impl Interval {
    /// Between the two order statistics that a sign test of the median does not reject; whatever the distribution
    /// (Conover, Practical Nonparametric Statistics, 3.2). `None` when even the ends are too near.
    fn of_median(sorted: &[f64]) -> Option<Self> {
        let n = sorted.len();
        // How many readings are below the median is binomial: (n, 1/2). `below` is the probability of at most `rank`.
        let mut exactly = 0.5_f64.powi(i32::try_from(n).ok()?);
        let (mut below, mut rank) = (exactly, 0);
        while rank < n && below <= OUTSIDE / 2.0 {
            exactly *= (n - rank) as f64 / (rank + 1) as f64;
            below += exactly;
            rank += 1;
        }
        let lowest = rank.checked_sub(1)?;
        Some(Self { low: *sorted.get(lowest)?, high: *sorted.get(n - 1 - lowest)? })
    }
}

impl Spread {
    /// The spread of the finite readings; `None` if there are none.
    pub(super) fn of(readings: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = readings.into_iter().filter(|x| x.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        // If n is odd, both indexes are the same.
        let median = f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]);
        Some(Self { median, min, max, n, interval: Interval::of_median(&sorted) })
    }
}

/// The ratio within each round, which cancels changes from round to round.
pub(super) fn paired_ratios<'a>(
    numerators: &'a [f64],
    denominators: &'a [f64],
) -> impl Iterator<Item = f64> + 'a {
    numerators.iter().zip(denominators).map(|(a, b)| a / b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spread(readings: &[f64]) -> Option<(f64, f64, f64, usize)> {
        Spread::of(readings.iter().copied()).map(|s| (s.median, s.min, s.max, s.n))
    }

    #[test]
    fn medians_and_ranges() {
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[3.0]), Some((3.0, 3.0, 3.0, 1)));
        assert_eq!(spread(&[4.0, 1.0]), Some((2.5, 1.0, 4.0, 2)));
        assert_eq!(spread(&[9.0, 1.0, 2.0]), Some((2.0, 1.0, 9.0, 3)));
        assert_eq!(spread(&[f64::NAN, f64::INFINITY, 7.0]), Some((7.0, 7.0, 7.0, 1)));
    }

    /// Ranks from tables of the sign test, counted from 1.
    #[test]
    fn the_interval_of_the_median_lies_between_the_ranks_of_the_sign_test() {
        for (n, ranks) in
            [(5, None), (6, Some((1, 6))), (8, Some((1, 8))), (9, Some((2, 8))), (20, Some((6, 15)))]
        {
            let readings: Vec<f64> = (1..=n).map(f64::from).collect();
            let interval = Interval::of_median(&readings);
            assert_eq!(
                interval.map(|interval| (interval.low, interval.high)),
                ranks.map(|(a, b): (u32, u32)| (a.into(), b.into())),
                "{n}"
            );
        }
        let many: Vec<f64> = (0..1_000).map(f64::from).collect();
        let Interval { low, high } = Interval::of_median(&many).unwrap();
        assert_eq!((low, high), (468.0, 531.0));
    }

    #[test]
    fn ratios_are_computed_within_a_round() {
        let ratios: Vec<_> = paired_ratios(&[1.0, 6.0, 5.0], &[2.0, 3.0, 0.0]).collect();
        assert_eq!(ratios, [0.5, 2.0, f64::INFINITY]);
    }

    proptest! {
        #[test]
        fn the_median_halves_the_readings(readings in prop::collection::vec(-1e9..1e9_f64, 1..50)) {
            let spread = Spread::of(readings.iter().copied()).unwrap();
            let below = readings.iter().filter(|x| **x < spread.median).count();
            let above = readings.iter().filter(|x| **x > spread.median).count();
            prop_assert!(below.max(above) * 2 <= readings.len());
            prop_assert!(readings.iter().all(|x| (spread.min..=spread.max).contains(x)));
        }

        #[test]
        fn a_drift_common_to_both_arms_cancels_out(
            drift in prop::collection::vec(0.5..2.0_f64, 1..20), ratio in 0.1..10.0_f64,
        ) {
            let slower: Vec<_> = drift.iter().map(|x| x * ratio).collect();
            let spread = Spread::of(paired_ratios(&slower, &drift)).unwrap();
            prop_assert!((spread.min / ratio - 1.0).abs() < 1e-9);
            prop_assert!((spread.max / ratio - 1.0).abs() < 1e-9);
        }
    }
}
