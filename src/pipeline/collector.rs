//! The collector: records, logs and counts every job that has ended.

use std::{io, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{
    board::Board,
    job::{Attempt, Finished},
    journal::Journal,
    metrics::Metrics,
    results::{NotKept, Record, RecordedOutcome, Results},
};
use crate::{
    exec::Captured,
    latency::{Histogram, milliseconds},
};

/// Limit of jobs that are recorded with one sync of the disk.
const BATCH_LIMIT_JOBS: usize = 64;

/// The collector's counts.
#[derive(Debug, Default)]
pub struct Collected {
    /// From intended arrival to end, of all jobs; those that failed for good count with their time.
    pub sojourn: Histogram,
    /// When the last job ended, since the collector began.
    pub last: Duration,
    /// Jobs whose result could not be written.
    pub unrecorded: u64,
}

/// Collects until all workers have ended. When results can no longer be written, no more jobs are started.
pub(super) async fn run(
    mut finished: mpsc::Receiver<Finished>,
    mut results: Option<Results>,
    board: Board,
    journal: Journal,
    metrics: Arc<Metrics>,
) -> Collected {
    let begun = tokio::time::Instant::now();
    let mut collected = Collected::default();
    let mut batch = Vec::with_capacity(BATCH_LIMIT_JOBS);
    let keeps = results.is_some();
    while finished.recv_many(&mut batch, BATCH_LIMIT_JOBS).await > 0 {
        let mut kept_lines = 0;
        if let Some(open) = results.take() {
            match append(open, batch.iter().flat_map(line).collect()).await {
                Ok(open) => results = Some(open),
                // Only a pipe has a reader, and no file of results is one.
                Err(NotKept { error, .. }) if error.kind() == io::ErrorKind::BrokenPipe => {
                    board.halt("the reader of standard output has gone".to_owned());
                }
                Err(not_kept) => {
                    kept_lines = not_kept.kept_lines;
                    board.halt(format!("results cannot be kept: {}", not_kept.error));
                }
            }
        }
        if keeps && results.is_none() {
            collected.unrecorded += (batch.len() as u64).saturating_sub(kept_lines);
        }
        for Finished { job, worker, at, last } in batch.drain(..) {
            let sojourn = at.saturating_duration_since(job.offered_at);
            collected.sojourn.record(sojourn);
            collected.last = at.saturating_duration_since(begun);
            metrics.ended(last.outcome.is_ok(), sojourn);
            match last.outcome {
                Ok(()) => journal.line(format_args!("✓ job {} handled by worker {worker:02}", job.id)),
                Err(error) => {
                    let id = job.id;
                    journal.line(format_args!("✗ job {id} handled by worker {worker:02}, ERROR: {error}"));
                }
            }
        }
    }
    collected
}

/// Appends to the results, away from the runtime's threads.
async fn append(mut results: Results, lines: Vec<u8>) -> Result<Results, NotKept> {
    let appended = tokio::task::spawn_blocking(move || results.append(&lines).map(|()| results)).await;
    appended.unwrap_or_else(|error| Err(NotKept { kept_lines: 0, error: error.into() }))
}

/// A result as a line of JSON; nothing for a job that was not read from a line.
fn line(finished: &Finished) -> Vec<u8> {
    let Some(line) = &finished.job.line else {
        return Vec::new();
    };
    let Attempt { outcome, took, started_at, output } = &finished.last;
    let output = output.clone().unwrap_or_default();
    let text = Captured::text;
    let record = Record {
        job: line.job.clone(),
        line: line.number,
        outcome: match outcome {
            Ok(()) => RecordedOutcome::Succeeded,
            Err(_) => RecordedOutcome::Failed,
        },
        attempts: finished.job.failed_attempts + 1,
        error: outcome.as_ref().err().map(ToString::to_string),
        exit_code: output.exit_code,
        started_at: *started_at,
        run_ms: started_at.map(|_| milliseconds(*took)),
        sojourn_ms: milliseconds(finished.at.saturating_duration_since(finished.job.offered_at)),
        stdout: text(&output.stdout),
        stdout_bytes: output.stdout.bytes,
        stderr: text(&output.stderr),
        stderr_bytes: output.stderr.bytes,
    };
    let mut bytes = serde_json::to_vec(&record).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
