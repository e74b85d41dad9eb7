//! The arguments of `lab queue`.

use super::load::LoadArgs;
use crate::{
    app::{DrainMs, ServerArgs, ServingArgs, ask::QUEUE_API_ADDR, audit::CheckArgs, bench},
    config::{Allowed as _, ListenAddr, Misfit},
    queue::{Config, StoreArgs, WorkerArgs},
    telemetry,
};

/// The arguments of `lab queue`.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done with the queue.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run a part of it.
    #[command(flatten)]
    Part(Part),
    /// Check that each task is in one place, and that all counts are right; the same as `lab audit queue`
    Audit(Box<CheckArgs>),
    /// Enqueue tasks at a running queue on a schedule, and check that nothing accepted is missing
    ///
    /// Open loop: tasks are enqueued on schedule, and the latency of an enqueue counts from its scheduled start.
    Load(Box<LoadArgs>),
    /// Compare the queue with a bare push and pop: rates, waits, memory, the time of scripts
    ///
    /// The same as `lab bench queue`. It starts its own Redis servers.
    Bench(bench::queue::Args),
}

/// The parts of the queue.
#[derive(Debug, clap::Subcommand)]
pub enum Part {
    /// Take tasks in over HTTP
    ///
    /// Without REDIS_URL the queue is a file that only this process can use, and a worker runs in it too.
    Api(Box<ApiArgs>),
    /// Do the work of tasks
    ///
    /// At SIGTERM it claims no more, and ends what it runs; without a time limit unless LAB_DRAIN_MS is set.
    Worker(Box<WorkArgs>),
    /// Show the queue on a page, and change it
    Monitor(Box<MonitorArgs>),
}

/// The arguments of `lab queue api`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct ApiArgs {
    /// The address to listen on
    #[arg(long, env = "QUEUE_API_ADDR", default_value = QUEUE_API_ADDR, value_name = ListenAddr::ALLOWED)]
    pub addr: ListenAddr,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub store: StoreArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub queue: Config,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub worker: WorkerArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub serving: ServingArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub telemetry: telemetry::Config,
}

/// The arguments of `lab queue monitor`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct MonitorArgs {
    /// The address to listen on
    #[arg(long, env = "QUEUE_MONITOR_ADDR", default_value = "127.0.0.1:8082", value_name = ListenAddr::ALLOWED)]
    pub addr: ListenAddr,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub store: StoreArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub queue: Config,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub serving: ServingArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub telemetry: telemetry::Config,
}

/// The arguments of `lab queue worker`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct WorkArgs {
    /// The address of its health and metrics; unset: none
    #[arg(long, env = "QUEUE_WORKER_ADDR", value_name = ListenAddr::ALLOWED)]
    pub addr: Option<ListenAddr>,
    /// After a stop signal: the time limit of the tasks that run; unset: none
    #[arg(long, env = "LAB_DRAIN_MS", value_name = DrainMs::ALLOWED, help_heading = "Server")]
    pub drain_ms: Option<DrainMs>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub store: StoreArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub queue: Config,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub worker: WorkerArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub server: ServerArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub telemetry: telemetry::Config,
}

impl Args {
    /// Checks that the values do not conflict.
    ///
    /// # Errors
    /// The first value that conflicts with another.
    pub fn check(&self) -> Result<(), Misfit> {
        match &self.command {
            Command::Part(Part::Api(args)) => args.worker.check(),
            Command::Part(Part::Worker(args)) => args.worker.check(),
            Command::Part(Part::Monitor(_)) | Command::Audit(_) | Command::Load(_) | Command::Bench(_) => {
                Ok(())
            }
        }
    }
}
