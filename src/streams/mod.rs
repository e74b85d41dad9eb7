//! The stream orchestrator: many streams, one bounded buffer, a pool of workers, nothing lost
//! uncounted.
//!
//! ```text
//!   generated streams ┐                                   ┌ worker ┐
//!   TCP peers         ┼─ offer ─> Buffer (policy) ─ next ─┼ worker ┼─> sink: simulate, http, file
//!   HTTP posts        ┘             │                     └ worker ┘
//!                                   └ ledger ──> statistics, metrics, GET /streams, lab audit
//! ```
//!
//! Sources emit on schedules of their own and do not wait (unless the policy is `block`); what finds
//! no room is dropped by the [`Overload`] policy and counted. Latency counts from the intended emission.
//! The balance `generated = processed + dropped + queued + in_progress` holds whenever it is looked at,
//! because each of its moves is one critical section of the buffer.
//!
//! [`Streams`] is the handle: it starts, resizes, drains and shows one run at a time. It works under a
//! paused clock when the sink is simulated and nothing listens; then the same seed gives the same run.
//!
//! What it refuses: more peers than its limit, longer frames than theirs, and under `fair` more streams
//! than the buffer has places.

mod buffer;
mod chunk;
mod config;
mod draw;
mod framing;
mod gateway;
mod ledger;
mod metrics;
mod openapi;
mod overload;
mod page;
mod race;
mod routes;
mod run;
mod sink;
mod source;
mod stats;
mod worker;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use opentelemetry::metrics::Meter;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::{
    gateway::{NotLetIn, Peer},
    metrics::{Gauges, StreamMetrics},
    run::{Means, Run},
    stats::Report,
};
use crate::{config::Misfit, shutdown::Shutdown};

pub use config::{
    Args, BufferSize, ChunkSize, Config, FrameLimitBytes, GatewayAddr, NoisyFactor, PeerIdleMs, PeersLimit,
    SinkRetries, SinkTimeoutMs, StreamInterval, StreamsCount, StreamsSloMs, WorkersCount,
};
pub use framing::Framing;
pub use ledger::{Dropped, Ledger, Reason};
pub use overload::Overload;
pub use race::Race;
pub use routes::UPLOADS_UNDER;
pub use sink::SinkSpec;
pub use stats::{Percentiles, Statistics};
pub use worker::{Observer, Processed};

/// What the orchestrator is given by the process it runs in.
#[derive(Clone)]
pub struct Runtime {
    /// Where its instruments are made.
    pub meter: Meter,
    /// The stop it obeys: intake ends when it begins, and its tracker waits for the drain.
    pub shutdown: Shutdown,
    /// The process's service level objective, milliseconds: an edge of every histogram.
    pub slo_ms: u64,
    /// The seed of all draws.
    pub seed: u64,
    /// Hears of every processed chunk.
    pub observer: Option<Observer>,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// Where the orchestrator is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = streams::Phase)]
pub enum Phase {
    /// Nothing runs.
    Idle,
    /// Streams flow.
    Running,
    /// Nothing more comes in; what is inside is processed.
    Draining,
}

/// Another size, while it runs. What is left out stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = streams::Resize)]
pub struct Resize {
    /// Workers in the pool.
    pub workers_count: Option<usize>,
    /// Generated streams.
    pub streams_count: Option<usize>,
}

/// What a run may have otherwise than the configuration says. What is left out stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = streams::Overrides)]
pub struct Overrides {
    /// Workers in the pool.
    pub workers_count: Option<usize>,
    /// Generated streams.
    pub streams_count: Option<usize>,
    /// The longest pause of a generated stream, milliseconds.
    pub stream_interval: Option<usize>,
    /// The longest generated chunk, bytes.
    pub chunk_size: Option<usize>,
    /// Places in the buffer.
    pub buffer_size: Option<usize>,
    /// What happens when the buffer is full.
    pub overload: Option<Overload>,
}

/// Why the size stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResizeError {
    /// A number is out of its range.
    #[error(transparent)]
    Misfit(Misfit),
    /// Under `fair` each stream needs a place in the buffer.
    #[error("under the overload policy fair each stream needs a place, and the buffer has {capacity}")]
    NoSlots {
        /// Places in the buffer.
        capacity: usize,
    },
    /// There is nothing to resize.
    #[error("the streams are not running")]
    NotRunning,
}

