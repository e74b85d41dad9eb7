//! The end of the line: every job that ended is logged and counted here.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{job::Finished, journal::Journal, metrics::Metrics};
use crate::latency::Histogram;

/// What the collector saw.
#[derive(Debug, Clone, Default)]
pub struct Collected {
    /// From intended arrival to end, of all jobs; those that failed for good count with their time.
    pub sojourn: Histogram,
    /// When the last job ended, since the collector began.
    pub last: Duration,
}

/// Collects until all workers have ended.
pub(super) async fn run(
    mut finished: mpsc::Receiver<Finished>,
    journal: Journal,
    metrics: std::sync::Arc<Metrics>,
) -> Collected {
    let begun = tokio::time::Instant::now();
    let mut collected = Collected::default();
    while let Some(Finished { job, worker, at, outcome }) = finished.recv().await {
        let sojourn = at.saturating_duration_since(job.offered_at);
        collected.sojourn.record(sojourn);
        collected.last = at.saturating_duration_since(begun);
        metrics.ended(outcome.is_ok(), sojourn);
        match outcome {
            Ok(()) => journal.line(format_args!("✓ job {} handled by worker {worker:02}", job.id)),
            Err(error) => {
                journal.line(format_args!("✗ job {} handled by worker {worker:02}, ERROR: {error}", job.id));
            }
        }
    }
    collected
}
