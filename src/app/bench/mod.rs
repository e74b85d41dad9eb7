//! `lab bench`: what the lab itself costs.
//!
//! A tool that measures others has to be cheap, and to say how cheap it is. Each arm is a process
//! of its own, started by this one and ended by its id, with the environment that is written here
//! and nothing from outside, in the directory for temporary files. The load comes from this
//! process, over loopback, on one thread.
//!
//! - `lab bench http` ([`http`]): the HTTP lab beside a bare axum handler, beside plain handlers that do the
//!   same logical work, and beside itself with telemetry off; then the memory that a request in flight takes.
//! - `lab bench load` ([`load`]): the load generator beside wrk and k6, and beside its own schedule.
//! - `lab bench start` ([`start`]): from spawn to `listening`, and memory at rest.
//! - `lab bench streams` ([`streams`]): the orchestrator beside the bare channel in it, in this process.
//!
//! Arms are interleaved and their order rotates, so that what changes on the machine meets all of
//! them; ratios are taken within a round. A benchmark reports: a missed aim is printed, and is not a
//! failure. An arm that does not start, or does not answer 200 to everything, is one.
//!
//! Processor time and memory are read from `/proc`, so that Linux is needed. Client and servers
//! share the machine; requests per second say what both together reach, processor time per
//! request what the server alone takes.

mod args;
mod bare;
mod client;
pub mod http;
pub mod load;
mod memory;
mod plain;
mod report;
mod server;
pub mod start;
mod stats;
mod stopping;
pub mod streams;
mod usage;

use std::fmt::Display;

use clap::Subcommand;

pub(super) use self::report::BenchReport;
use super::output::JsonArg;
use crate::{output::Document, shutdown::Shutdown};

/// Arguments of `lab bench`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Clone, Debug, Subcommand)]
enum Bench {
    /// Measure the HTTP lab beside a bare handler: requests per second, processor time, memory
    Http(http::Args),
    /// Measure the load generator beside wrk and k6: requests per second, processor time, lag
    Load(load::Args),
    /// Measure the time from start to listening, and memory at rest
    Start(start::Args),
    /// Measure the stream orchestrator beside the bare channel in it, and a crowd of streams
    Streams(streams::Args),
    /// Serve the bare handler that `lab bench http` compares with
    #[command(hide = true)]
    Bare(bare::Args),
}

/// Runs one benchmark and prints its report.
///
/// # Errors
///
/// When an arm cannot be started or does not answer as it should, when the platform does not tell
/// what is measured, when a signal stopped it, or when the report cannot be written. All children
/// have ended by then. Dropping the future kills them.
pub async fn run(args: Args, shutdown: &Shutdown) -> anyhow::Result<()> {
    let stop = shutdown.stopping();
    match args.bench {
        Bench::Http(args) => report(&args.output, http::run(&args, stop), shutdown).await,
        Bench::Load(args) => report(&args.output, load::run(&args, stop), shutdown).await,
        Bench::Start(args) => report(&args.output, start::run(&args, stop), shutdown).await,
        Bench::Streams(args) => report(&args.output, streams::run(&args, stop), shutdown).await,
        Bench::Bare(args) => bare::run(args, stop.clone()).await,
    }
}

/// Measures, and prints what was found.
async fn report<S: Display + Sync>(
    output: &JsonArg,
    bench: impl Future<Output = anyhow::Result<BenchReport<S>>>,
    shutdown: &Shutdown,
) -> anyhow::Result<()>
where
    BenchReport<S>: Document,
{
    let results = output.open()?;
    let report = bench.await?;
    let results = results.json(&report);
    results.print_until_stopped(|| report.to_string(), shutdown).await
}
