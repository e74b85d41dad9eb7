//! The streams' status in one line.

use std::time::Duration;

use crate::streams::Streams;

/// A function that returns the current status; its rate covers about the last second.
pub(super) fn look(streams: Streams) -> impl FnMut() -> Option<String> {
    let mut before = (Duration::ZERO, 0);
    move || {
        let now = streams.statistics()?;
        let status = streams.status();
        let seconds = now.elapsed.saturating_sub(before.0).as_secs_f64();
        let rate = (now.ledger.processed - before.1) as f64 / seconds.max(f64::EPSILON);
        if seconds >= 1.0 || before.0.is_zero() {
            before = (now.elapsed, now.ledger.processed);
        }
        Some(format!(
            "{:.0} s  {rate:.0}/s  queue {}/{}  busy {}/{}  dropped {}  p50 {}  p95 {}  p99 {}  good {}",
            now.elapsed.as_secs_f64(),
            now.ledger.queued,
            status.buffer_size,
            now.ledger.in_progress,
            status.workers_count,
            now.ledger.dropped,
            now.offered.p50,
            now.offered.p95,
            now.offered.p99,
            now.good
                .fraction()
                .map_or("-".to_owned(), |good| format!("{:.1} %", (good * 1e3).floor() / 10.0)),
        ))
    }
}
