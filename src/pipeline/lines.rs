//! Reads jobs, one a line, from a file or from standard input.
//!
//! A job's name is its line's `id` (text or number, as it was written), or else the line's number and hash.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::results::RecordedOutcome;

/// A longer line is recorded as failed: an argument of a command is limited to 128 KiB by the kernel.
const LINE_LIMIT_BYTES: usize = 100_000;
/// What some editors write before the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Lines that are read ahead.
const AHEAD_LIMIT_LINES: usize = 16;

/// Which lines become jobs.
#[derive(Debug, Default)]
pub struct Rules {
    /// What a line is.
    pub format: Format,
    /// The jobs of earlier runs, which are skipped.
    pub recorded: HashMap<String, RecordedOutcome>,
    /// Whether jobs that failed are run again.
    pub retry_failed: bool,
}

/// What a line is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// A JSON value.
    #[default]
    Json,
    /// Any text.
    Text,
}

/// One job as it was written.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its number in the source, from 1.
    pub number: u64,
    /// Its name as JSON: its `id` as it was written, or a text of its number and hash.
    pub job: Box<RawValue>,
    /// The job's text, or why the line is not a job.
    pub text: Result<Text, &'static str>,
}

/// What a line holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The line without its end.
    pub line: Arc<str>,
    /// The same, but of a JSON string its content.
    pub content: Arc<str>,
}

impl Line {
    fn read(format: Format, number: u64, bytes: &[u8], whole: bool) -> Self {
        let unnamed = || json_text(&format!("line {number} {:016x}", fnv1a(bytes)));
        let refused = |why| Self { number, job: unnamed(), text: Err(why) };
        if !whole {
            return refused("the line is longer than 100000 bytes");
        }
        let Ok(line) = std::str::from_utf8(bytes) else {
            return refused("the line is not UTF-8");
        };
        let (mut job, mut content) = (None, Arc::from(line));
        if format == Format::Json {
            let Ok(value) = serde_json::from_str::<&RawValue>(line) else {
                return refused("the line is not JSON");
            };
            match string(value) {
                Some(text) => content = text.into(),
                None => job = field(line, "id").as_deref().and_then(name),
            }
        }
        let text = Text { line: line.into(), content };
        Self { number, job: job.unwrap_or_else(unnamed), text: Ok(text) }
    }

    /// Its name in the results file.
    pub fn key(&self) -> &str {
        self.job.get()
    }

    /// Its name as people write it.
    pub fn name(&self) -> String {
        string(&self.job).unwrap_or_else(|| self.job.get().to_owned())
    }
}

impl Text {
    /// A field of a line that is a JSON object: of a string its content, of anything else its text.
    pub fn field(&self, name: &str) -> Option<String> {
        let value = field(&self.line, name)?;
        Some(string(&value).unwrap_or_else(|| value.get().to_owned()))
    }
}

/// A member of an object as it was written; of several with one name the last.
fn field(object: &str, name: &str) -> Option<Box<RawValue>> {
    serde_json::from_str::<HashMap<String, Box<RawValue>>>(object).ok()?.remove(name)
}

/// The content of a JSON string.
fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// A name: a string in one spelling, or a number as it was written, so that no two become one.
fn name(id: &RawValue) -> Option<Box<RawValue>> {
    match string(id) {
        Some(text) => Some(json_text(&text)),
        None => {
            id.get().starts_with(|first: char| first == '-' || first.is_ascii_digit()).then(|| id.to_owned())
        }
    }
}

