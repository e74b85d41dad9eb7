//! `lab bench`: measures the overhead of the lab itself.
//!
//! A measuring tool must be cheap, and show how cheap it is. Each arm is a process that this one starts, in the
//! directory for temporary files, with only the environment that is written here. The load comes from this process,
//! over loopback, on one thread.
//!
//! - `lab bench http` ([`http`]): compares the HTTP lab with a bare axum handler, with plain handlers that do the same
//!   work, and with itself without telemetry; then measures the memory of a request in flight.
//! - `lab bench builds` ([`builds`]): compares this build with another one, without and with viewers of the page.
//! - `lab bench load` ([`load`]): compares the load generator with wrk and k6, and with its own schedule.
//! - `lab bench queue` ([`queue`]): compares the queue with a bare push and pop, and measures waits, memory and scripts.
//! - `lab bench start` ([`start`]): measures the time from spawn to `listening`, and the idle memory.
//! - `lab bench streams` ([`streams`]): compares the orchestrator with its bare channel, in this process.
//!
//! Arms are interleaved and their order rotates, so that changes on the machine affect all of them; ratios are
//! computed within a round. If a figure misses its aim, the benchmark prints that and still succeeds. It fails if an
//! arm does not start, or responds with another status than 200.
//!
//! Processor time and memory are read from `/proc`, so the benchmarks need Linux. Client and servers share the
//! machine: requests per second depend on both, processor time per request only on the server.

mod args;
mod bare;
pub mod builds;
mod child_server;
mod client;
pub mod http;
pub mod load;
mod memory;
mod plain;
pub mod queue;
mod report;
pub mod start;
mod stats;
mod stopping;
pub mod streams;
mod usage;
mod viewers;

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
    /// Compare the HTTP lab with a bare handler: requests per second, processor time, memory
    Http(http::Args),
    /// Compare this build with another one: processor time per request, without and with viewers of the page
    Builds(builds::Args),
    /// Compare the load generator with wrk and k6: requests per second, processor time, lag
    Load(load::Args),
    /// Compare the reliable queue with a bare push and pop: rates, waits, memory, the time of scripts
    ///
    /// It starts its own Redis servers.
    Queue(queue::Args),
    /// Measure the time from start to listening, and the idle memory
    Start(start::Args),
    /// Compare the stream orchestrator with its bare channel, and measure very many streams
    Streams(streams::Args),
    /// Serve the bare handler that `lab bench http` compares with
    #[command(hide = true)]
    Bare(bare::Args),
}

impl Args {
    /// Those of `lab bench queue`.
    pub const fn of_queue(args: queue::Args) -> Self {
        Self { bench: Bench::Queue(args) }
    }
}

/// Runs one benchmark and prints its report.
///
/// # Errors
///
/// When an arm cannot be started or gives a wrong response, when the platform lacks a measurement, when a signal
/// stopped the benchmark, or when the report cannot be written. All child processes have ended by then. Dropping the
/// future kills them.
pub async fn run(args: Args, shutdown: &Shutdown) -> anyhow::Result<()> {
    let stop = shutdown.stopping();
    match args.bench {
        Bench::Http(args) => report(&args.output, http::run(&args, stop), shutdown).await,
        Bench::Builds(args) => report(&args.output, builds::run(&args, stop), shutdown).await,
        Bench::Load(args) => report(&args.output, load::run(&args, stop), shutdown).await,
        Bench::Queue(args) => report(&args.output, queue::run(&args, stop), shutdown).await,
        Bench::Start(args) => report(&args.output, start::run(&args, stop), shutdown).await,
        Bench::Streams(args) => report(&args.output, streams::run(&args, stop), shutdown).await,
        Bench::Bare(args) => bare::run(args, stop.clone()).await,
    }
}

/// Runs a benchmark and prints its report.
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