/// Why it does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It runs, or is still draining.
    #[error("the streams are running already")]
    Running,
    /// A number is out of its range, or does not go with the others.
    #[error(transparent)]
    Misfit(Misfit),
    /// The sink or the gateway cannot be opened.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

/// What `GET /streams` shows.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = streams::Status)]
pub struct Status {
    /// Where it is in its life.
    pub state: Phase,
    /// Workers wanted in the pool.
    pub workers: usize,
    /// Generated streams.
    pub streams: usize,
    /// Streams from outside that are connected.
    pub peers: usize,
    /// Places in the buffer.
    pub buffer_size: usize,
    /// The longest pause of a generated stream, milliseconds.
    pub stream_interval_ms: u64,
    /// The longest generated chunk, bytes.
    pub chunk_size_bytes: usize,
    /// What happens when the buffer is full.
    pub overload: Overload,
    /// What processing is.
    pub sink: String,
    /// Where TCP streams are taken.
    #[schema(value_type = Option<String>)]
    pub listening: Option<SocketAddr>,
    /// What was measured in this run, or in the last one; `null` before the first.
    pub run: Option<Report>,
}

/// The orchestrator. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Streams {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    runtime: Runtime,
    metrics: Arc<StreamMetrics>,
    state: Mutex<State>,
    /// Starts and stops happen one at a time.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    run: Option<Arc<Run>>,
    phase: Option<Phase>,
    /// What earlier runs came to.
    ended: Ledger,
}

impl Streams {
    /// An orchestrator at rest; its series exist from now on.
    pub fn new(config: Config, runtime: Runtime) -> Self {
        let metrics = Arc::new(StreamMetrics::new(&runtime.meter, runtime.slo_ms, config.slo_ms));
        let shared = Arc::new(Shared {
            config,
            metrics,
            state: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            runtime,
        });
        // The meter's provider keeps the callbacks: weak, so that it does not keep the orchestrator.
        let weak = Arc::downgrade(&shared);
        metrics::observe(&shared.runtime.meter, move || Some(weak.upgrade()?.gauges()));
        Self { shared }
    }

    /// Starts a run. It ends by [`stop`](Self::stop), or when the process's stop begins: at once, when
    /// that has begun already.
    ///
    /// # Errors
    /// [`StartError`] when one runs, or a part of it cannot be opened.
    pub async fn start(&self) -> Result<(), StartError> {
        self.start_with(&Overrides::default()).await
    }

    /// The same, and calls `begun` when all is open and no chunk has been emitted.
    ///
    /// # Errors
    /// As [`start`](Self::start); `begun` is not called then.
    pub async fn start_and(&self, begun: impl FnOnce()) -> Result<(), StartError> {
        self.begin(&Overrides::default(), begun).await
    }

    /// The same with some of the configuration changed for this run.
    ///
    /// # Errors
    /// As [`start`](Self::start), and when a value is out of its range.
    pub async fn start_with(&self, overrides: &Overrides) -> Result<(), StartError> {
        self.begin(overrides, || {}).await
    }

    async fn begin(&self, overrides: &Overrides, begun: impl FnOnce()) -> Result<(), StartError> {
        let config = self.shared.config.with(overrides).map_err(StartError::Misfit)?;
        let _turn = self.shared.turn.lock().await;
        let shutdown = &self.shared.runtime.shutdown;
        if self.phase() != Phase::Idle {
            return Err(StartError::Running);
        }
        let means = Means {
            seed: self.shared.runtime.seed,
            metrics: self.shared.metrics.clone(),
            observer: self.shared.runtime.observer.clone(),
        };
        let run = Run::open(config, means).await.map_err(StartError::Failed)?;
        begun();
        run.set_going().await;
        {
            let mut state = self.shared.state();
            if let Some(last) = state.run.replace(run.clone()) {
                state.ended = state.ended.plus(&last.ledger());
            }
            state.phase = Some(Phase::Running);
        }
        let this = self.clone();
        shutdown.tracker().spawn(async move { this.see_to_the_end(run).await });
        Ok(())
    }

