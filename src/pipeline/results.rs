//! The results: one JSON object a line, appended, and on disk before it is reported.
//!
//! A run killed at any moment can be resumed: jobs in the file are not run again, a torn last line is cut off, and
//! jobs that ran without being recorded run again. So a job has one *result*, and one more each time that
//! it failed for good and was tried again on request, of which the last counts; its command runs at least once.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What a results file holds.
#[derive(Debug, Default)]
pub struct Recorded {
    /// The jobs by their names as JSON, and how each ended; of several results of one job the last.
    pub jobs: HashMap<String, RecordedOutcome>,
    /// Bytes of a torn last line that were cut off.
    pub torn_bytes: u64,
}

impl Recorded {
    /// How many failed for good.
    pub fn failed(&self) -> u64 {
        self.jobs.values().filter(|outcome| **outcome == RecordedOutcome::Failed).count() as u64
    }
}

/// One line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// The job's `id` as it was written, or its line's number and hash.
    pub(super) job: Box<RawValue>,
    /// The number of its line.
    pub(super) line: u64,
    /// `succeeded` or `failed`.
    pub(super) outcome: RecordedOutcome,
    /// The number of attempts.
    pub(super) attempts: u32,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// The code that the last attempt exited with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) exit_code: Option<i32>,
    /// When the last attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) started_at: Option<Timestamp>,
    /// Milliseconds of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) run_ms: Option<f64>,
    /// Milliseconds from the line's arrival to the job's end.
    pub(super) sojourn_ms: f64,
    /// The beginning of the last attempt's output, ...
    pub(super) stdout: String,
    /// ... how many bytes it had, ...
    pub(super) stdout_bytes: u64,
    /// ... and the same of what it wrote to standard error.
    pub(super) stderr: String,
    /// Bytes of it.
    pub(super) stderr_bytes: u64,
}

/// How a recorded job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordedOutcome {
    /// A command exited with code 0.
    Succeeded,
    /// Every attempt failed.
    Failed,
}

/// Where results go.
#[derive(Debug)]
pub enum Results {
    /// A file that this process alone writes.
    File(File),
    /// Standard output, from which no run can be resumed.
    Stdout,
}

impl Results {
    /// Opens `path`, and creates it if it is missing. An existing file with results is accepted only with `resume`.
    ///
    /// # Errors
    /// When it is not a regular file or cannot be opened, another process writes it, it holds something other than
    /// results, or it holds results and `resume` is false.
    pub fn open(path: &Path, resume: bool) -> io::Result<(Self, Recorded)> {
        let refuse = |why: String| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        // Before it is opened: opening a pipe would wait for its reader.
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return refuse("it is not a regular file; - is standard output".to_owned());
        }
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        if file.try_lock().is_err() {
            return refuse("another process writes it".to_owned());
        }
        if file.metadata()?.len() > 0 && !resume {
            return refuse("it holds results already: --resume goes on with them".to_owned());
        }
        let mut recorded = Recorded::default();
        let mut whole_bytes = 0_u64;
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let length = reader.read_until(b'\n', &mut line)? as u64;
            if length == 0 {
                break;
            }
            if line.last() != Some(&b'\n') {
                recorded.torn_bytes = length;
                break;
            }
            let Ok(record) = serde_json::from_slice::<Record>(&line) else {
                return refuse(format!("its line {number} is not a result"));
            };
            whole_bytes += length;
            recorded.jobs.insert(record.job.get().to_owned(), record.outcome);
        }
        if recorded.torn_bytes > 0 {
            file.set_len(whole_bytes)?;
            file.sync_data()?;
        }
        file.seek(SeekFrom::End(0))?;
        sync_folder(path)?;
        Ok((Self::File(file), recorded))
    }

    /// Appends whole lines and waits until they are on disk, or taken. Blocks its thread.
    ///
    /// # Errors
    /// When writing fails; the error has the number of lines that are on disk all the same.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), NotKept> {
        let none = |error| NotKept { kept_lines: 0, error };
        match self {
            Self::File(file) => {
                let found = file.metadata().map_err(none)?;
                if found.nlink() == 0 {
                    return Err(none(io::Error::other("the file was deleted")));
                }
                let before = found.len();
                match file.write_all(lines) {
                    Ok(()) => file.sync_data().map_err(none),
                    Err(error) => Err(NotKept { kept_lines: keep_whole_lines(file, before, lines), error }),
                }
            }
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines).and_then(|()| stdout.flush()).map_err(none)
            }
        }
    }
}

