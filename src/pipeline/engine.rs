//! Puts the pipeline together, runs it, and stops it along the data's path.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    board::{Board, Scalings},
    collector::{self, Collected},
    config::Settings,
    ended::PipelineEnd,
    generator::{self, Controls, Rate},
    journal::Journal,
    lines::Lines,
    metrics::Metrics,
    producer::{self, Arrivals},
    queue::JobLedger,
    results::Results,
    scaling::{PolicyName, Reading},
    status::{Moment, Status},
    supervisor::Supervisor,
    work::{Exec, Work},
    worker::WorkerContext,
};
use crate::{shutdown::Shutdown, telemetry::Instruments, web::RunState};

/// Limit of ended jobs that wait for the collector.
const FINISHED_LIMIT_JOBS: usize = 100;
/// Time between two lines of progress while the backlog drains.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// What the process provides to the pipeline.
#[derive(Debug)]
pub struct Runtime {
    /// The factory of its instruments.
    pub instruments: Instruments,
    /// Where its log goes.
    pub journal: Journal,
    /// The seed of all draws.
    pub seed: u64,
}

/// Where jobs come from.
#[derive(Debug)]
pub enum Load {
    /// The producer, at the rate of the controls, until it is stopped.
    Producer,
    /// A trace: times since the start, in order, ...
    Trace {
        /// ... the arrivals' ...
        at: Arc<[Duration]>,
        /// ... and the end's.
        length: Duration,
    },
    /// Lines, each a job.
    Lines(Lines),
}

/// A pipeline. Cloning shares it; it runs at most once at a time, and its numbers go on from run to run.
#[derive(Debug, Clone)]
pub struct Pipeline {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    board: Board,
    controls: watch::Sender<Controls>,
    journal: Journal,
    instruments: Instruments,
    metrics: Arc<Metrics>,
    work: Arc<Work>,
    next_worker: AtomicU64,
}

impl Pipeline {
    /// A pipeline that does not run yet. Call it inside a Tokio runtime.
    pub fn new(settings: Settings, runtime: Runtime) -> Self {
        let work = Work::simulated(&settings, runtime.seed);
        Self::of(settings, runtime, work)
    }

    /// A pipeline whose jobs are commands.
    pub fn of_commands(settings: Settings, runtime: Runtime, exec: Exec) -> Self {
        let work = Work::command(&settings, exec, runtime.seed);
        Self::of(settings, runtime, work)
    }

    fn of(settings: Settings, runtime: Runtime, work: Work) -> Self {
        let board = Board::new(usize::try_from(settings.queue_capacity.get()).unwrap_or(usize::MAX));
        let metrics = Arc::new(Metrics::new(&runtime.instruments, &board, &settings));
        let controls = Controls { rate: Rate::Generator, policy: settings.policy };
        Self {
            shared: Arc::new(Shared {
                work: Arc::new(work),
                controls: watch::Sender::new(controls),
                journal: runtime.journal,
                instruments: runtime.instruments,
                next_worker: AtomicU64::new(1),
                settings,
                board,
                metrics,
            }),
        }
    }

    /// Changes the load and the policy, of the run in progress too; what is none stays.
    pub fn set(&self, rate: Option<Rate>, policy: Option<PolicyName>) {
        self.shared.controls.send_modify(|controls| {
            controls.rate = rate.unwrap_or(controls.rate);
            controls.policy = policy.unwrap_or(controls.policy);
        });
    }

    /// The factory of its instruments.
    pub(super) fn instruments(&self) -> &Instruments {
        &self.shared.instruments
    }

    /// The balance now.
    pub fn ledger(&self) -> JobLedger {
        self.shared.board.ledger()
    }

    /// What the supervisor sees.
    pub(super) fn reading(&self) -> Reading {
        self.shared.board.reading()
    }

    /// How often the number of workers was changed.
    pub(super) fn scalings(&self) -> Scalings {
        self.shared.board.scalings()
    }

    /// The current point of the history.
    pub(super) fn moment(&self) -> Moment {
        let Shared { board, controls, .. } = &*self.shared;
        let (ledger, workers) = (board.ledger(), board.workers().present);
        let policy = controls.borrow().policy;
        Moment { backlog: ledger.backlog, workers, busy: ledger.in_progress, policy }
    }

    /// What it runs with.
    pub(super) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// The log's last lines.
    pub(super) fn recent(&self) -> Vec<String> {
        self.shared.journal.recent()
    }

