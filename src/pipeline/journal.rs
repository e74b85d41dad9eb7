//! The log: lines, each with its time to the microsecond (UTC).
//!
//! ```text
//!   line ──> recent lines (for pages)
//!        └─> each of its writers: stdout, a rotated file; in virtual time one that writes at once
//! ```
//!
//! In virtual time the stamp is a fixed epoch plus virtual time, so the same run writes the same bytes.

use std::{collections::VecDeque, fmt, sync::Arc};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::output::Writer;

/// Lines kept for pages: different ones, one after the other.
const RECENT_LIMIT_LINES: usize = 30;
/// The time stamp at which virtual time begins.
const VIRTUAL_EPOCH_S: i64 = 1_755_079_200;

/// A handle on the log.
#[derive(Debug, Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    /// The last lines; `None` where nothing reads them, so that no line is formatted.
    recent: Option<Mutex<VecDeque<Kept>>>,
    writers: Vec<Writer>,
}

/// A line that is kept, and how often it was written one after the other.
#[derive(Debug)]
struct Kept {
    text: String,
    /// With the time stamp of the last time.
    line: String,
    times: u64,
}

#[derive(Debug)]
enum Clock {
    Wall,
    Virtual { begun: Instant },
}

impl Journal {
    /// A log that writes nowhere.
    pub fn silent() -> Self {
        Self::of(Clock::Wall, None, Vec::new())
    }

    /// Writes to all of `writers`, and keeps the last lines.
    pub fn new(writers: Vec<Writer>) -> Self {
        Self::of(Clock::Wall, Some(Mutex::default()), writers)
    }

    /// The same in virtual time, which begins now. Call it inside the paused runtime.
    pub fn in_virtual_time(writer: Writer) -> Self {
        Self::of(Clock::Virtual { begun: Instant::now() }, Some(Mutex::default()), vec![writer])
    }

    fn of(clock: Clock, recent: Option<Mutex<VecDeque<Kept>>>, writers: Vec<Writer>) -> Self {
        Self { shared: Arc::new(Shared { clock, recent, writers }) }
    }

    /// Writes a line, without waiting.
    pub fn line(&self, text: fmt::Arguments<'_>) {
        let Some(recent) = &self.shared.recent else {
            return;
        };
        // Under one lock, so that every writer has the lines in the order of their time stamps.
        let mut recent = recent.lock();
        let text = text.to_string();
        let line = format!("{} {text}", self.now().strftime("%Y/%m/%d %H:%M:%S.%6f"));
        for writer in &self.shared.writers {
            writer.line(line.clone());
        }
        match recent.back_mut().filter(|last| last.text == text) {
            Some(last) => *last = Kept { text, line, times: last.times + 1 },
            None => {
                if recent.len() >= RECENT_LIMIT_LINES {
                    recent.pop_front();
                }
                recent.push_back(Kept { text, line, times: 1 });
            }
        }
    }

    /// The last lines, oldest first. One that repeats the one before it is there once, with the number of times.
    pub fn recent(&self) -> Vec<String> {
        let shown = |kept: &Kept| match kept.times {
            1 => kept.line.clone(),
            times => format!("{} ×{times}", kept.line),
        };
        self.shared
            .recent
            .iter()
            .flat_map(|recent| recent.lock().iter().map(shown).collect::<Vec<_>>())
            .collect()
    }

    fn now(&self) -> Timestamp {
        match self.shared.clock {
            Clock::Wall => Timestamp::now(),
            Clock::Virtual { begun } => {
                let epoch = Timestamp::from_second(VIRTUAL_EPOCH_S).unwrap_or(Timestamp::UNIX_EPOCH);
                epoch.checked_add(begun.elapsed()).unwrap_or(Timestamp::MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_line_has_its_time_stamp_in_virtual_time() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let journal = Journal::in_virtual_time(Writer::direct("log", file.reopen().expect("open")));
        tokio::time::sleep(Duration::from_millis(10_101)).await;
        journal.line(format_args!("backlog size: {}", 55));
        let written = std::fs::read_to_string(file.path()).expect("text");
        assert_eq!(written, "2025/08/13 10:00:10.101000 backlog size: 55\n");
        for number in 0..100 {
            journal.line(format_args!("{number}"));
        }
        let recent = journal.recent();
        assert_eq!(recent.len(), RECENT_LIMIT_LINES);
        assert!(recent[RECENT_LIMIT_LINES - 1].ends_with(" 99"), "{recent:?}");
        for _ in 0..12 {
            journal.line(format_args!("backlog size: 2"));
        }
        let recent = journal.recent();
        assert_eq!(recent.len(), RECENT_LIMIT_LINES);
        assert!(recent[RECENT_LIMIT_LINES - 1].ends_with(" backlog size: 2 ×12"), "{recent:?}");
        let written = std::fs::read_to_string(file.path()).expect("text");
        assert_eq!(written.lines().count(), 113, "the file has every line");
    }
}
