//! The orchestrator's handle: starts, resizes, drains and shows one run at a time.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;

use super::{
    change::{CannotStart, Overrides, Resize, ResizeError},
    config::Config,
    ledger::ChunkLedger,
    metrics::{self, Gauges, StreamMetrics},
    run::{Parts, Run},
    stats::Statistics,
    status::Status,
    worker::Observer,
};
use crate::{
    shutdown::Shutdown,
    telemetry::Instruments,
    web::{History, Lifecycle, RunState, StartError, timeline::Timeline},
};

/// What the process provides to the orchestrator.
#[derive(Clone)]
pub struct Runtime {
    /// The factory of its instruments.
    pub instruments: Instruments,
    /// The process's stop: intake ends when it begins, and its tracker waits for the drain.
    pub shutdown: Shutdown,
    /// The seed of all draws.
    pub seed: u64,
    /// Called for every processed chunk.
    pub observer: Option<Observer>,
}

/// The orchestrator. Cloning shares it.
#[derive(Clone)]
pub struct Streams {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    runtime: Runtime,
    metrics: Arc<StreamMetrics>,
    lifecycle: Lifecycle,
    history: History<ChunkLedger>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The run in progress, or the last one.
    run: Option<Arc<Run>>,
    /// The sum of earlier runs.
    ended: ChunkLedger,
}

impl Streams {
    /// An orchestrator at rest; its series exist from now on.
    pub fn new(config: Config, runtime: Runtime) -> Self {
        let metrics = Arc::new(StreamMetrics::new(&runtime.instruments, config.slo_ms));
        let shared = Arc::new(Shared {
            config,
            metrics,
            lifecycle: Lifecycle::new("streams", runtime.shutdown.clone()),
            history: History::default(),
            state: Mutex::default(),
            runtime,
        });
        let weak = Arc::downgrade(&shared);
        metrics::observe(&shared.runtime.instruments, move || {
            let shared = weak.upgrade()?;
            let now = shared.gauges();
            // After the ledger was read, before the SDK reads the histograms: they hold whatever the ledger does.
            shared.metrics.publish();
            Some(now)
        });
        Self { shared }
    }

    /// Starts a run. It ends by [`stop`](Self::stop), or when the process's stop begins.
    ///
    /// # Errors
    /// [`StartError`] when a run is in progress, the process stops, or the sink or the gateway cannot be opened.
    pub async fn start(&self) -> Result<(), StartError<CannotStart>> {
        self.start_with(&Overrides::default(), || {}).await
    }

    /// The same with some settings changed for this run; calls `begun` when everything is open and before a chunk is
    /// emitted.
    ///
    /// # Errors
    /// As [`start`](Self::start), and when a value is out of its range; `begun` is not called then.
    pub async fn start_with(
        &self,
        overrides: &Overrides,
        begun: impl FnOnce(),
    ) -> Result<(), StartError<CannotStart>> {
        let Shared { config, runtime, metrics, lifecycle, .. } = &*self.shared;
        let config =
            config.with(overrides).map_err(|misfit| StartError::Failed(CannotStart::Misfit(misfit)))?;
        let open = |stop| async move {
            let parts = Parts {
                seed: runtime.seed,
                metrics: metrics.clone(),
                observer: runtime.observer.clone(),
                stop,
            };
            let run = Run::open(config, parts).await.map_err(CannotStart::Failed)?;
            begun();
            run.set_going().await;
            let mut state = self.shared.state.lock();
            if let Some(last) = state.run.replace(run.clone()) {
                state.ended = state.ended.plus(&last.ledger());
            }
            Ok(async move { run.drain_when_stopped().await })
        };
        lifecycle.start(open).await?;
        let this = self.clone();
        runtime.shutdown.tracker().spawn(async move {
            let Shared { history, lifecycle, .. } = &*this.shared;
            history.record(lifecycle, || this.run_ledger()).await;
        });
        Ok(())
    }

    /// Stops intake and returns the run's statistics when the rest is processed; `None` when nothing runs. Cancel
    /// safe: the drain goes on by itself.
    pub async fn stop(&self) -> Option<Statistics> {
        self.shared.lifecycle.stop().ok()?;
        self.shared.lifecycle.ended().await;
        self.statistics()
    }

    /// Its runs.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.shared.lifecycle
    }

    /// Changes the size of the pool and the number of generated streams while it runs, without losing
    /// a chunk. Returns when the change is made. Not cancel safe: run it to its end.
    ///
    /// # Errors
    /// [`ResizeError`]; nothing is changed then.
    pub async fn resize(&self, resize: Resize) -> Result<(), ResizeError> {
        let run = self.run().ok_or(ResizeError::NotRunning)?;
        run.resize(resize).await
    }

    /// What was measured in this run, or in the last one.
    pub fn statistics(&self) -> Option<Statistics> {
        Some(self.run()?.statistics())
    }

    /// The balance sheet over all runs of this process.
    pub fn audit(&self) -> ChunkLedger {
        self.shared.gauges().ledger
    }

    /// Where TCP streams are taken, while it runs.
    pub fn listening(&self) -> Option<SocketAddr> {
        self.run()?.gateway.addr()
    }

    /// The current settings and what was measured.
    pub fn status(&self) -> Status {
        let Gauges { workers, streams, peers, .. } = self.shared.gauges();
        let run = self.run();
        let config = run.as_ref().map_or(&self.shared.config, |run| run.config());
        Status {
            state: self.shared.lifecycle.state(),
            workers_count: workers,
            streams_count: streams,
            peers,
            buffer_size: config.buffer_size,
            stream_interval: config.interval_ms,
            chunk_size: config.chunk_size_bytes,
            overload: config.overload,
            noisy_factor: config.noisy_factor,
            sink: config.sink.to_string(),
            listening: self.listening(),
            run: self.statistics().map(|statistics| statistics.report()),
        }
    }

    /// The run in progress, or the last one.
    pub(super) fn run(&self) -> Option<Arc<Run>> {
        self.shared.state.lock().run.clone()
    }

    /// The factory of its instruments.
    pub(super) fn instruments(&self) -> &Instruments {
        &self.shared.runtime.instruments
    }

    /// The settings of the run in progress, or of the last one with the sizes that it had at its end, or those that
    /// runs start with.
    pub(super) fn settings(&self) -> Config {
        match self.run() {
            Some(run) => run.settings(),
            None => self.shared.config.clone(),
        }
    }

    /// The balance of the run in progress, or of the last one, second by second.
    pub(super) fn timeline(&self) -> Timeline<ChunkLedger> {
        Timeline::of(&self.shared.history.points(), self.shared.lifecycle.state() == RunState::Idle)
    }

    /// The balance of this run, or of the last one.
    fn run_ledger(&self) -> ChunkLedger {
        self.run().map(|run| run.ledger()).unwrap_or_default()
    }
}

impl Shared {
    fn gauges(&self) -> Gauges {
        let state = self.state.lock();
        let now = match &state.run {
            Some(run) => run.gauges(),
            None => Gauges { capacity: self.config.buffer_size, ..Gauges::default() },
        };
        Gauges { ledger: state.ended.plus(&now.ledger), ..now }
    }
}
