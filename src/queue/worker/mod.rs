//! The worker: claims tasks, lets handlers do them, and settles how they ended.
//!
//! ```text
//!   register ──> exchange: settle what ended, claim for the free slots ──> attempts ──┐
//!      ^             ^ bell, poll                                                      │
//!      │             └────────────────────────────── verdicts ────────────────────────┘
//!      └ a lease that expired: cancel what runs, take a new one
//! ```
//!
//! **Stop.** At the first signal nothing more is claimed, and what runs ends; the heartbeat goes on until the last
//! task has. At the drain's deadline or a second signal the attempts are dropped and their tasks handed back, which
//! charges them nothing.

mod attempt;
mod handler;
mod heartbeat;
mod pool;
mod settings;
mod watchers;

use std::sync::Arc;

pub use self::{handler::Handler, pool::Tally, settings::WorkerSettings};
use self::{
    handler::{FnHandler, Handlers},
    pool::Pool,
    watchers::Watchers,
};
use super::{
    broker::{Broker, Claimed},
    metrics::WorkerMetrics,
    name::Name,
    settle::Verdict,
};
use crate::{config::Invalid, shutdown::Shutdown, storage::StoreError, telemetry::Tracing};

/// A worker, ready to run.
#[derive(Debug)]
pub struct Worker {
    broker: Broker,
    handlers: Handlers,
    settings: WorkerSettings,
    seen: Watchers,
}

/// Builds a [`Worker`].
#[derive(Debug)]
pub struct WorkerBuilder(Worker);

impl Worker {
    /// A worker on `broker`, without handlers.
    ///
    /// ```no_run
    /// # async fn example(broker: lab::queue::Broker, stop: lab::shutdown::Shutdown) -> Result<(), Box<dyn std::error::Error>> {
    /// use lab::queue::{Worker, settle::Verdict};
    ///
    /// let worker = Worker::builder(broker)
    ///     .on("email", |task| async move {
    ///         // The receiver that compares the delivery number refuses an attempt that comes late.
    ///         println!("delivery {} of {}: {:?}", task.delivery, task.id, task.spec.payload);
    ///         Verdict::Done
    ///     })?
    ///     .build();
    /// worker.run(&stop).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(broker: Broker) -> WorkerBuilder {
        let (settings, seen) = (WorkerSettings::default(), Watchers::default());
        WorkerBuilder(Self { broker, handlers: Handlers::default(), settings, seen })
    }

    /// Works until `stop` begins, and drains. A store that is away is waited for.
    ///
    /// # Errors
    /// When the store refuses what a worker does, or the heartbeat's thread cannot be started.
    pub async fn run(&self, stop: &Shutdown) -> Result<Tally, StoreError> {
        let Self { broker, handlers, settings, seen } = self;
        let mut tally = Tally::default();
        seen.recent.lock().know(handlers.kinds().cloned());
        while let Some(pool) = Pool::register(broker, handlers, settings, seen, stop).await? {
            if pool.work(stop, &mut tally).await? {
                break;
            }
            tracing::warn!("the lease expired: what ran was cancelled, and another is taken");
        }
        Ok(tally)
    }
}

impl WorkerBuilder {
    /// Tasks of type `kind` are handled by `handler`.
    ///
    /// # Errors
    /// When `kind` is no name of a type.
    pub fn on<F, Run>(self, kind: &str, handler: F) -> Result<Self, Invalid>
    where
        F: Fn(Claimed) -> Run + Send + Sync + 'static,
        Run: Future<Output = Verdict> + Send + 'static,
    {
        let kind: Name = kind.parse()?;
        Ok(self.with(kind, Arc::new(FnHandler(handler))))
    }

    /// The same with a handler that is a value.
    #[must_use]
    pub fn with(mut self, kind: Name, handler: Arc<dyn Handler>) -> Self {
        self.0.handlers.set(kind, handler);
        self
    }

    /// Tasks of all other types are handled by `handler`.
    #[must_use]
    pub fn otherwise(mut self, handler: Arc<dyn Handler>) -> Self {
        self.0.handlers.set_any(handler);
        self
    }

    /// Sets how it works.
    #[must_use]
    pub fn settings(mut self, settings: WorkerSettings) -> Self {
        self.0.settings = settings;
        self
    }

    /// Sets what sees its attempts.
    #[must_use]
    pub(super) fn seen(mut self, metrics: Arc<WorkerMetrics>, tracing: Tracing) -> Self {
        self.0.seen = Watchers { metrics: Some(metrics), tracing, ..Watchers::default() };
        self
    }

    /// The worker.
    #[must_use]
    pub fn build(self) -> Worker {
        self.0
    }
}
