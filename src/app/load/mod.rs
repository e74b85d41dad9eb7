//! `lab load`: measures any HTTP server under load, finds the highest rate it can take (`--find-max`), and tells
//! whether it got slower (`compare`).
//!
//! ```text
//!   args ──> plan, transport ──> generator ──> document ──> text, JSON, CSV, HTML
//!                                                 '-> checks ──> exit code
//! ```
//!
//! The rules are in [`crate::load`]; this module adds the terminal, files and signals. The first signal ends
//! the schedule; the result is printed when the requests in flight have ended. The second signal prints it at
//! once and ends the process with exit code 130.

mod args;
mod command_line;
#[cfg(test)]
mod command_tests;
mod comparing;
mod csv;
mod document;
mod finding;
#[cfg(test)]
mod flag_tests;
mod lost;
mod merging;
mod page;
mod run;
mod table;

use std::time::Duration;

use anyhow::Context as _;

use self::args::{CompareArgs, RunArgs};
use super::Ending;
use super::generator::Generator;
use crate::load::{Control, LoadMetrics, Plan, Verdict};
use crate::shutdown::Shutdown;
use crate::telemetry::{self, Telemetry};

pub use self::args::MergeArgs;
pub(super) use self::args::{ArrivalArgs, RequestCount, at_least_one};
pub(super) use self::command_line::CommandLine;
pub(super) use self::run::AGENT;
pub(super) use self::{comparing::CompareReport, document::Document, finding::FindMaxReport};

/// The arguments of `lab load`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Command {
    /// Compare two targets by alternating between them; exit code 1 if B is slower
    Compare(Box<CompareArgs>),
    /// Merge the JSON results of several hosts
    Merge(MergeArgs),
}

/// The task of a command line of `lab load`.
#[derive(Debug)]
pub enum Task {
    /// Send requests and measure.
    Measure(Measure),
    /// Merge existing results. It sends no requests, so it needs neither telemetry nor a runtime.
    Merge(MergeArgs),
}

/// The measurement to make.
#[derive(Debug)]
pub struct Measure {
    /// The settings of telemetry, with the objective of the runs.
    pub telemetry: telemetry::Config,
    question: Question,
}

#[derive(Debug)]
enum Question {
    Run(Box<RunArgs>),
    Compare(Box<CompareArgs>),
}

impl Args {
    /// The task, with its arguments.
    #[must_use]
    pub fn task(self) -> Task {
        let (question, telemetry) = match self.command {
            Some(Command::Merge(args)) => return Task::Merge(args),
            Some(Command::Compare(args)) => {
                let telemetry = args.telemetry.clone();
                (Question::Compare(args), telemetry)
            }
            None => {
                let telemetry = self.run.telemetry.clone();
                (Question::Run(Box::new(self.run)), telemetry)
            }
        };
        // Another service name than that of `lab`, because two processes with the same name would push the same series.
        let telemetry = telemetry::Config { service_name: "lab-load", ..telemetry };
        Task::Measure(Measure { telemetry, question })
    }
}

impl Measure {
    /// Measures, prints the result and returns the exit code.
    ///
    /// # Errors
    /// [`Usage`](super::Usage) for a bad argument; otherwise when the generator cannot start or the result
    /// cannot be written.
    pub async fn run(self, telemetry: Telemetry) -> anyhow::Result<Ending> {
        let shutdown = Shutdown::new(None, Duration::ZERO);
        telemetry.stops_with(&shutdown);
        shutdown.listen_for_signals().context("listening for signals")?;
        crate::web::raise_descriptor_limit();
        let (slo, slo_ms) = (self.telemetry.slo_ms.get(), self.telemetry.slo_ms.ms());
        let exported = self.telemetry.endpoint.is_some();
        let generator = Generator {
            control: Control { stopping: shutdown.stopping().clone(), aborted: shutdown.aborted().clone() },
            metrics: exported.then(|| LoadMetrics::new(&telemetry.instruments())),
        };
        match self.question {
            Question::Compare(args) => comparing::run_comparison(&args, slo, &generator, &shutdown).await,
            Question::Run(args) => {
                args.check()?;
                match &args.find.find_max {
                    Some(checks) => finding::find(&args, checks, slo, &generator, &shutdown).await,
                    None => single(&args, slo_ms, &generator, &shutdown).await,
                }
            }
        }
    }
}

/// Merges results, prints the sum and returns the exit code.
///
/// # Errors
/// When a file is not a result, or the sum cannot be written.
pub fn merge(args: &MergeArgs) -> anyhow::Result<Ending> {
    merging::merge(args).map(|document| verdict(&document))
}

async fn single(
    args: &RunArgs,
    slo_ms: u64,
    generator: &Generator,
    shutdown: &Shutdown,
) -> anyhow::Result<Ending> {
    let results = args.output.open()?;
    let targets = args.request.targets(&args.urls, &args.request.body()?)?;
    let users = args.closed.map(|users| at_least_one(users.get()));
    let max_in_flight = args.request.max_in_flight();
    let transport = args.request.transport(&targets, users.unwrap_or(max_in_flight))?;
    let pace = args.pace()?;
    let kind = pace.kind();
    let plan = Plan { pace, timeout: args.request.timeout.get(), slo: Duration::from_millis(slo_ms) };
    let measured = generator.run(plan, transport.clone(), "").await?;
    if shutdown.is_stopping() && measured.offered() == 0 {
        return Ending::without_result(shutdown);
    }
    let command = args.command_line.command("lab load");
    let checks = args.check.as_ref().map(|checks| checks.evaluate(&measured)).unwrap_or_default();
    let document =
        Document::new(command, kind, slo_ms, transport.connections(), transport.reasons(), checks, measured);
    let results =
        results.json(&document).csv(|| csv::text(&document.measured)).html(|| page::html(&document));
    let printed = results.print_until_stopped(|| table::text(&document), shutdown).await;
    verdict(&document).once_printed(printed, shutdown)
}

/// The exit code of a result. A run without a good response fails, as a check that does not hold does.
fn verdict(document: &Document) -> Ending {
    let held = document.checks.iter().all(|finding| finding.verdict == Verdict::Held);
    if lost::nothing_good(&document.measured, &document.reasons).is_none() && held {
        Ending::Done
    } else {
        Ending::Failed
    }
}
