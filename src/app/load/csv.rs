//! A result as CSV: a row a second.

use std::fmt::Write as _;

use crate::latency::{Percentiles, Quantile};
use crate::load::Measured;

const HEAD: &str =
    "second,offered,ok,good,service_error,shed,failed,not_sent,unfinished,p50_ms,p95_ms,p99_ms";

/// The rows; a percentile that is not reached, or has too few requests beyond it, is empty.
pub(super) fn text(measured: &Measured) -> String {
    let mut text = format!("{HEAD}\n");
    let cell = |ms: Option<f64>| ms.map(|ms| format!("{ms:.3}")).unwrap_or_default();
    for (number, second) in measured.series.seconds() {
        let of =
            |read: fn(&Percentiles) -> Quantile| cell(second.latency.as_ref().and_then(|of| read(of).ms()));
        let (p50, p95, p99) = (of(|of| of.p50), of(|of| of.p95), of(|of| of.p99));
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{number},{},{},{},{},{},{},{},{},{p50},{p95},{p99}",
            second.offered,
            second.ok,
            second.good,
            second.service_error,
            second.shed,
            second.failed,
            second.not_sent,
            second.unfinished,
        );
    }
    text
}
