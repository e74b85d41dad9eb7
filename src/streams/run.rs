//! One run: from its first chunk to the end of its drain.
//!
//! ```text
//!   generators ┐ join, offer                 next, settle ┌ worker 0
//!   TCP peers  ┼────────────> Buffer ───────────────────> ┼ ...       ──> sink
//!   HTTP posts ┘              (policy, ledger)            └ worker n-1
//! ```
//!
//! It ends along the data's path: sources stop and have ended, the buffer closes, workers empty it and
//! end, the sink finishes. If the drain is cut short, the remaining chunks are counted as abandoned.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    buffer::Buffer,
    change::{Resize, ResizeError},
    chunk::{Label, Stream},
    config::Config,
    gateway::{Gateway, Intake},
    ledger::ChunkLedger,
    metrics::{Gauges, StreamMetrics},
    over_time::OverTime,
    sink::{Delivery, Sink},
    source::Generator,
    stats::{Recorder, Statistics},
    worker::{Observer, WorkerContext},
};
use crate::shutdown::Shutdown;

/// What a run is made of.
pub(super) struct Parts {
    pub(super) seed: u64,
    pub(super) metrics: Arc<StreamMetrics>,
    pub(super) observer: Option<Observer>,
    /// Its stop: intake ends once it begins.
    pub(super) stop: Shutdown,
}

pub(super) struct Run {
    config: Config,
    begun: Instant,
    /// When it ended, once it has.
    ended: watch::Sender<Option<Instant>>,
    buffer: Arc<Buffer>,
    recorder: Arc<Recorder>,
    sink: Arc<Sink>,
    context: Arc<WorkerContext>,
    generator: Arc<Generator>,
    /// The wanted number of generated streams; those above it end.
    wanted: watch::Sender<usize>,
    /// The number that was set last: a drain wants none.
    streams: AtomicUsize,
    stop: Shutdown,
    /// Cancelled when the drain is cut short.
    cut: CancellationToken,
    /// Tracks every source that may still offer a chunk.
    sources: TaskTracker,
    pub(super) gateway: Gateway,
    /// The workers and the generated streams by number; changed by one caller at a time.
    tasks: Mutex<RunTasks>,
}

#[derive(Debug, Default)]
struct RunTasks {
    workers: Vec<JoinHandle<()>>,
    streams: Vec<JoinHandle<()>>,
}

impl Run {
    /// Opens the sink and the gateway; nothing runs before [`set_going`](Self::set_going).
    pub(super) async fn open(config: Config, parts: Parts) -> anyhow::Result<Arc<Self>> {
        let delivery = Delivery {
            seed: parts.seed,
            timeout: Duration::from_millis(config.sink_timeout_ms),
            retries: config.sink_retries,
            framing: config.framing,
            retried: parts.metrics.retried.clone(),
        };
        let sink = Sink::open(&config.sink, delivery).await?;
        Self::with_sink(config, sink, parts)
    }

    /// The same with a sink that is open already.
    pub(super) fn with_sink(config: Config, sink: Sink, parts: Parts) -> anyhow::Result<Arc<Self>> {
        let Parts { seed, metrics, observer, stop } = parts;
        let slo = Duration::from_millis(config.slo_ms);
        let recorder = Arc::new(Recorder::new(config.noisy_factor > 1, slo));
        let on_evicted = {
            let metrics = metrics.clone();
            Box::new(move |wait| metrics.evicted.record(wait))
        };
        let buffer = Arc::new(Buffer::new(config.buffer_size, config.overload, config.workers, on_evicted));
        let sink = Arc::new(sink);
        let context = Arc::new(WorkerContext {
            buffer: buffer.clone(),
            sink: sink.clone(),
            recorder: recorder.clone(),
            metrics: metrics.clone(),
            observer,
            given_up: AtomicU64::new(0),
        });
        let generator = Arc::new(Generator {
            buffer: buffer.clone(),
            recorder: recorder.clone(),
            seed,
            interval_ms: config.interval_ms,
            chunk_size_bytes: config.chunk_size_bytes,
            noisy_factor: config.noisy_factor,
        });
        let cut = CancellationToken::new();
        let sources = TaskTracker::new();
        let intake = Intake {
            buffer: buffer.clone(),
            recorder: recorder.clone(),
            metrics,
            framing: config.framing,
            frame_limit_bytes: config.frame_limit_bytes,
            long_lines: config.long_lines,
            idle: Duration::from_millis(config.peer_idle_ms),
            stopping: stop.stopping().clone(),
            cut: cut.clone(),
        };
        let gateway = Gateway::open(config.listen, config.peers_limit, intake, sources.clone())
            .context("opening the gateway")?;
        Ok(Arc::new(Self {
            begun: Instant::now(),
            ended: watch::Sender::new(None),
            buffer,
            recorder,
            sink,
            context,
            generator,
            wanted: watch::Sender::new(config.streams),
            streams: AtomicUsize::new(config.streams),
            stop,
            cut,
            sources,
            gateway,
            tasks: Mutex::default(),
            config,
        }))
    }

    /// Starts the workers, then the streams.
    pub(super) async fn set_going(&self) {
        let mut tasks = self.tasks.lock().await;
        self.start_workers(&mut tasks, self.config.workers);
        self.generate(&mut tasks, self.config.streams);
    }

    fn start_workers(&self, tasks: &mut RunTasks, workers: usize) {
        for worker in tasks.workers.len()..workers {
            let context = self.context.clone();
            tasks.workers.push(tokio::spawn(async move { context.work(worker).await }));
        }
    }

