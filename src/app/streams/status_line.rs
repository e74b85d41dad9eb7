//! The live status on a terminal: one line, redrawn.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::AbortHandle;

use crate::{output, streams::Streams};

const REDRAW: Duration = Duration::from_millis(250);

/// A line on stderr that shows what flows, until it is dropped.
pub(super) struct StatusLine {
    bar: ProgressBar,
    task: AbortHandle,
}

impl StatusLine {
    pub(super) fn start(streams: Streams) -> Self {
        let bar = ProgressBar::with_draw_target(None, output::progress());
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            bar.set_style(style);
        }
        let task = tokio::spawn(redraw(streams, bar.clone())).abort_handle();
        Self { bar, task }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}

async fn redraw(streams: Streams, bar: ProgressBar) {
    let mut ticks = tokio::time::interval(REDRAW);
    let mut before = (Duration::ZERO, 0);
    loop {
        ticks.tick().await;
        let Some(now) = streams.statistics() else {
            continue;
        };
        let status = streams.status();
        let seconds = now.elapsed.saturating_sub(before.0).as_secs_f64();
        let rate = (now.ledger.processed - before.1) as f64 / seconds.max(f64::EPSILON);
        if seconds >= 1.0 || before.0.is_zero() {
            before = (now.elapsed, now.ledger.processed);
        }
        bar.set_message(format!(
            "{:.0} s  {rate:.0}/s  queue {}/{}  busy {}/{}  dropped {}  p50 {}  p95 {}  p99 {}  good {}",
            now.elapsed.as_secs_f64(),
            now.ledger.queued,
            status.buffer_size,
            now.ledger.in_progress,
            status.workers,
            now.ledger.dropped,
            now.offered.p50,
            now.offered.p95,
            now.offered.p99,
            now.good
                .fraction()
                .map_or("-".to_owned(), |good| format!("{:.1} %", (good * 1e3).floor() / 10.0)),
        ));
    }
}
