//! How long tasks waited, as the server's own metrics say: the difference of two readings of a histogram. Pure.

use std::{collections::BTreeMap, time::Duration};

use crate::latency::{Histogram, Percentiles};

/// A series of the histogram, up to its labels.
const SERIES: &str = "queue_wait_ms_bucket{";

/// How many waited at most this long, by the edge of the bucket in microseconds; the last is without limit.
type Buckets = BTreeMap<u64, u64>;

/// The waits between two readings of `/metrics`; `None`: no worker in that process has measured one.
pub(super) fn between(before: &str, after: &str) -> Option<Percentiles> {
    let (before, after) = (buckets(before), buckets(after));
    let mut histogram = Histogram::new();
    let mut below = 0;
    for (edge_us, count) in after {
        // Counts are cumulative: an edge that was not there had as many as the one below it.
        let was = before.range(..=edge_us).next_back().map_or(0, |(_, &count)| count);
        let upto = count.saturating_sub(was);
        for _ in below..upto {
            match edge_us {
                u64::MAX => histogram.record_infinitely_slow(),
                edge_us => histogram.record(Duration::from_micros(edge_us)),
            }
        }
        below = below.max(upto);
    }
    (histogram.offered() > 0).then(|| Percentiles::from(&histogram))
}

fn buckets(text: &str) -> Buckets {
    let mut buckets = Buckets::new();
    for line in text.lines().filter_map(|line| line.strip_prefix(SERIES)) {
        let read = || {
            let (labels, count) = line.rsplit_once("} ")?;
            let edge = labels.split(',').find_map(|label| label.strip_prefix("le=\""))?;
            let edge_ms: f64 = edge.trim_end_matches('"').parse().ok()?;
            let edge_us = if edge_ms.is_finite() { (edge_ms * 1e3) as u64 } else { u64::MAX };
            Some((edge_us, count.trim().parse::<f64>().ok()? as u64))
        };
        if let Some((edge_us, count)) = read() {
            *buckets.entry(edge_us).or_default() += count;
        }
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Quantile;

    #[test]
    fn waits_are_the_difference_of_two_readings() {
        let before = "queue_wait_ms_bucket{le=\"1\"} 5\nqueue_wait_ms_bucket{le=\"+Inf\"} 5\n";
        let after = "# HELP queue_wait_ms x\nqueue_wait_ms_bucket{otel=\"x\",le=\"1\"} 45\n\
                     queue_wait_ms_bucket{otel=\"x\",le=\"2.5\"} 65\nqueue_wait_ms_bucket{otel=\"x\",le=\"+Inf\"} 65\nother{le=\"1\"} 9";
        let waited = between(before, after).unwrap();
        assert_eq!(waited.n, 60);
        let Quantile::Value(p50) = waited.p50 else { panic!("{waited:?}") };
        assert!((p50.as_secs_f64() - 1e-3).abs() < 1e-5, "{p50:?}");
        assert!(between(after, after).is_none());
        assert!(between("", "").is_none());
    }
}