    /// The pipeline now; its state is what its owner says.
    pub(super) fn status(&self, state: RunState) -> Status {
        let Shared { settings, board, controls, .. } = &*self.shared;
        let Controls { rate, policy } = *controls.borrow();
        let workers = board.workers();
        let counts = board.counts();
        Status {
            state,
            policy,
            rate,
            workers: workers.wanted,
            workers_present: workers.present,
            min_workers: settings.min_workers.get(),
            max_workers: settings.max_workers.get(),
            queue_capacity: settings.queue_capacity.get(),
            ledger: board.ledger(),
            offered: counts.offered,
            held_back: counts.held_back,
            retries: counts.retried,
            worker_seconds: board.reading().paid.as_secs_f64(),
        }
    }

    /// Runs until `shutdown` begins or the load ends, then drains; `results` gets the results of jobs from lines.
    /// Dropping the future ends it and its commands at once.
    pub async fn run(&self, load: Load, results: Option<Results>, shutdown: &Shutdown) -> PipelineEnd {
        let Shared { settings, board, controls, journal, metrics, work, next_worker, .. } = &*self.shared;
        let begun = Instant::now();
        board.open();
        let intake_over = CancellationToken::new();
        let closing = CancellationToken::new();
        let (finished, ended) = mpsc::channel(FINISHED_LIMIT_JOBS);
        let context = WorkerContext {
            board: board.clone(),
            work: work.clone(),
            finished,
            journal: journal.clone(),
            metrics: metrics.clone(),
            max_retries: settings.max_retries.get(),
        };
        journal.line(format_args!("pipeline running — press Ctrl+C to start graceful drain"));
        let collector =
            spawn(collector::run(ended, results, board.clone(), journal.clone(), metrics.clone()));
        let supervisor = spawn(
            Supervisor {
                context,
                settings: settings.clone(),
                controls: controls.subscribe(),
                first_id: next_worker.load(Ordering::Relaxed),
                closing: closing.clone(),
            }
            .run(),
        );
        let mut producer = match load {
            Load::Producer => {
                let first = generator::first_interval(settings, controls.borrow().rate);
                let (interval, paced) = watch::channel(first);
                let arrivals = Arrivals::paced(paced);
                let config = (**settings).clone();
                let generator = generator::run(config, controls.subscribe(), interval, intake_over.clone());
                let producer = producer::run(board.clone(), arrivals, intake_over.clone());
                spawn(async move {
                    tokio::join!(biased; generator, producer);
                })
            }
            Load::Lines(lines) => spawn(producer::run_lines(board.clone(), lines.lines, intake_over.clone())),
            Load::Trace { at, length } => {
                let arrivals = Arrivals::trace(at, length);
                spawn(producer::run(board.clone(), arrivals, intake_over.clone()))
            }
        };
        tokio::select! {
            biased;
            () = shutdown.stopping().cancelled() => {
                journal.line(format_args!("signal received — stopping producer, beginning drain"));
                intake_over.cancel();
                let _ = (&mut producer).await;
            }
            why = board.halted() => {
                journal.line(format_args!("{why} — no more jobs are begun"));
                intake_over.cancel();
                let _ = (&mut producer).await;
            }
            _ = &mut producer => journal.line(format_args!("no more jobs — beginning drain")),
        }
        if !drain(board, journal, shutdown).await {
            return PipelineEnd::of(board, begun.elapsed(), Collected::default());
        }
        board.close();
        journal.line(format_args!("jobs channel closed — stopping workers and supervisor"));
        closing.cancel();
        if let Ok(next) = supervisor.await {
            next_worker.store(next, Ordering::Relaxed);
        }
        let collected = collector.await.unwrap_or_default();
        journal.line(format_args!("graceful exit complete"));
        PipelineEnd::of(board, begun.elapsed(), collected)
    }
}

/// Waits until the backlog is zero, or until no job is in progress and none will be started, and logs progress;
/// `false` when the stop's deadline or a second signal came first.
async fn drain(board: &Board, journal: &Journal, shutdown: &Shutdown) -> bool {
    let mut next = Instant::now() + PROGRESS_INTERVAL;
    loop {
        tokio::select! {
            biased;
            () = board.empty() => {
                journal.line(format_args!("draining backlog={}", board.ledger().backlog));
                return true;
            }
            () = shutdown.drain_over() => return false,
            () = tokio::time::sleep_until(next) => {
                next += PROGRESS_INTERVAL;
                journal.line(format_args!("draining backlog={}", board.ledger().backlog));
            }
        }
    }
}

fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> AbortOnDropHandle<T> {
    AbortOnDropHandle::new(tokio::spawn(task))
}