    fn generate(&self, tasks: &mut RunTasks, streams: usize) {
        for number in tasks.streams.len()..streams {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let Some(place) = self.buffer.join() else {
                break;
            };
            let stream = Arc::new(Stream { id: number, label: Label::Number(number), place });
            let (generator, wanted) = (self.generator.clone(), self.wanted.subscribe());
            let task = async move { generator.emit(number, stream, wanted).await };
            tasks.streams.push(self.sources.spawn(task));
        }
    }

    /// Changes the size of the pool and the number of generated streams. Returns when workers and
    /// streams above the new size have finished their chunk; no chunk is lost. Not cancel
    /// safe: run it to its end.
    pub(super) async fn resize(&self, resize: Resize) -> Result<(), ResizeError> {
        let unbounded = self.config.unbounded;
        let workers = resize.workers_count.map(|count| count.within(unbounded)).transpose();
        let streams = resize.streams_count.map(|count| count.within(unbounded)).transpose();
        let (workers, streams) =
            (workers.map_err(ResizeError::Misfit)?, streams.map_err(ResizeError::Misfit)?);
        // Checked before and after the lock, which a drain may hold: there is no need to wait for a drain.
        if self.stop.is_stopping() {
            return Err(ResizeError::NotRunning);
        }
        let mut tasks = self.tasks.lock().await;
        if self.stop.is_stopping() {
            return Err(ResizeError::NotRunning);
        }
        if let Some(streams) = streams {
            let more = streams.saturating_sub(tasks.streams.len());
            if !self.buffer.has_room_for_streams(more) {
                return Err(ResizeError::NoSlots { capacity: self.config.buffer_size });
            }
            // Under the channel's lock, so that a stop that comes meanwhile is not undone.
            self.wanted.send_if_modified(|wanted| {
                let going = !self.stop.is_stopping();
                if going {
                    *wanted = streams;
                    self.streams.store(streams, Relaxed);
                    self.buffer.set_streams(streams);
                }
                going
            });
            let fewer = streams.min(tasks.streams.len());
            self.end_tasks(tasks.streams.split_off(fewer)).await;
            self.generate(&mut tasks, streams);
        }
        if let Some(workers) = workers {
            self.buffer.set_workers(workers);
            let fewer = workers.min(tasks.workers.len());
            self.end_tasks(tasks.workers.split_off(fewer)).await;
            self.start_workers(&mut tasks, workers);
        }
        Ok(())
    }

    /// Waits for the stop, drains, and cuts the drain short when the stop is cut short.
    pub(super) async fn drain_when_stopped(&self) {
        self.stop.stopping().cancelled().await;
        let whole = tokio::select! {
            biased;
            () = self.drain() => true,
            () = self.stop.drain_over() => false,
        };
        if !whole {
            self.cut().await;
        }
        self.context.metrics.publish();
        self.ended.send_replace(Some(Instant::now()));
    }

    /// Stops the sources, lets the workers empty the buffer, and ends. Cancel safe: what is left can
    /// be [cut](Self::cut).
    async fn drain(&self) {
        self.wanted.send_modify(|wanted| {
            *wanted = 0;
            self.buffer.set_streams(0);
        });
        self.sources.close();
        self.sources.wait().await;
        self.buffer.close();
        let mut tasks = self.tasks.lock().await;
        while let Some(worker) = tasks.workers.last_mut() {
            // A worker that was aborted or that panicked has ended as well.
            let _ = worker.await;
            tasks.workers.pop();
        }
        tasks.streams.clear();
        drop(tasks);
        if let Err(error) = self.sink.finish().await {
            tracing::error!(error = format!("{error:#}"), "the sink did not finish");
        }
        // A worker that panicked has left its chunk behind.
        self.buffer.abandon();
    }

    /// Ends at once: chunks that are queued or in progress are abandoned.
    async fn cut(&self) {
        self.cut.cancel();
        // Sources that wait for room get none.
        self.buffer.close();
        let tasks = std::mem::take(&mut *self.tasks.lock().await);
        self.end_tasks(tasks.streams).await;
        self.end_tasks(tasks.workers).await;
        self.sources.close();
        self.sources.wait().await;
        self.buffer.abandon();
    }

    /// Waits until these tasks have ended; aborts them once the drain is cut short.
    async fn end_tasks(&self, tasks: Vec<JoinHandle<()>>) {
        for mut task in tasks {
            tokio::select! {
                biased;
                () = self.cut.cancelled() => {
                    task.abort();
                    let _ = task.await;
                }
                _ = &mut task => {}
            }
        }
    }

    pub(super) fn ledger(&self) -> ChunkLedger {
        self.buffer.ledger()
    }

    pub(super) fn statistics(&self) -> Statistics {
        let now = self.ended.borrow().unwrap_or_else(Instant::now);
        let slo = Duration::from_millis(self.config.slo_ms);
        self.recorder.look(self.buffer.ledger(), now.saturating_duration_since(self.begun), slo)
    }

    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    /// The same with the sizes that were set last.
    pub(super) fn settings(&self) -> Config {
        let (workers, streams) = (self.buffer.workers(), self.streams.load(Relaxed));
        Config { workers, streams, ..self.config.clone() }
    }

    /// Latency over time until now.
    pub(super) fn over_time(&self) -> OverTime {
        self.recorder.over_time()
    }

    pub(super) fn gauges(&self) -> Gauges {
        Gauges {
            ledger: self.buffer.ledger(),
            capacity: self.config.buffer_size,
            workers: if self.ended.borrow().is_some() { 0 } else { self.buffer.workers() },
            streams: *self.wanted.borrow(),
            peers: self.gateway.peers(),
            running: !self.stop.is_stopping(),
        }
    }
}
