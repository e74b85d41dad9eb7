//! What a run says first when none of its requests came to anything.

use std::cmp::Reverse;

use crate::latency::DurationText;
use crate::load::{Cause, Measured};

/// That nothing was good, and what became of most requests; nothing where something was.
pub(super) fn nothing_good(measured: &Measured) -> Option<String> {
    let slo = measured.series.slo();
    let offered = measured.offered();
    if measured.recorder.good(slo).part > 0 {
        return None;
    }
    if offered == 0 {
        return Some("Nothing was offered.".to_owned());
    }
    let statuses = measured.statuses.iter().map(|(status, count)| (format!("answered {status}"), *count));
    let causes = Cause::ALL.into_iter().map(|cause| (cause.meaning().to_owned(), measured.caused(cause)));
    let most = statuses.chain(causes).min_by_key(|(_, count)| Reverse(*count));
    let most = most
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!(" {count} of them: {what}."))
        .unwrap_or_default();
    Some(format!(
        "Nothing was good: none of {offered} requests was a success within {}.{most}",
        DurationText(slo)
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_run_without_requests_says_so() {
        let measured = Measured::new(Duration::from_secs(1));
        assert_eq!(nothing_good(&measured).as_deref(), Some("Nothing was offered."));
    }
}
