//! The results: one JSON object a line, appended, and on disk before it is told of.
//!
//! A run killed at any moment can be resumed: what the file holds is not run again, a torn last line is cut
//! off, and what had run without being recorded runs again. So a job's *result* is there exactly once, and its
//! command runs at least once.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a results file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The jobs.
    pub jobs: HashSet<String>,
    /// How many succeeded.
    pub succeeded: u64,
    /// How many failed for good.
    pub failed: u64,
    /// Bytes of a torn last line that were cut off.
    pub torn_bytes: u64,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The job's `id`, or its line's number and hash.
    pub(super) job: Value,
    /// The number of its line.
    pub(super) line: u64,
    /// `succeeded` or `failed`.
    pub(super) outcome: RecordedOutcome,
    /// How often it was tried.
    pub(super) attempts: u32,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// The code that the last attempt exited with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) exit_code: Option<i32>,
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
pub(super) enum RecordedOutcome {
    Succeeded,
    Failed,
}

/// A results file that this process alone writes.
#[derive(Debug)]
pub struct ResultsFile {
    file: File,
}

impl ResultsFile {
    /// Opens `path`, creating it where it is missing. A file with results is taken up only to `resume`.
    ///
    /// # Errors
    /// When it cannot be opened, another process writes it, it holds something else than results, or it holds
    /// results and is not to be resumed.
    pub fn open(path: &Path, resume: bool) -> io::Result<(Self, Recorded)> {
        let refuse = |why: String| Err(io::Error::new(io::ErrorKind::InvalidData, why));
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
            match record.outcome {
                RecordedOutcome::Succeeded => recorded.succeeded += 1,
                RecordedOutcome::Failed => recorded.failed += 1,
            }
            recorded.jobs.insert(record.job.to_string());
        }
        if recorded.torn_bytes > 0 {
            file.set_len(whole_bytes)?;
            file.sync_data()?;
        }
        file.seek(SeekFrom::End(0))?;
        sync_folder(path)?;
        Ok((Self { file }, recorded))
    }

    /// Appends whole lines and waits until they are on disk. Blocks its thread.
    ///
    /// # Errors
    /// When that cannot be done. What was written of a line is cut off when the file is resumed.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)?;
        self.file.sync_data()
    }
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
            job: job.into(),
            line: 1,
            outcome,
            attempts: 1,
            error: None,
            exit_code: Some(0),
            sojourn_ms: 1.5,
            stdout: "out\n".into(),
            stdout_bytes: 4,
            stderr: String::new(),
            stderr_bytes: 0,
        };
        serde_json::to_string(&record).expect("JSON") + "\n"
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_the_rest_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("results.jsonl");
        let (mut results, recorded) = ResultsFile::open(&path, false).expect("a new file");
        assert_eq!(recorded, Recorded::default());
        let whole = record("a", RecordedOutcome::Succeeded) + &record("b", RecordedOutcome::Failed);
        results.append(whole.as_bytes()).expect("written");
        assert!(ResultsFile::open(&path, true).is_err(), "it is locked");
        drop(results);

        let torn = record("c", RecordedOutcome::Succeeded);
        for length in 1..torn.len() - 1 {
            std::fs::write(&path, format!("{whole}{}", &torn[..length])).expect("written");
            let (_, recorded) = ResultsFile::open(&path, true).expect("resumed");
            assert_eq!((recorded.succeeded, recorded.failed, recorded.torn_bytes), (1, 1, length as u64));
            assert!(recorded.jobs.contains("\"a\"") && recorded.jobs.contains("\"b\""));
            assert_eq!(std::fs::read_to_string(&path).expect("text"), whole);
        }
        assert!(ResultsFile::open(&path, false).is_err(), "it holds results");
        std::fs::write(&path, format!("{whole}nonsense\n")).expect("written");
        let error = ResultsFile::open(&path, true).expect_err("no result").to_string();
        assert_eq!(error, "its line 3 is not a result");
    }
}
