//! Histogram boundaries under which a percentile read from Prometheus is true.
//!
//! `histogram_quantile` interpolates linearly inside a bucket, so its error is at most the bucket's
//! width, and is as large as that for an atom (a deadline, a constant). Boundaries a millisecond
//! apart up to 20 ms, then 5% apart up to 10 s, therefore keep every percentile within 1 ms or 5% of
//! the exact one, whatever the distribution. From 10 s to 60 s they are 10% apart. Base-2 exponential
//! histograms would need no choice, but the pull path drops them.

const LINEAR_UNTIL_MS: u64 = 20;
const FINE_UNTIL_MS: u64 = 10_000;
const UNTIL_MS: u64 = 60_000;

/// The boundaries in milliseconds, with one at the SLO so that the share of good answers is exact.
pub fn latency_buckets_ms(slo_ms: u64) -> Vec<f64> {
    let mut edges: Vec<u64> = (1..=LINEAR_UNTIL_MS).collect();
    let mut edge = LINEAR_UNTIL_MS;
    while edge < UNTIL_MS {
        let percent = if edge < FINE_UNTIL_MS { 105 } else { 110 };
        edge = (edge * percent / 100).min(UNTIL_MS);
        edges.push(edge);
    }
    if let Err(place) = edges.binary_search(&slo_ms) {
        edges.insert(place, slo_ms);
    }
    edges.into_iter().map(|edge| edge as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Prometheus' `histogram_quantile` for classic buckets (promql/quantile.go), in short.
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

    fn is_true(read: f64, exact: f64) -> bool {
        (read - exact).abs() <= (exact * 0.05).max(1.0)
    }

    #[test]
    fn edges_rise_and_hold_the_slo_once() {
        for slo in [1, 7, 20, 333, 1500, 60_000] {
            let edges = latency_buckets_ms(slo);
            assert!(edges.is_sorted_by(|a, b| a < b));
            assert_eq!(edges.iter().filter(|edge| **edge == slo as f64).count(), 1);
            assert!(edges.len() < 180, "{}", edges.len());
        }
    }

    #[test]
    fn the_sdks_default_edges_would_not_do() {
        let default = [
            0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0,
            10000.0,
        ];
        let samples: Vec<f64> = (0..90_000).map(|i| 300.0 + f64::from(i) * 0.01).collect();
        let p99 = read(&default, &samples, 0.99);
        assert!(!is_true(p99, exact(&samples, 0.99)), "{p99}");
        assert!(p99 > 2_000.0, "{p99}");
        assert!(is_true(read(&latency_buckets_ms(1500), &samples, 0.99), exact(&samples, 0.99)));
    }

    proptest! {
        /// Any samples, atoms among them: the percentile read is within 5% or 1 ms of the exact one.
        #[test]
        fn any_percentile_is_true(
            mut samples in prop::collection::vec(0.0..10_000.0_f64, 100..400),
            atom in 1.0..9_900.0_f64,
            atoms in 0..200_usize,
            slo in 1..60_000_u64,
        ) {
            samples.extend(std::iter::repeat_n(atom, atoms));
            samples.sort_by(f64::total_cmp);
            let edges = latency_buckets_ms(slo);
            for q in [0.5, 0.95, 0.99] {
                let (got, want) = (read(&edges, &samples, q), exact(&samples, q));
                // Between two samples every value is a true percentile.
                let next = samples.get((q * samples.len() as f64).ceil() as usize).copied().unwrap_or(want);
                let inside = got >= want * 0.95 - 1.0 && got <= next.max(want) * 1.05 + 1.0;
                prop_assert!(inside, "q {} read {} exact {}..{}", q, got, want, next);
            }
        }
    }
}
