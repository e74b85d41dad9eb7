//! A result as CSV: a row a second.

use std::fmt::Write as _;

use crate::load::Measured;

const HEAD: &str =
    "second,offered,ok,good,service_error,shed,failed,not_sent,unfinished,p50_ms,p95_ms,p99_ms";

/// The rows; a percentile that is not reached, or has too few requests beyond it, is empty.
pub(super) fn text(measured: &Measured) -> String {
    let mut text = format!("{HEAD}\n");
    let cell = |ms: Option<f64>| ms.map(|ms| format!("{ms:.3}")).unwrap_or_default();
    for (number, second) in measured.series.seconds() {
        let [p50, p95, p99] = [second.p50_ms, second.p95_ms, second.p99_ms].map(cell);
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