    /// Waits for a stop of this run or of the process, drains, and cuts short when the process's stop
    /// is cut short.
    async fn see_to_the_end(&self, run: Arc<Run>) {
        let shutdown = &self.shared.runtime.shutdown;
        tokio::select! {
            biased;
            () = run.stopped() => {}
            () = shutdown.stopping().cancelled() => run.stop_intake(),
        }
        self.shared.state().phase = Some(Phase::Draining);
        let whole = tokio::select! {
            biased;
            () = run.drain() => true,
            () = shutdown.drain_over() => false,
        };
        if !whole {
            run.cut().await;
        }
        self.shared.state().phase = Some(Phase::Idle);
        run.end();
    }

    /// Stops taking chunks in and returns when the rest is processed, with what the run came to;
    /// `None` when nothing runs. Cancel safe: the drain goes on by itself.
    pub async fn stop(&self) -> Option<Statistics> {
        let run = self.shared.state().run.clone()?;
        let was_running = self.phase() != Phase::Idle;
        run.stop_intake();
        run.ended().await;
        was_running.then(|| run.statistics())
    }

    /// Takes nothing more in; the drain begins. Nothing happens when nothing runs.
    pub fn stop_intake(&self) {
        if let Some(run) = &self.shared.state().run {
            run.stop_intake();
        }
    }

    /// Waits until a run that was started has ended, whoever ends it. Cancel safe.
    pub async fn ended(&self) {
        let run = self.shared.state().run.clone();
        if let Some(run) = run {
            run.ended().await;
        }
    }

    /// Changes the size of the pool and the number of generated streams while it runs, without losing
    /// a chunk. Returns when the new size is in force. Cancel safe: the change goes on by itself.
    ///
    /// # Errors
    /// [`ResizeError`]; nothing is changed then.
    pub async fn resize(&self, resize: Resize) -> Result<(), ResizeError> {
        let run = self.shared.state().run.clone().ok_or(ResizeError::NotRunning)?;
        // A task of its own: whoever asked may leave while workers are still waited for.
        let change = tokio::spawn(async move { run.resize(resize).await });
        change.await.unwrap_or(Err(ResizeError::NotRunning))
    }

    /// Where it is in its life.
    pub fn phase(&self) -> Phase {
        self.shared.state().phase.unwrap_or(Phase::Idle)
    }

    /// What was measured in this run, or in the last one.
    pub fn statistics(&self) -> Option<Statistics> {
        let run = self.shared.state().run.clone()?;
        Some(run.statistics())
    }

    /// The balance sheet over all runs of this process.
    pub fn audit(&self) -> Ledger {
        self.shared.gauges().ledger
    }

    /// Where TCP streams are taken, while it runs.
    pub fn listening(&self) -> Option<SocketAddr> {
        self.shared.state().run.as_ref().and_then(|run| run.gateway.addr())
    }

    /// Lets a stream from outside in.
    fn admit(&self, name: &str) -> Result<Peer, NotLetIn> {
        let run = self.shared.state().run.clone().ok_or(NotLetIn::Stopping)?;
        run.gateway.admit(Some(name))
    }

    /// What is in force and what was measured.
    pub fn status(&self) -> Status {
        let Gauges { workers, streams, peers, .. } = self.shared.gauges();
        let run = self.shared.state().run.clone();
        let config = run.as_ref().map_or(&self.shared.config, |run| run.config());
        Status {
            state: self.phase(),
            workers,
            streams,
            peers,
            buffer_size: config.buffer_size,
            stream_interval_ms: config.interval_ms,
            chunk_size_bytes: config.chunk_size_bytes,
            overload: config.overload,
            sink: config.sink.to_string(),
            listening: self.listening(),
            run: self.statistics().map(|statistics| statistics.report()),
        }
    }
}

impl Shared {
    /// No code panics while it holds the lock, and each change is whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gauges(&self) -> Gauges {
        let state = self.state();
        let now = match &state.run {
            Some(run) => run.gauges(),
            None => Gauges { capacity: self.config.buffer_size, ..Gauges::default() },
        };
        Gauges { ledger: state.ended.plus(&now.ledger), ..now }
    }
}
