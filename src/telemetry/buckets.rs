//! Histogram boundaries, and the accuracy of the percentiles that Prometheus computes from them.
//!
//! `histogram_quantile` interpolates linearly inside a bucket. Its error is at most the bucket's width, and
//! reaches it where all values are equal (a deadline, a constant latency). Base-2 exponential histograms need no
//! boundaries, but the Prometheus exporter drops them.

const UNTIL_MS: u64 = 60_000;

/// The spacing of a histogram's boundaries, from 1 ms to 60 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buckets {
    /// For the main latency metrics: for any distribution, a percentile is within 1 ms or 5% of the exact value
    /// up to 10 s, and within 10% up to 60 s. 180 lines per series.
    Percentile,
    /// For the metrics that explain them: within 1 ms or 25%. 50 lines per series.
    Coarse,
}

impl Buckets {
    /// The boundaries in milliseconds. They include `also_ms`: with a boundary at an objective, the share of
    /// durations within the objective is exact.
    pub(super) fn edges_ms(self, also_ms: &[u64]) -> Vec<f64> {
        let next = |edge: &u64| {
            let percent = match self {
                Self::Percentile if *edge < 10_000 => 105,
                Self::Percentile => 110,
                Self::Coarse => 125,
            };
            // Durations below 1 ms share one bucket.
            (*edge < UNTIL_MS).then(|| (edge * percent / 100).max(edge + 1).min(UNTIL_MS))
        };
        let mut edges: Vec<u64> =
            std::iter::successors(Some(1), next).chain(also_ms.iter().copied()).collect();
        edges.sort_unstable();
        edges.dedup();
        edges.into_iter().map(|edge| edge as f64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A short form of Prometheus' `histogram_quantile` for classic buckets (promql/quantile.go).
    fn quantile(edges: &[f64], counts: &[u64], q: f64) -> f64 {
        let rank = q * counts.iter().sum::<u64>() as f64;
        let mut below = 0.0;
        for (index, &count) in counts.iter().enumerate() {
            if below + count as f64 >= rank && count > 0 {
                let Some(&upper) = edges.get(index) else {
                    return edges[edges.len() - 1];
                };
                let lower = if index == 0 { 0.0 } else { edges[index - 1] };
                return lower + (upper - lower) * (rank - below) / count as f64;
            }
            below += count as f64;
        }
        f64::NAN
    }

    fn read(edges: &[f64], samples: &[f64], q: f64) -> f64 {
        let mut counts = vec![0_u64; edges.len() + 1];
        for &sample in samples {
            counts[edges.partition_point(|&edge| edge < sample)] += 1;
        }
        quantile(edges, &counts, q)
    }

    fn exact(sorted: &[f64], q: f64) -> f64 {
        sorted[((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1]
    }

    fn is_within(share: f64, read: f64, exact: f64) -> bool {
        (read - exact).abs() <= (exact * share).max(1.0)
    }

    const BOTH: [(Buckets, f64); 2] = [(Buckets::Percentile, 0.05), (Buckets::Coarse, 0.25)];

    #[test]
    fn edges_increase_and_include_the_slo_once() {
        for ((buckets, _), most) in BOTH.into_iter().zip([180, 50]) {
            for slo in [1, 7, 20, 333, 1500, 60_000] {
                let edges = buckets.edges_ms(&[slo]);
                assert!(edges.is_sorted_by(|a, b| a < b));
                assert_eq!(edges.iter().filter(|edge| **edge == slo as f64).count(), 1);
                assert_eq!((edges[0], edges[edges.len() - 1]), (1.0, 60_000.0));
                assert!(edges.len() <= most, "{buckets:?} {}", edges.len());
            }
        }
    }

    proptest! {
        /// Any samples, atoms among them: the percentile read is within 5% (coarse: 25%) or 1 ms of the exact one.
        #[test]
        fn any_percentile_is_within_its_error_bound(
            mut samples in prop::collection::vec(0.0..10_000.0_f64, 100..400),
            atom in 1.0..9_900.0_f64,
            atoms in 0..200_usize,
            slo in 1..60_000_u64,
        ) {
            samples.extend(std::iter::repeat_n(atom, atoms));
            samples.sort_by(f64::total_cmp);
            for ((buckets, share), q) in BOTH.into_iter().flat_map(|of| [0.5, 0.95, 0.99].map(|q| (of, q))) {
                let edges = buckets.edges_ms(&[slo]);
                let (got, want) = (read(&edges, &samples, q), exact(&samples, q));
                prop_assert!(is_within(share, got, want), "{:?} q {} read {} exact {}", buckets, q, got, want);
            }
        }
    }
}
