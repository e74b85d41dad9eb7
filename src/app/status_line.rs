//! A live status line on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::AbortHandle;

use crate::output;

const REDRAW: Duration = Duration::from_millis(250);

/// A line on stderr that is redrawn until this is dropped.
pub(super) struct StatusLine {
    bar: ProgressBar,
    task: AbortHandle,
}

impl StatusLine {
    /// Calls `look` at each redraw, and shows its text if it returns one.
    pub(super) fn start(mut look: impl FnMut() -> Option<String> + Send + 'static) -> Self {
        let bar = ProgressBar::with_draw_target(None, output::progress());
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            bar.set_style(style);
        }
        let shown = bar.clone();
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(REDRAW);
            loop {
                ticks.tick().await;
                if let Some(text) = look() {
                    shown.set_message(text);
                }
            }
        });
        Self { bar, task: task.abort_handle() }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}