fn json_text(text: &str) -> Box<RawValue> {
    serde_json::value::to_raw_value(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
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
    /// When the file cannot be opened, or is a directory.
    pub fn open(&self) -> io::Result<Box<dyn BufRead + Send>> {
        let path = match self {
            Self::Stdin => return Ok(Box::new(BufReader::new(io::stdin()))),
            Self::File(path) => path,
        };
        let file = File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Box::new(BufReader::new(file)))
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

/// The counts of the lines that were read.
#[derive(Debug, Default)]
pub struct Intake {
    read: AtomicU64,
    skipped: AtomicU64,
    duplicates: AtomicU64,
    tried_again: AtomicU64,
    at_end: AtomicBool,
    broken: Mutex<Option<String>>,
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

    /// Lines whose job was recorded as failed by an earlier run, and is tried again.
    pub fn tried_again(&self) -> u64 {
        self.tried_again.load(Ordering::Relaxed)
    }

    /// Whether the last line was read.
    pub fn at_end(&self) -> bool {
        self.at_end.load(Ordering::Acquire)
    }

    /// Why the rest could not be read, if it could not.
    pub fn broken(&self) -> Option<String> {
        self.broken.lock().clone()
    }

    /// Lines that had the id of an earlier line.
    pub fn duplicates(&self) -> u64 {
        self.duplicates.load(Ordering::Relaxed)
    }
}

/// Jobs as they are read.
#[derive(Debug)]
pub struct Lines {
    pub(super) lines: mpsc::Receiver<Line>,
    /// The counts of the lines that were read.
    pub intake: Arc<Intake>,
}

impl Lines {
    /// Starts to read on a thread of its own, which reads only a few lines ahead. Jobs with an earlier line's name are
    /// skipped too; the names of all jobs are held in memory.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn read(reader: Box<dyn BufRead + Send>, rules: Rules) -> io::Result<Self> {
        let (sender, lines) = mpsc::channel(AHEAD_LIMIT_LINES);
        let intake = Arc::new(Intake::default());
        let counts = intake.clone();
        std::thread::Builder::new().name("jobs".into()).spawn(move || {
            if let Err(error) = read_all(reader, &rules, &sender, &counts) {
                *counts.broken.lock() = Some(error.to_string());
            }
        })?;
        Ok(Self { lines, intake })
    }
}

fn read_all(
    mut reader: impl BufRead,
    rules: &Rules,
    lines: &mpsc::Sender<Line>,
    intake: &Intake,
) -> io::Result<()> {
    let mut seen = HashSet::new();
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let limit = LINE_LIMIT_BYTES as u64 + 1;
        if (&mut reader).take(limit).read_until(b'\n', &mut bytes)? == 0 {
            intake.at_end.store(true, Ordering::Release);
            break;
        }
        let whole = bytes.last() == Some(&b'\n') || bytes.len() <= LINE_LIMIT_BYTES;
        if !whole {
            skip_line(&mut reader)?;
        }
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let text = if number == 1 { text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text) } else { text };
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.trim_ascii().is_empty() {
            continue;
        }
        intake.read.fetch_add(1, Ordering::Relaxed);
        let line = Line::read(rules.format, number, text, whole);
        if !seen.insert(line.key().to_owned()) {
            intake.duplicates.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        match rules.recorded.get(line.key()) {
            Some(RecordedOutcome::Failed) if rules.retry_failed => {
                intake.tried_again.fetch_add(1, Ordering::Relaxed);
            }
            Some(_) => {
                intake.skipped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            None => {}
        }
        if lines.blocking_send(line).is_err() {
            // The receiver is gone: no more jobs are taken.
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

    fn read(text: &[u8], rules: &Rules) -> (Vec<Line>, Intake) {
        let (sender, mut receiver) = mpsc::channel(100);
        let intake = Intake::default();
        read_all(io::Cursor::new(text), rules, &sender, &intake).expect("read");
        drop(sender);
        (std::iter::from_fn(|| receiver.try_recv().ok()).collect(), intake)
    }

    fn content(line: &Line) -> Result<&str, &'static str> {
        line.text.as_ref().map(|text| &*text.content).map_err(|why| *why)
    }

    #[test]
    fn every_line_becomes_one_job_or_a_reason() {
        let long = "x".repeat(LINE_LIMIT_BYTES + 5);
        let text = format!(
            "\u{feff}{{\"id\":\"a\",\"n\":1}}\n\n  \n[1]\r\n{{\"id\":7}}\nnot json\n{long}\n{{\"id\":\"\\u0061\"}}\n\
             {{\"id\":\"old\"}}\n{{\"id\":{{}}}}\n\"x y\""
        );
        let recorded = HashMap::from([("\"old\"".to_owned(), RecordedOutcome::Failed)]);
        let mut rules = Rules { recorded, ..Rules::default() };
        let bytes = [text.as_bytes(), b"\n\xff\n"].concat();
        let (lines, intake) = read(&bytes, &rules);
        let found: Vec<_> = lines.iter().map(|line| (line.number, content(line))).collect();
        let expected = [
            (1, Ok("{\"id\":\"a\",\"n\":1}")),
            (4, Ok("[1]")),
            (5, Ok("{\"id\":7}")),
            (6, Err("the line is not JSON")),
            (7, Err("the line is longer than 100000 bytes")),
            (10, Ok("{\"id\":{}}")),
            (11, Ok("x y")),
            (12, Err("the line is not UTF-8")),
        ];
        assert_eq!(found, expected);
        assert_eq!((lines[0].key(), lines[2].key()), ("\"a\"", "7"));
        assert!([1, 5, 6].iter().all(|at| lines[*at].key().starts_with("\"line ")), "no name: {lines:?}");
        assert_eq!((intake.read(), intake.skipped(), intake.duplicates()), (10, 1, 1));
        rules.retry_failed = true;
        let (lines, intake) = read(&bytes, &rules);
        assert_eq!((lines.len(), intake.skipped(), intake.tried_again()), (9, 0, 1));
        assert!(intake.at_end());
    }

    #[test]
    fn input_is_not_read_ahead_of_the_workers() {
        let (sender, receiver) = mpsc::channel(1);
        drop(receiver);
        let intake = Intake::default();
        read_all(io::Cursor::new("1\n2\n3\n"), &Rules::default(), &sender, &intake).expect("read");
        assert_eq!((intake.read(), intake.at_end()), (1, false));
    }

    #[test]
    fn as_text_every_line_is_a_job() {
        let (lines, _) =
            read(b"{\"id\":1}\nnot json\n\"x\"\n", &Rules { format: Format::Text, ..Rules::default() });
        let found: Vec<_> = lines.iter().map(content).collect();
        assert_eq!(found, [Ok("{\"id\":1}"), Ok("not json"), Ok("\"x\"")]);
        assert!(lines[0].key().starts_with("\"line 1 "), "{}", lines[0].key());
    }

    #[test]
    fn names_are_kept_as_they_were_written_and_an_edited_line_is_another_job() {
        let key = |text: &str| Line::read(Format::Json, 3, text.as_bytes(), true).key().to_owned();
        for number in ["18446744073709551617", "18446744073709551618", "1.10", "1.1", "1e2", "-0", "5"] {
            assert_eq!(key(&format!("{{\"id\": {number} }}")), number);
        }
        assert_eq!(key("{\"id\":1,\"id\":2}"), "2", "the last of several");
        assert_eq!(key("[1]"), key("[1]"));
        assert_ne!(key("[1]"), key("[2]"));
    }

    #[test]
    fn a_field_is_the_content_of_a_string_or_the_json_itself() {
        let line = Line::read(Format::Json, 1, br#"{"id":1,"url":"a\"b","n":1.50,"of":{"x":[1]}}"#, true);
        let text = line.text.expect("a job");
        let fields = ["url", "n", "of", "gone"].map(|name| text.field(name));
        let expected = [Some("a\"b"), Some("1.50"), Some("{\"x\":[1]}"), None];
        assert_eq!(fields, expected.map(|field| field.map(str::to_owned)));
    }

    #[test]
    fn a_read_error_in_the_middle_is_reported() {
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is gone"))
            }
        }
        let (sender, _receiver) = mpsc::channel(100);
        let reader = BufReader::new(io::Read::chain(io::Cursor::new("[1]\n[2"), Broken));
        let error = read_all(reader, &Rules::default(), &sender, &Intake::default()).expect_err("broken");
        assert_eq!(error.to_string(), "the disk is gone");
    }
}
