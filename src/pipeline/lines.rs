//! Reads jobs: one JSON value a line, from a file or from standard input.
//!
//! A job is known by its line's `id` (text or number), else by the line's number and hash.

use std::{
    collections::HashSet,
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::Value;
use tokio::sync::mpsc;

/// A longer line is recorded as failed: an argument of a command is limited to 128 KiB by the kernel.
const LINE_LIMIT_BYTES: usize = 100_000;
/// Lines that are read ahead.
const AHEAD_LIMIT_LINES: usize = 16;

/// One job as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its number in the source, from 1.
    pub number: u64,
    /// What it is known by: its `id`, or its number and hash.
    pub job: Value,
    /// The line without its end, or why it is no job.
    pub text: Result<Arc<str>, &'static str>,
}

impl Line {
    fn read(number: u64, bytes: &[u8], whole: bool) -> Self {
        let unnamed = || Value::String(format!("line {number} {:016x}", fnv1a(bytes)));
        if !whole {
            return Self { number, job: unnamed(), text: Err("the line is longer than 100000 bytes") };
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Self { number, job: unnamed(), text: Err("the line is not UTF-8") };
        };
        match serde_json::from_str::<Value>(text) {
            Ok(value) => {
                let id = value.get("id").filter(|id| id.is_string() || id.is_number());
                Self { number, job: id.cloned().unwrap_or_else(unnamed), text: Ok(text.into()) }
            }
            Err(_) => Self { number, job: unnamed(), text: Err("the line is not JSON") },
        }
    }

    /// What the results file knows it by.
    pub fn key(&self) -> String {
        self.job.to_string()
    }
}

/// FNV-1a, 64 bits: tells an edited line from the one that was recorded under its number.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Where jobs come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl Source {
    /// Opens it.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(&self) -> io::Result<Box<dyn BufRead + Send>> {
        Ok(match self {
            Self::Stdin => Box::new(BufReader::new(io::stdin())),
            Self::File(path) => Box::new(BufReader::new(File::open(path)?)),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("-"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl std::str::FromStr for Source {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "-" { Self::Stdin } else { Self::File(text.into()) })
    }
}

/// What became of the lines that were read.
#[derive(Debug, Default)]
pub struct Intake {
    read: AtomicU64,
    skipped: AtomicU64,
    duplicates: AtomicU64,
}

impl Intake {
    /// Lines that were read, empty ones left out.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Lines whose job was recorded by an earlier run.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Lines whose job came in an earlier line.
    pub fn duplicates(&self) -> u64 {
        self.duplicates.load(Ordering::Relaxed)
    }
}

/// Jobs as they are read.
#[derive(Debug)]
pub struct Lines {
    pub(super) lines: mpsc::Receiver<Line>,
    /// What became of what was read.
    pub intake: Arc<Intake>,
}

impl Lines {
    /// Begins to read, on a thread of its own that goes no further than a few lines ahead. Jobs in
    /// `recorded` are skipped, and so are jobs that came before; the names of both are held in memory.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn read(reader: Box<dyn BufRead + Send>, recorded: HashSet<String>) -> io::Result<Self> {
        let (sender, lines) = mpsc::channel(AHEAD_LIMIT_LINES);
        let intake = Arc::new(Intake::default());
        let counts = intake.clone();
        std::thread::Builder::new().name("jobs".into()).spawn(move || {
            if let Err(error) = read_all(reader, recorded, &sender, &counts) {
                tracing::error!(%error, "the jobs cannot be read any further");
            }
        })?;
        Ok(Self { lines, intake })
    }
}

fn read_all(
    mut reader: impl BufRead,
    recorded: HashSet<String>,
    lines: &mpsc::Sender<Line>,
    intake: &Intake,
) -> io::Result<()> {
    let mut seen = HashSet::new();
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let limit = LINE_LIMIT_BYTES as u64 + 1;
        if (&mut reader).take(limit).read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        let whole = bytes.last() == Some(&b'\n') || bytes.len() <= LINE_LIMIT_BYTES;
        if !whole {
            skip_line(&mut reader)?;
        }
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.trim_ascii().is_empty() {
            continue;
        }
        intake.read.fetch_add(1, Ordering::Relaxed);
        let line = Line::read(number, text, whole);
        let key = line.key();
        if recorded.contains(&key) {
            intake.skipped.fetch_add(1, Ordering::Relaxed);
        } else if !seen.insert(key) {
            intake.duplicates.fetch_add(1, Ordering::Relaxed);
        } else if lines.blocking_send(line).is_err() {
            // Nobody takes jobs any more.
            break;
        }
    }
    Ok(())
}

/// Reads to the end of the line without keeping it.
fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let available = reader.fill_buf()?;
        let end = available.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(available.len(), |end| end + 1);
        let over = end.is_some() || available.is_empty();
        reader.consume(length);
        if over {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_line_becomes_one_job_or_a_reason() {
        let long = "x".repeat(LINE_LIMIT_BYTES + 5);
        let text = format!(
            "{{\"id\":\"a\",\"n\":1}}\n\n  \n[1]\r\n{{\"id\":7}}\nnot json\n{long}\n{{\"id\":\"a\"}}\n{{\"id\":\"old\"}}\n\
             {{\"id\":{{}}}}\n5"
        );
        let (sender, mut receiver) = mpsc::channel(100);
        let intake = Intake::default();
        let recorded = HashSet::from(["\"old\"".to_owned()]);
        let reader = io::Cursor::new([text.as_bytes(), b"\n\xff\n"].concat());
        read_all(reader, recorded, &sender, &intake).expect("read");
        drop(sender);
        let mut lines = Vec::new();
        while let Ok(line) = receiver.try_recv() {
            lines.push((line.number, line.key(), line.text.as_deref().map(str::len).map_err(|why| *why)));
        }
        assert_eq!(lines[0], (1, "\"a\"".to_owned(), Ok(16)));
        assert_eq!((lines[1].0, lines[1].2), (4, Ok(3)), "without the end of the line");
        assert!(lines[1].1.starts_with("\"line 4 "), "{lines:?}");
        assert_eq!((lines[2].1.as_str(), lines[3].2), ("7", Err("the line is not JSON")));
        assert_eq!((lines[4].0, lines[4].2), (7, Err("the line is longer than 100000 bytes")));
        assert_eq!((lines[5].0, lines[6].0), (10, 11), "an id that is no name is none");
        assert_eq!(lines[7].2, Err("the line is not UTF-8"));
        assert_eq!((intake.read(), intake.skipped(), intake.duplicates()), (10, 1, 1));
    }

    #[test]
    fn an_edited_line_is_another_job() {
        let key = |text: &str| Line::read(3, text.as_bytes(), true).key();
        assert_eq!(key("[1]"), key("[1]"));
        assert_ne!(key("[1]"), key("[2]"));
        assert_eq!(Line::read(3, b"{\"id\":1}", true).job, json!(1));
    }
}
