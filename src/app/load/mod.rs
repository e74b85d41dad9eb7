//! `lab load`: honest load on any HTTP server, and the two weekly questions: what rate can it take, and
//! did it get slower?
//!
//! ```text
//!   args ──> plan, transport ──> run (a thread of its own) ──> document ──> text, JSON, CSV, HTML
//!                                   '- progress, on a terminal          '-> checks ──> exit code
//! ```
//!
//! The rules are in [`crate::load`]; here they meet the terminal, files and signals. The first signal ends
//! the schedule and what was measured is printed when what is in flight has ended; the second prints it at
//! once and ends with 130.

mod args;
mod comparing;
mod csv;
mod document;
mod finding;
mod merging;
mod output;
mod page;
mod progress;
mod run;
mod table;

use std::time::Duration;

use anyhow::Context as _;

use self::args::{CompareArgs, MergeArgs, RunArgs, at_least_one};
use self::document::Document;
use self::output::Forms;
pub use self::run::Usage;
use super::Ending;
use crate::load::{Live, LoadMetrics, Pace, Plan};
use crate::output::print_until_stopped;
use crate::shutdown::Shutdown;
use crate::telemetry::{self, Telemetry};

/// What `lab load` takes.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Task {
    /// Did it get slower? Two targets in turn, and the paired difference; exit 1 on a regression
    Compare(Box<CompareArgs>),
    /// Add the JSON results of several hosts
    Merge(MergeArgs),
}

impl Args {
    /// Where telemetry goes; none for a command that runs nothing.
    #[must_use]
    pub fn telemetry(&self) -> Option<telemetry::Config> {
        // Two processes of one name would push the same series.
        let own =
            |config: &telemetry::Config| telemetry::Config { service_name: "lab-load", ..config.clone() };
        match &self.task {
            Some(Task::Compare(args)) => Some(own(&args.telemetry)),
            Some(Task::Merge(_)) => None,
            None => Some(own(&self.run.telemetry)),
        }
    }
}

/// Runs, prints, judges.
///
/// # Errors
/// [`Usage`] for what is a bad argument; else when the generator cannot start or the result cannot be
/// written.
pub async fn run(args: Args, telemetry: Telemetry) -> anyhow::Result<Ending> {
    let config = args.telemetry().context("nothing to run")?;
    let shutdown = Shutdown::new(None, Duration::ZERO);
    shutdown.listen_for_signals().context("listening for signals")?;
    crate::web::raise_descriptor_limit();
    let (slo, slo_ms) = (config.slo_ms.get(), config.slo_ms.ms());
    let metrics = config.endpoint.as_ref().map(|_| LoadMetrics::new(&telemetry.instruments()));
    if let Some(Task::Compare(args)) = args.task {
        return comparing::run_comparison(&args, slo, metrics, &shutdown).await;
    }
    let args = args.run;
    args.output.check().map_err(run::usage)?;
    match &args.find.find_max {
        Some(checks) => finding::find(&args, checks, slo, metrics, &shutdown).await,
        None => single(&args, slo_ms, metrics, &shutdown).await,
    }
}

/// Does what needs no telemetry and no runtime; none where the command is another.
///
/// # Errors
/// As [`run()`].
pub fn offline(args: &Args) -> Option<anyhow::Result<Ending>> {
    match &args.task {
        Some(Task::Merge(args)) => Some(merging::merge(args).map(|document| verdict(&document))),
        _ => None,
    }
}

async fn single(
    args: &RunArgs,
    slo_ms: u64,
    metrics: Option<LoadMetrics>,
    shutdown: &Shutdown,
) -> anyhow::Result<Ending> {
    let schedule = args.arrivals.schedule()?;
    let targets = args.request.targets(&args.urls)?;
    let transport = args.request.transport(&targets)?;
    let length = match args.arrivals.schedule {
        Some(_) => schedule.length(),
        None => args.arrivals.length.get(),
    };
    let pace = match args.closed {
        None => Pace::Open { schedule, max_in_flight: at_least_one(args.request.max_in_flight.get()) },
        Some(users) => Pace::Closed {
            users: at_least_one(users.get()),
            length,
            schedule: args.paced.then_some(schedule),
        },
    };
    let plan = Plan { pace, timeout: args.request.timeout.get(), slo: Duration::from_millis(slo_ms) };
    let live = Live::new(plan.slo, metrics);
    let running = run::start(plan, transport.clone(), run::control(shutdown), live.clone());
    let measured = progress::watch(running, &live, length, "").await?;
    let urls: Vec<String> = args.urls.iter().map(ToString::to_string).collect();
    let pace = match args.closed {
        None => args.arrivals.words(),
        Some(users) if args.paced => format!("{} --closed {users} --paced", args.arrivals.words()),
        Some(users) => format!("--closed {users} --for {}", args.arrivals.length),
    };
    let check = args.check.as_ref().map(|checks| format!(" --check '{checks}'")).unwrap_or_default();
    let (urls, asked, slo) = (urls.join(" "), args.request.words(), args.objective_words());
    let command = format!("lab load {urls} {pace}{asked}{slo}{check}");
    let checks = args.check.as_ref().map(|checks| checks.evaluate(&measured)).unwrap_or_default();
    let document = Document::new(command, slo_ms, transport.connections(), checks, measured);
    let text = args.output.write_files(&Forms {
        text: &|| table::text(&document),
        json: &|| document.json(),
        csv: &|| Ok(csv::text(&document.measured)),
        html: &|| page::html(&document),
    })?;
    let printed = print_until_stopped(&text, shutdown.stopping(), shutdown.aborted()).await;
    verdict(&document).once_printed(printed, shutdown)
}

/// What a result makes of the process's end: nothing answered is a failure, like a check that did not hold.
fn verdict(document: &Document) -> Ending {
    let held = document.checks.iter().all(|finding| finding.held);
    if document.measured.answered() > 0 && held { Ending::Done } else { Ending::Failed }
}