/// Lines that could not all be written.
#[derive(Debug)]
pub(super) struct NotKept {
    /// How many of them, the first ones, are on disk.
    pub(super) kept_lines: u64,
    /// Why the others are not.
    pub(super) error: io::Error,
}

/// Of `lines`, of which the end could not be written after the file's first `before` bytes: cuts off what was written of
/// a line, and says how many whole ones are on disk.
fn keep_whole_lines(file: &File, before: u64, lines: &[u8]) -> u64 {
    let keep = || {
        let written = file.metadata()?.len().saturating_sub(before);
        let written = &lines[..usize::try_from(written).unwrap_or(lines.len()).min(lines.len())];
        let whole = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        file.set_len(before + whole as u64)?;
        file.sync_data()?;
        io::Result::Ok(written[..whole].iter().filter(|byte| **byte == b'\n').count() as u64)
    };
    // What is not known to be on disk is not kept: it runs again.
    keep().unwrap_or(0)
}

/// A new file's name is on disk only once its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(job: &str, outcome: RecordedOutcome) -> String {
        let record = Record {
            job: serde_json::value::to_raw_value(job).expect("JSON"),
            line: 1,
            outcome,
            attempts: 1,
            error: None,
            exit_code: Some(0),
            started_at: None,
            run_ms: None,
            sojourn_ms: 1.5,
            stdout: "out\n".into(),
            stdout_bytes: 4,
            stderr: String::new(),
            stderr_bytes: 0,
        };
        serde_json::to_string(&record).expect("JSON") + "\n"
    }

    #[test]
    fn when_a_write_is_cut_short_the_complete_lines_are_kept() {
        let lines = record("a", RecordedOutcome::Succeeded) + &record("b", RecordedOutcome::Failed);
        let first = record("a", RecordedOutcome::Succeeded).len();
        for written in 0..=lines.len() {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(b"before\n").expect("written");
            file.write_all(&lines.as_bytes()[..written]).expect("written");
            let kept = keep_whole_lines(&file, 7, lines.as_bytes());
            let expected = u64::from(written >= first) + u64::from(written == lines.len());
            let length = [0, first, lines.len()][usize::try_from(kept).expect("few")];
            assert_eq!(
                (kept, file.metadata().expect("a file").len()),
                (expected, 7 + length as u64),
                "{written}"
            );
        }
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_the_rest_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("results.jsonl");
        let (mut results, recorded) = Results::open(&path, false).expect("a new file");
        assert_eq!((recorded.jobs.len(), recorded.torn_bytes), (0, 0));
        let whole = record("a", RecordedOutcome::Succeeded) + &record("b", RecordedOutcome::Failed);
        results.append(whole.as_bytes()).expect("written");
        assert!(Results::open(&path, true).is_err(), "it is locked");
        drop(results);

        let torn = record("c", RecordedOutcome::Succeeded);
        for length in 1..torn.len() - 1 {
            std::fs::write(&path, format!("{whole}{}", &torn[..length])).expect("written");
            let (_, recorded) = Results::open(&path, true).expect("resumed");
            assert_eq!((recorded.jobs.len(), recorded.failed(), recorded.torn_bytes), (2, 1, length as u64));
            assert!(recorded.jobs.contains_key("\"a\"") && recorded.jobs.contains_key("\"b\""));
            assert_eq!(std::fs::read_to_string(&path).expect("text"), whole);
        }
        assert!(Results::open(&path, false).is_err(), "it holds results");
        std::fs::write(&path, format!("{whole}nonsense\n")).expect("written");
        let error = Results::open(&path, true).expect_err("no result").to_string();
        assert_eq!(error, "its line 3 is not a result");
    }
}
