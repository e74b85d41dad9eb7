//! The log: lines in the seed's wording, each with its time to the microsecond (UTC).
//!
//! ```text
//!   line ──> recent lines (for pages)
//!        └─> at once to a writer (virtual time)   or   bounded channel ──> thread ──> stdout, rotated file
//! ```
//!
//! A terminal that is stopped, or a slow disk, must not stop the pipeline or keep it from hearing a signal:
//! a thread of its own writes, and lines that find the channel full are lost, counted, and the loss is told
//! in the log as soon as there is room. In virtual time nothing waits; the stamp is a fixed epoch plus
//! virtual time, so the same run writes the same bytes.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

use super::rotate::RotatingFile;

/// Lines that wait to be written.
const WAITING_LIMIT_LINES: usize = 10_000;
/// Lines kept for pages.
const RECENT_LIMIT_LINES: usize = 30;
/// How long the last lines may take to be written.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);
/// The stamp at which virtual time begins: the seed's example.
const VIRTUAL_EPOCH_S: i64 = 1_755_079_200;

/// A handle on the log.
#[derive(Debug, Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    recent: Mutex<VecDeque<String>>,
    out: Out,
}

#[derive(Debug)]
enum Clock {
    Wall,
    Virtual { begun: Instant },
}

enum Out {
    /// Nobody reads lines, so none is made.
    Nothing,
    Nowhere,
    Direct(Mutex<Box<dyn Write + Send>>),
    Thread {
        lines: mpsc::SyncSender<Message>,
        lost: AtomicU64,
    },
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Nowhere => "Nowhere",
            Self::Direct(_) => "Direct",
            Self::Thread { .. } => "Thread",
        })
    }
}

enum Message {
    Line(String),
    /// Everything before this has been written when the sender is dropped.
    Flush(mpsc::SyncSender<()>),
}

impl Journal {
    /// Keeps nothing.
    pub fn silent() -> Self {
        Self::of(Clock::Wall, Out::Nothing)
    }

    /// Keeps the recent lines only.
    pub fn quiet() -> Self {
        Self::of(Clock::Wall, Out::Nowhere)
    }

    /// Writes at once to `out`, in virtual time that begins now. Call it inside the paused runtime.
    pub fn in_virtual_time(out: impl Write + Send + 'static) -> Self {
        let clock = Clock::Virtual { begun: Instant::now() };
        Self::of(clock, Out::Direct(Mutex::new(Box::new(out))))
    }

    /// Writes to stdout and to `file`, where wanted, from a thread of its own.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(stdout: bool, file: Option<RotatingFile>) -> io::Result<Self> {
        let (lines, waiting) = mpsc::sync_channel(WAITING_LIMIT_LINES);
        std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || write_all(&waiting, stdout, file))?;
        Ok(Self::of(Clock::Wall, Out::Thread { lines, lost: AtomicU64::new(0) }))
    }

    fn of(clock: Clock, out: Out) -> Self {
        Self { shared: Arc::new(Shared { clock, recent: Mutex::default(), out }) }
    }

    /// Writes a line.
    pub fn line(&self, text: fmt::Arguments<'_>) {
        if matches!(self.shared.out, Out::Nothing) {
            return;
        }
        let line = format!("{} {text}\n", self.now().strftime("%Y/%m/%d %H:%M:%S.%6f"));
        {
            let mut recent = self.shared.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if recent.len() >= RECENT_LIMIT_LINES {
                recent.pop_front();
            }
            recent.push_back(line.trim_end().to_owned());
        }
        match &self.shared.out {
            Out::Nothing | Out::Nowhere => {}
            Out::Direct(out) => {
                // Virtual time has no second chance; a closed pipe ends nothing.
                let _ = out.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
            }
            Out::Thread { lines, lost } => {
                let told = lost.swap(0, Ordering::Relaxed);
                let line = if told > 0 {
                    format!("{line}{told} log lines before this one were lost\n")
                } else {
                    line
                };
                if lines.try_send(Message::Line(line)).is_err() {
                    lost.fetch_add(told + 1, Ordering::Relaxed);
                }
            }
        }
    }

    /// The last lines, oldest first.
    pub fn recent(&self) -> Vec<String> {
        let recent = self.shared.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().cloned().collect()
    }

    /// Waits until all lines are written, for at most 2 s. Blocks its thread.
    pub fn flush(&self) {
        match &self.shared.out {
            Out::Nothing | Out::Nowhere => {}
            Out::Direct(out) => {
                let _ = out.lock().unwrap_or_else(PoisonError::into_inner).flush();
            }
            Out::Thread { lines, .. } => {
                let (written, wait) = mpsc::sync_channel(0);
                if lines.try_send(Message::Flush(written)).is_ok() {
                    // Ends with an error when the sender is dropped, which is the sign.
                    let _ = wait.recv_timeout(FLUSH_LIMIT);
                }
            }
        }
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

/// The writing thread: until every sender is gone.
fn write_all(waiting: &mpsc::Receiver<Message>, stdout: bool, mut file: Option<RotatingFile>) {
    let mut stdout = stdout.then(io::stdout);
    while let Ok(first) = waiting.recv() {
        let mut next = Some(first);
        let mut flushed = Vec::new();
        while let Some(message) = next {
            match message {
                Message::Line(line) => {
                    // Whoever read stdout may have left; the file goes on, and the other way round.
                    stdout.take_if(|out| out.write_all(line.as_bytes()).is_err());
                    let failed = file.as_mut().and_then(|file| file.write_line(line.as_bytes()).err());
                    if let Some(error) = failed {
                        tracing::error!(%error, "the log file cannot be written any more");
                        file = None;
                    }
                }
                Message::Flush(written) => flushed.push(written),
            }
            next = waiting.try_recv().ok();
        }
        stdout.take_if(|out| out.flush().is_err());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_line_has_the_seeds_form_in_virtual_time() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let journal = Journal::in_virtual_time(file.reopen().expect("open"));
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
    }

    #[test]
    fn lines_that_find_no_room_are_counted_and_told() {
        let (lines, waiting) = mpsc::sync_channel(2);
        let journal = Journal::of(Clock::Wall, Out::Thread { lines, lost: AtomicU64::new(0) });
        for number in 0..5 {
            journal.line(format_args!("{number}"));
        }
        let mut written = Vec::new();
        let mut read = |count: usize| {
            for _ in 0..count {
                if let Ok(Message::Line(line)) = waiting.recv() {
                    written.push(line);
                }
            }
        };
        read(2);
        journal.line(format_args!("5"));
        read(1);
        assert!(written[1].ends_with(" 1\n"), "{written:?}");
        assert!(written[2].ends_with(" 5\n3 log lines before this one were lost\n"), "{written:?}");
    }
}
