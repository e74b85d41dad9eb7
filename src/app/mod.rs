//! Combines the rooms into commands: `lab`, `lab serve`, `lab service`, `lab load`, and the small ones.
//!
//! ```text
//!   args ──> telemetry ──> runtime ──> list of systems ──> Server ──> web::serve ──> drain ──> flush
//! ```
//!
//! Every command that starts a server passes it a list of systems: `lab`, `lab serve`, `lab streams`, `lab pipeline`,
//! `lab service`, `lab queue`.
//!
//! Only this room connects systems with each other: a system never names another.

mod args;
mod ask;
pub mod audit;
pub mod bench;
mod docs;
mod ending;
mod generator;
pub mod health;

pub mod load;
mod output;
pub mod page;
pub mod pipeline;
mod problems;
pub mod queue;
mod reference;
pub mod schema;
mod serve;
mod server;
mod settings;
mod status_line;
mod streams;
mod task_targets;

use anyhow::Context as _;

use crate::{exec::stand_guard, shutdown::Shutdown};

pub use args::{
    DrainMs, HeaderTimeoutMs, MaxConnections, Prefix, Prefixed, ServeArgs, ServerArgs, ServiceArgs,
    ServingArgs, UnreadyMs, WholeArgs,
};
pub use ending::{Ending, Usage};
pub use output::{JsonArg, Results};
pub use reference::reference;
pub use serve::{serve, serve_service};
pub use server::{Process, Server};
pub use settings::{CurrentSetting, print_config};
pub use streams::{StreamsArgs, run_streams, run_streams_virtually};

/// Runs the guard process, which kills what the commands of another process left behind after that has ended. It ignores
/// signals.
///
/// # Errors
/// When standard input cannot be read, or the signal handlers cannot be installed.
pub async fn guard() -> anyhow::Result<Ending> {
    Shutdown::new(None, std::time::Duration::ZERO).listen_for_signals().context("catching signals")?;
    tokio::task::spawn_blocking(stand_guard).await?.context("running the guard")?;
    Ok(Ending::Done)
}

/// Runs a benchmark. Ctrl-C ends it and its child processes.
///
/// # Errors
/// When an arm fails, or the benchmark is interrupted.
pub async fn run_bench(args: bench::Args) -> anyhow::Result<Ending> {
    let shutdown = Shutdown::new(None, std::time::Duration::ZERO);
    shutdown.listen_for_signals().context("listening for signals")?;
    let printed = bench::run(args, &shutdown).await;
    Ending::Done.once_printed(printed, &shutdown)
}
