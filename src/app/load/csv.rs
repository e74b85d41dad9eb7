//! A result as CSV: one row per second, and with several targets also one row per target for the whole run.

use std::fmt::Write as _;
use std::time::Duration;

use crate::latency::{Histogram, Outcome, Percentiles, Quantile};
use crate::load::{Measured, Part};

const HEAD: &str =
    "second,offered,ok,good,service_error,shed,failed,not_sent,unfinished,p50_ms,p95_ms,p99_ms";

/// The CSV text. A percentile that is not reached, or has too few requests beyond it, is empty.
pub(super) fn text(measured: &Measured) -> String {
    let several = !measured.parts.is_empty();
    let mut text = format!("{HEAD}{}\n", if several { ",target" } else { "" });
    let all = if several { ",all" } else { "" };
    for (number, second) in measured.series.seconds() {
        let of =
            |read: fn(&Percentiles) -> Quantile| cell(second.latency.as_ref().and_then(|of| read(of).ms()));
        let (p50, p95, p99) = (of(|of| of.p50), of(|of| of.p95), of(|of| of.p99));
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{number},{},{},{},{},{},{},{},{},{p50},{p95},{p99}{all}",
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
    for part in &measured.parts {
        text.push_str(&row(part, measured.series.slo()));
    }
    text
}

fn cell(ms: Option<f64>) -> String {
    ms.map(|ms| format!("{ms:.3}")).unwrap_or_default()
}

/// The row of a target, without a second.
fn row(part: &Part, slo: Duration) -> String {
    use Outcome::{
        Cancelled, Deadline, Failed, NotSent, Ok, Refused, ServiceError, Shed, TimedOut, Unfinished,
    };
    let count = |outcomes: &[Outcome]| -> u64 {
        outcomes.iter().filter_map(|outcome| part.recorder.of(*outcome)).map(Histogram::offered).sum()
    };
    let latency = part.recorder.headline();
    let counts = [
        latency.offered(),
        count(&[Ok]),
        part.recorder.good(slo).part,
        count(&[ServiceError]),
        count(&[Shed, Deadline]),
        count(&[Cancelled, TimedOut, Refused, Failed]),
        count(&[NotSent]),
        count(&[Unfinished]),
    ];
    let counts = counts.map(|count| count.to_string()).join(",");
    let times = [0.5, 0.95, 0.99].map(|q| cell(latency.percentile(q).ms())).join(",");
    // A URL contains no quotation mark: it would be encoded.
    format!(",{counts},{times},\"{}\"\n", part.target)
}
