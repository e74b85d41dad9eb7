//! A worker: takes a job, works, says what came of it, until it is told to go or nothing can come any more.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    board::Board,
    job::{Finished, Job},
    journal::Journal,
    metrics::Metrics,
    work::{Attempt, Work},
};

/// What all workers share.
#[derive(Debug, Clone)]
pub(super) struct Crew {
    /// Where jobs come from.
    pub(super) board: Board,
    /// What a job is.
    pub(super) work: Arc<Work>,
    /// Where ended jobs go.
    pub(super) finished: mpsc::Sender<Finished>,
    /// Where log lines go.
    pub(super) journal: Journal,
    /// Instruments.
    pub(super) metrics: Arc<Metrics>,
    /// How often a failed job is tried again.
    pub(super) max_retries: u32,
}

/// Works until `retiring` or the end of the queue; a job that has begun is finished first. `busy` says
/// whether one has.
pub(super) async fn run(crew: Crew, id: u64, mut retiring: watch::Receiver<bool>, busy: Arc<AtomicBool>) {
    let present = crew.board.worker();
    loop {
        let job = tokio::select! {
            biased;
            _ = retiring.wait_for(|retiring| *retiring) => break,
            job = crew.board.take() => job,
        };
        let Some(job) = job else {
            break;
        };
        busy.store(true, Ordering::Release);
        crew.step(id, job).await;
        busy.store(false, Ordering::Release);
    }
    drop(present);
}

impl Crew {
    /// One attempt at one job.
    async fn step(&self, worker: u64, job: Job) {
        let begun = Instant::now();
        self.metrics.queue_wait(job.failed_attempts > 0, begun.saturating_duration_since(job.ready_at));
        let Attempt { outcome, output } = self.work.attempt(&job).await;
        let took = begun.elapsed();
        self.board.attempted(took);
        self.metrics.attempt(outcome.is_ok(), took);
        match outcome {
            Err(error) if error.may_pass() && job.failed_attempts < self.max_retries => {
                let (number, failed) = (job.id, job.failed_attempts + 1);
                self.journal.line(format_args!(
                    "[worker {worker:02}] job {number} failed, retrying ({failed}/{})",
                    self.max_retries
                ));
                self.metrics.retries.add(1);
                let wait = self.work.backoff(&job);
                self.board.retry(job, wait);
            }
            outcome => {
                if outcome.is_err() {
                    self.journal.line(format_args!("[worker {worker:02}] job {} permanently failed", job.id));
                }
                let succeeded = outcome.is_ok();
                let finished = Finished { job, worker, at: Instant::now(), outcome, output };
                // Closed only when nobody listens any more, at an end without waiting.
                let _ = self.finished.send(finished).await;
                self.board.end(succeeded);
            }
        }
    }
}
