//! The queue in a server: opened, tended, and worked on if its store is this process's own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::refusal::refused;
use crate::{
    config::counted,
    queue::{Config, Place, Queue, StoreArgs, Tally, Worker, WorkerArgs, system, tend},
    shutdown::Shutdown,
    telemetry::{Instruments, Telemetry},
    web::{Check, Listener, System},
};

/// How long a file may take to be closed.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// How long to wait before a worker whose store refused what it does is started again.
const AGAIN: Duration = Duration::from_secs(1);
/// The server is not ready while the worker failed this lately.
const UNREADY: Duration = Duration::from_secs(5);

/// When the worker in this process failed last, and why.
#[derive(Clone, Default)]
struct Failed(Arc<Mutex<Option<(Instant, String)>>>);

impl Failed {
    /// Whether the worker works.
    fn check(&self) -> Check {
        let failed = self.clone();
        Check::new("queue worker", move || {
            let last = failed.0.lock().clone();
            std::future::ready(match last {
                Some((at, why)) if at.elapsed() < UNREADY => Err(why),
                _ => Ok(()),
            })
        })
    }
}

/// Works until `stop` begins. A worker whose store refuses what it does is started again. `None` if it was not working
/// at the end.
async fn keep_working(worker: &Worker, stop: &Shutdown, failed: &Failed) -> Option<Tally> {
    loop {
        match worker.run(stop).await {
            Ok(tally) => return Some(tally),
            Err(error) => {
                tracing::error!(%error, "the queue's worker ended: another is started in a second");
                *failed.0.lock() = Some((Instant::now(), error.to_string()));
            }
        }
        tokio::select! {
            biased;
            () = stop.stopping().cancelled() => return None,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

/// What it is opened with.
#[derive(Debug, Clone)]
pub(in crate::app) struct Settings {
    pub(in crate::app) store: StoreArgs,
    pub(in crate::app) queue: Config,
    /// The worker in this process, if there is one.
    pub(in crate::app) worker: Option<WorkerArgs>,
}

/// The queue in this process.
pub(in crate::app) struct Embedded {
    queue: Queue,
    place: Place,
    instruments: Instruments,
    shutdown: Shutdown,
    /// The worker, until it is started.
    worker: Mutex<Option<Worker>>,
    running: Arc<Mutex<Option<JoinHandle<()>>>>,
    /// Tasks that the worker handed back at the end of its drain.
    handed_back: Arc<AtomicU64>,
    tending: CancellationToken,
}

impl Embedded {
    /// Opens it; `None` if `shutdown` begins before the store answers. A store that is away is waited for: then the
    /// address of `listener` is announced first.
    pub(in crate::app) async fn open(
        settings: &Settings,
        place: Place,
        listener: &Listener,
        telemetry: &Telemetry,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Option<Self>> {
        let Settings { store, queue, worker } = settings;
        let lease_ms = worker.as_ref().map_or(0, WorkerArgs::lease_ms);
        let opened = store.open(lease_ms, || listener.announce(), shutdown).await;
        let Some(broker) = opened.map_err(refused)? else { return Ok(None) };
        let instruments = telemetry.instruments();
        let worker = match worker {
            Some(worker) => Some(worker.worker(broker.clone(), &instruments, telemetry.tracing())?),
            None => None,
        };
        Ok(Some(Self {
            queue: Queue::new(broker, queue.clone(), &instruments),
            place,
            instruments,
            shutdown: shutdown.clone(),
            worker: Mutex::new(worker),
            running: Arc::default(),
            handed_back: Arc::default(),
            tending: CancellationToken::new(),
        }))
    }

    /// The system of it. Its worker starts with the server; a drain of the server waits for it.
    pub(in crate::app) fn system(&self) -> System {
        let system = system(&self.queue, self.place, &self.instruments, &self.shutdown);
        let (queue, tending, shutdown) = (self.queue.clone(), self.tending.clone(), self.shutdown.clone());
        let (worker, running) = (self.worker.lock().take(), self.running.clone());
        let seen = self.queue.clone();
        let left = self.running.clone();
        let (handed_back, returned) = (self.handed_back.clone(), self.handed_back.clone());
        let failed = Failed::default();
        system
            .check(failed.check())
            .on_start(move || async move {
                queue.look().await;
                // Not on the tracker: time goes on for the worker's lease until the worker has ended.
                tokio::spawn(async move { tend(&queue, &tending).await });
                if let Some(worker) = worker {
                    let stop = shutdown.clone();
                    let work = async move {
                        if let Some(tally) = keep_working(&worker, &stop, &failed).await {
                            handed_back.store(tally.handed_back, Relaxed);
                        }
                    };
                    // On the tracker, so that the drain waits for it.
                    *running.lock() = Some(shutdown.tracker().spawn(work));
                }
                Ok(())
            })
            .stragglers(move || {
                let works = left.lock().as_ref().is_some_and(|work| !work.is_finished());
                let in_flight = seen.seen().last.map_or(0, |(_, stats)| stats.counts.in_flight);
                let tasks = returned.load(Relaxed) + if works { in_flight } else { 0 };
                match tasks {
                    0 => Vec::new(),
                    tasks => {
                        vec![format!("{} of the queue, to be started again", counted(tasks, "task", "tasks"))]
                    }
                }
            })
    }

    /// Ends what tends it, and closes a file.
    pub(in crate::app) async fn close(&self) {
        self.tending.cancel();
        let _ = tokio::time::timeout(CLOSE_LIMIT, self.queue.broker().close()).await;
    }
}
