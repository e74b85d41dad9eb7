//! The end of the line: every job that ended is recorded, logged and counted here.

use std::{io, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{
    job::Finished,
    journal::Journal,
    metrics::Metrics,
    results::{Record, RecordedOutcome, ResultsFile},
};
use crate::{exec::Captured, latency::Histogram, shutdown::Shutdown};

/// Jobs that are recorded with one wait for the disk.
const BATCH_LIMIT_JOBS: usize = 64;

/// What the collector saw.
#[derive(Debug, Default)]
pub struct Collected {
    /// From intended arrival to end, of all jobs; those that failed for good count with their time.
    pub sojourn: Histogram,
    /// When the last job ended, since the collector began.
    pub last: Duration,
    /// Jobs whose result could not be kept.
    pub unrecorded: u64,
}

/// Collects until all workers have ended. When results cannot be kept any more, it begins the stop, since
/// more of them would be lost.
pub(super) async fn run(
    mut finished: mpsc::Receiver<Finished>,
    mut results: Option<ResultsFile>,
    journal: Journal,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
) -> Collected {
    let begun = tokio::time::Instant::now();
    let mut collected = Collected::default();
    let mut batch = Vec::with_capacity(BATCH_LIMIT_JOBS);
    let keeps = results.is_some();
    while finished.recv_many(&mut batch, BATCH_LIMIT_JOBS).await > 0 {
        if keeps {
            let lines = batch.iter().flat_map(line).collect();
            results = append(results, lines).await;
            if results.is_none() {
                collected.unrecorded += batch.len() as u64;
                shutdown.trigger();
            }
        }
        for Finished { job, worker, at, outcome, .. } in batch.drain(..) {
            let sojourn = at.saturating_duration_since(job.offered_at);
            collected.sojourn.record(sojourn);
            collected.last = at.saturating_duration_since(begun);
            metrics.ended(outcome.is_ok(), sojourn);
            match outcome {
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

/// Appends to the results, away from the runtime's threads; without a file any more where that failed.
async fn append(results: Option<ResultsFile>, lines: Vec<u8>) -> Option<ResultsFile> {
    let mut results = results?;
    let written = tokio::task::spawn_blocking(move || results.append(&lines).map(|()| results)).await;
    match written.map_err(io::Error::from).flatten() {
        Ok(results) => Some(results),
        Err(error) => {
            tracing::error!(%error, "results cannot be kept any more");
            None
        }
    }
}

/// A result as a line of JSON; nothing for a job that was not read from a line.
fn line(finished: &Finished) -> Vec<u8> {
    let Some(line) = &finished.job.line else {
        return Vec::new();
    };
    let output = finished.output.clone().unwrap_or_default();
    let text = Captured::text;
    let record = Record {
        job: line.job.clone(),
        line: line.number,
        outcome: match finished.outcome {
            Ok(()) => RecordedOutcome::Succeeded,
            Err(_) => RecordedOutcome::Failed,
        },
        attempts: finished.job.failed_attempts + 1,
        error: finished.outcome.as_ref().err().map(ToString::to_string),
        exit_code: output.exit_code,
        sojourn_ms: finished.at.saturating_duration_since(finished.job.offered_at).as_secs_f64() * 1e3,
        stdout: text(&output.stdout),
        stdout_bytes: output.stdout.bytes,
        stderr: text(&output.stderr),
        stderr_bytes: output.stderr.bytes,
    };
    let mut bytes = serde_json::to_vec(&record).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
