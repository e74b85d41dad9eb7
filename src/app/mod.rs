//! Puts the rooms together: `lab`, `lab serve`, `lab service`, and the small commands around them.
//!
//! ```text
//!   args ──> telemetry ──> runtime ──> list of systems ──> House ──> web::serve ──> drain ──> flush
//! ```
//!
//! Every command that serves is a list of systems: `lab`, `lab serve`, `lab streams`, `lab pipeline`, `lab service`.
//!
//! What joins two rooms is here and nowhere else: a system never names another.

mod args;
mod ask;
pub mod audit;
pub mod bench;
mod docs;
mod ending;
mod generator;
pub mod health;
mod house;
pub mod load;
mod output;
pub mod page;
pub mod pipeline;
mod problems;
mod reference;
pub mod schema;
mod serve;
mod settings;
mod status_line;
mod streams;

use anyhow::Context as _;

use crate::shutdown::Shutdown;

pub use args::{
    DrainMs, HeaderTimeoutMs, MaxConnections, ServeArgs, ServerArgs, ServiceArgs, ServingArgs, UnreadyMs,
};
pub use ending::{Ending, Usage};
pub use house::{House, Process};
pub use output::{JsonArg, Results};
pub use reference::reference;
pub use serve::{serve, serve_service};
pub use settings::{CurrentSetting, print_config};
pub use streams::{StreamsArgs, run_streams, run_streams_virtually};

/// Runs a benchmark; Ctrl-C ends it and its children.
///
/// # Errors
/// When an arm fails, or the benchmark is interrupted.
pub async fn run_bench(args: bench::Args) -> anyhow::Result<Ending> {
    let shutdown = Shutdown::new(None, std::time::Duration::ZERO);
    shutdown.listen_for_signals().context("listening for signals")?;
    let printed = bench::run(args, &shutdown).await;
    Ending::Done.once_printed(printed, &shutdown)
}
