//! `lab queue`: the reliable queue as processes of its own, and inside `lab`.
//!
//! ```text
//!   api, monitor ──> Queue ──> broker: Redis, which all share; or a file, with a worker in the same process
//!   worker ────────────────────> broker
//! ```
//!
//! **Stop.** First the intake of HTTP closes, then the worker claims no more and ends what it runs, then the lease
//! clock is left to others, and last the file is closed.

mod args;
mod audit;
mod embedded;
mod load;
mod refusal;
mod worker;

use anyhow::Context as _;

pub use self::audit::audit;
pub(super) use self::embedded::{Embedded, Settings};
pub(in crate::app) use self::load::LoadReport;
use self::refusal::refused;
pub use self::{
    args::{ApiArgs, Args, Command, MonitorArgs, Part, WorkArgs},
    load::{LoadArgs, load},
};
use super::{
    ending::Ending,
    server::{Process, Server},
};
use crate::{
    queue::{CannotOpen, Config, Place, StoreArgs, WorkerArgs},
    telemetry::{self, Telemetry},
    web,
};

/// Runs a part of the queue.
///
/// # Errors
/// When an address or the store cannot be used.
pub async fn run(part: Part, telemetry: Telemetry) -> anyhow::Result<Ending> {
    match part {
        Part::Api(args) => {
            let ApiArgs { addr, store, queue, worker, serving, .. } = *args;
            let idle_handlers = store.place.redis_url.is_some() && worker.has_handlers();
            let worker = store.place.redis_url.is_none().then_some(worker);
            let flag = "--addr (QUEUE_API_ADDR)";
            let served = Served { flag, addr, store, queue, worker, idle_handlers, serving };
            serve(served, telemetry).await
        }
        Part::Monitor(args) => {
            let MonitorArgs { addr, store, queue, serving, .. } = *args;
            if store.place.redis_url.is_none() {
                return Err(refused(CannotOpen::NotShared("lab queue monitor")));
            }
            let flag = "--addr (QUEUE_MONITOR_ADDR)";
            let served = Served { flag, addr, store, queue, worker: None, idle_handlers: false, serving };
            serve(served, telemetry).await
        }
        Part::Worker(args) => worker::run(*args, telemetry).await,
    }
}

impl Part {
    /// Its telemetry: each part has a name of its own, and its processes are told apart.
    pub fn telemetry(&self) -> telemetry::Config {
        let (service_name, telemetry) = match self {
            Self::Api(args) => ("lab-queue-api", &args.telemetry),
            Self::Worker(args) => ("lab-queue-worker", &args.telemetry),
            Self::Monitor(args) => ("lab-queue-monitor", &args.telemetry),
        };
        telemetry::Config { service_name, is_replica: true, ..telemetry.clone() }
    }
}

/// What a server of the queue is made of.
struct Served {
    flag: &'static str,
    addr: crate::config::ListenAddr,
    store: StoreArgs,
    queue: Config,
    /// The worker in the same process, if the store cannot be shared.
    worker: Option<WorkerArgs>,
    /// Whether handlers are set that another process is to have.
    idle_handlers: bool,
    serving: super::ServingArgs,
}

async fn serve(served: Served, telemetry: Telemetry) -> anyhow::Result<Ending> {
    let Served { flag, addr, store, queue, worker, idle_handlers, serving } = served;
    let listener = web::listen(addr.get(), flag)?;
    let shutdown = serving.shutdown();
    telemetry.stops_with(&shutdown);
    shutdown.listen_for_signals().context("listening for signals")?;
    telemetry.observe_runtime();
    let settings = Settings { store, queue, worker };
    let opened = Embedded::open(&settings, Place::Root, &listener, &telemetry, &shutdown).await?;
    let Some(embedded) = opened else { return Ok(Ending::Done) };
    let process =
        Process { server: &serving.server, listener, telemetry: &telemetry, shutdown: shutdown.clone() };
    let server = Server::start(vec![embedded.system()], process, shutdown).await?;
    if idle_handlers {
        tracing::warn!(
            "QUEUE_HTTP and QUEUE_EXEC have no effect here: on Redis, `lab queue worker` does the work"
        );
    }
    let ending = server.drained().await;
    embedded.close().await;
    ending
}
