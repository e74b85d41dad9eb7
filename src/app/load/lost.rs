//! Describes lost requests, and runs without a good response.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::config::counted;
use crate::latency::DurationText;
use crate::load::{Cause, Measured};

/// The first error message of each cause, by the cause's label.
pub(super) type Reasons = BTreeMap<String, String>;

/// A row for each cause that occurred: its meaning with its first error message, and its count.
pub(super) fn rows(measured: &Measured, reasons: &Reasons) -> Vec<(String, u64)> {
    let row = |cause: Cause| {
        let reason = reasons.get(cause.label()).map(|reason| format!(" ({reason})")).unwrap_or_default();
        (cause.meaning().to_owned() + &reason, measured.caused(cause))
    };
    Cause::ALL.into_iter().map(row).filter(|(_, count)| *count > 0).collect()
}

/// A sentence on how most requests ended, if no response was good; `None` if one was.
pub(super) fn nothing_good(measured: &Measured, reasons: &Reasons) -> Option<String> {
    let slo = measured.series.slo();
    let offered = measured.offered();
    if measured.recorder.good(slo).part > 0 {
        return None;
    }
    if offered == 0 {
        return Some("Nothing was offered.".to_owned());
    }
    let statuses = measured.statuses.iter().map(|(status, count)| (format!("answered {status}"), *count));
    let most = statuses.chain(rows(measured, reasons)).min_by_key(|(_, count)| Reverse(*count));
    let most = most.map(|(what, count)| format!(" {count} of them: {what}.")).unwrap_or_default();
    Some(format!(
        "Nothing was good: none of {} was a success within {}.{most}",
        counted(offered, "request", "requests"),
        DurationText(slo)
    ))
}

/// Whether another rate would fail too: no connection was possible, or every response says that the request itself
/// is wrong.
pub(super) fn is_hopeless(measured: &Measured) -> bool {
    let wrong = |status: &u16| matches!(status, 300..=499) && ![408, 425, 429].contains(status);
    measured.is_without_connection() || measured.answered() > 0 && measured.statuses.keys().all(wrong)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answered(statuses: &[u16]) -> Measured {
        let mut measured = Measured::new(Duration::from_secs(1));
        measured.statuses = statuses.iter().map(|status| (*status, 1)).collect();
        measured
    }

    #[test]
    fn a_failure_that_another_rate_could_avoid_is_not_hopeless() {
        for (statuses, hopeless) in [
            (vec![404], true),
            (vec![302, 401], true),
            (vec![404, 200], false),
            (vec![429], false),
            (vec![500], false),
        ] {
            assert_eq!(is_hopeless(&answered(&statuses)), hopeless, "{statuses:?}");
        }
    }

    #[test]
    fn a_run_without_requests_is_reported_and_not_hopeless() {
        let measured = answered(&[]);
        assert_eq!(nothing_good(&measured, &Reasons::new()).as_deref(), Some("Nothing was offered."));
        assert!(!is_hopeless(&measured));
    }
}
