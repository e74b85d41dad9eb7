//! A worker: takes a job, works on it, reports the result, until it is retired or the queue has ended.
//!
//! ```text
//!   board ── job ──> step: one attempt ──> again ──> board, after a wait
//!                                     ├──> ended ──> collector, and the board counts it
//!                                     └──> hopeless ──> board, which hands out no more
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
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
    work::Work,
};

/// What all workers share.
#[derive(Debug, Clone)]
pub(super) struct WorkerContext {
    /// Where jobs come from.
    pub(super) board: Board,
    /// How a job is worked on.
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

/// Works until `retiring` or the end of the queue; a job that was started is finished first. `busy` says
/// whether there is one.
pub(super) async fn run(
    context: WorkerContext,
    id: u64,
    mut retiring: watch::Receiver<bool>,
    busy: Arc<AtomicBool>,
) {
    let present = context.board.worker();
    loop {
        let job = tokio::select! {
            biased;
            _ = retiring.wait_for(|retiring| *retiring) => break,
            job = context.board.take() => job,
        };
        let Some(job) = job else {
            break;
        };
        busy.store(true, Ordering::Release);
        match context.step(id, job).await {
            Step::Again { job, after } => context.board.retry(job, after),
            Step::PipelineEnd(finished) => {
                let succeeded = finished.last.outcome.is_ok();
                if !succeeded && context.work.stops_on_failure() {
                    context
                        .board
                        .halt(format!("job {} failed for good (--stop-on-failure)", finished.job.name()));
                }
                // Closed only when the collector is gone, at an end without a drain.
                let _ = context.finished.send(finished).await;
                context.board.end(succeeded);
            }
            Step::Hopeless { job, why } => {
                context.board.put_back(job);
                context.board.halt(why);
            }
        }
        busy.store(false, Ordering::Release);
    }
    drop(present);
}

/// The result of a step.
#[derive(Debug)]
enum Step {
    /// The attempt failed; the job will be tried again.
    Again {
        /// The job as it was taken.
        job: Job,
        /// How long it waits before that.
        after: Duration,
    },
    /// The job ended: it succeeded, or failed for good.
    PipelineEnd(Finished),
    /// No job can be run, including this one.
    Hopeless {
        /// The job as it was taken.
        job: Job,
        /// Why.
        why: String,
    },
}

impl WorkerContext {
    /// Makes one attempt at one job, measures and logs it. The loop moves the job.
    async fn step(&self, worker: u64, job: Job) -> Step {
        let begun = Instant::now();
        self.metrics.queue_wait(job.failed_attempts > 0, begun.saturating_duration_since(job.ready_at));
        let last = self.work.attempt(worker, &job).await;
        let Job { id, failed_attempts, .. } = job;
        if let Err(error) = &last.outcome
            && error.is_hopeless()
        {
            return Step::Hopeless { why: error.to_string(), job };
        }
        self.board.attempted(last.took);
        self.metrics.attempt(last.outcome.is_ok(), last.took);
        match &last.outcome {
            Err(error) if error.may_pass() && failed_attempts < self.max_retries => {
                let (retry, most) = (failed_attempts + 1, self.max_retries);
                self.journal
                    .line(format_args!("[worker {worker:02}] job {id} failed, retrying ({retry}/{most})"));
                self.metrics.retries.add(1);
                return Step::Again { after: self.work.backoff(&job), job };
            }
            Err(_) => self.journal.line(format_args!("[worker {worker:02}] job {id} permanently failed")),
            Ok(()) => {}
        }
        Step::PipelineEnd(Finished { job, worker, at: Instant::now(), last })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        pipeline::{config::Config, config::Settings, job::JobError},
        telemetry::Instruments,
    };

    /// The context of workers under `settings`; the receiver gets ended jobs.
    pub(crate) fn context(settings: &Settings) -> (WorkerContext, mpsc::Receiver<Finished>) {
        let board = Board::new(10);
        let (finished, ended) = mpsc::channel(10);
        let context = WorkerContext {
            work: Arc::new(Work::simulated(settings, 1)),
            finished,
            journal: Journal::silent(),
            metrics: Arc::new(Metrics::new(&Instruments::silent(), &board, settings)),
            max_retries: settings.max_retries.get(),
            board,
        };
        (context, ended)
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_returns_whether_a_job_is_retried_or_has_ended() {
        let config = Config { max_retries: "1".parse().expect("a number"), ..Config::embedded() };
        let failing = Config { failure_rate: "1".parse().expect("a rate"), ..config.clone() };
        let working = Config { failure_rate: "0".parse().expect("a rate"), ..config };
        for (config, ends) in [(working, Ok(())), (failing, Err(JobError::Simulated))] {
            let (context, _ended) = context(&config.settings().expect("good settings"));
            context.board.push(Instant::now(), None);
            let mut job = context.board.take().await.expect("it is there");
            if ends.is_err() {
                let Step::Again { job: taken, after } = context.step(7, job).await else {
                    panic!("one retry is left");
                };
                assert!(after > Duration::ZERO);
                context.board.retry(taken, after);
                job = context.board.take().await.expect("its rest is over");
            }
            let Step::PipelineEnd(finished) = context.step(7, job).await else {
                panic!("no retry is left");
            };
            assert_eq!((finished.job.id, finished.worker, finished.last.outcome), (1, 7, ends));
            let ledger = context.board.ledger();
            assert_eq!(
                (ledger.created, ledger.in_progress),
                (1, 1),
                "the step itself ends nothing: {ledger:?}"
            );
        }
    }
}
