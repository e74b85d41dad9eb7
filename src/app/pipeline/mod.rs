//! `lab pipeline`: runs the auto-scaling pipeline.

mod args;
mod jobs;
pub mod simulate;

use std::{io::IsTerminal as _, time::Duration};

use anyhow::Context as _;

use self::{
    args::{JobArgs, LogArgs},
    jobs::{Jobs, JobsReport, Tally},
};
use super::{
    args::{DrainMs, ServerArgs},
    ending::Ending,
    output::JsonArg,
    server::{Process, Server},
    status_line::StatusLine,
};
use crate::{
    config::{Allowed, ListenAddr, Misfit, SeedArg, Span},
    document,
    output::{self, FLUSH_LIMIT, Writer},
    pipeline::{
        self, Journal, Load, Pipeline, PipelineEnd, PipelineStatistics, Rate, Runtime, Service, virtual_time,
    },
    shutdown::Shutdown,
    telemetry::{self, Telemetry},
    web::{self, Runnable as _},
};

pub(super) use self::args::service;

/// How long open connections may still take after the pipeline has ended.
const SERVER_STOP_LIMIT: Duration = Duration::from_secs(2);

/// The subcommands of `lab pipeline`.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Compare the scaling policies under traces of load, in virtual time
    Simulate(Box<simulate::Args>),
}

/// The arguments of `lab pipeline`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// The command; without one, run the pipeline
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Print every log line, also on a terminal
    #[arg(long, help_heading = "Output", conflicts_with = "quiet")]
    pub verbose: bool,
    /// Print only the final statistics
    #[arg(long, help_heading = "Output")]
    pub quiet: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub json: JsonArg,
    /// Stop after this time; unset: at a signal
    #[arg(long, value_name = Span::ALLOWED, help_heading = "Run")]
    pub duration: Option<Span>,
    /// Run in virtual time, as fast as the machine can: the log goes only to stdout, and the same seed prints the
    /// same bytes
    #[arg(long = "virtual", requires = "duration", conflicts_with = "jobs", help_heading = "Run")]
    pub virtual_time: bool,
    /// The address of its status server
    #[arg(long, env = "PIPELINE_ADDR", default_value = "127.0.0.1:8084", value_name = ListenAddr::ALLOWED)]
    pub addr: ListenAddr,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub pipeline: pipeline::Config,
    #[command(flatten, next_help_heading = "Pipeline")]
    #[allow(missing_docs)]
    pub seed: SeedArg,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub work: JobArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub log: LogArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub server: ServerArgs,
    /// After a stop signal: the time limit of the whole shutdown; unset: until the backlog is done
    #[arg(long, env = "LAB_DRAIN_MS", value_name = DrainMs::ALLOWED, help_heading = "Server")]
    pub drain_ms: Option<DrainMs>,
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
        if let Some(Command::Simulate(args)) = &self.command {
            return args.check();
        }
        if self.json.is_on_stdout() && self.work.results_on_stdout() {
            return Err(Misfit::new("--results", "-", "the path of a file, because --json uses stdout"));
        }
        self.work.check()?;
        self.pipeline.clone().settings().map(drop)
    }

    /// Whether text goes to stdout: the log, and the statistics at the end.
    fn prints_text(&self) -> bool {
        !self.json.is_on_stdout() && !self.work.results_on_stdout()
    }

    /// Whether the log goes to stdout.
    fn prints_lines(&self) -> bool {
        self.prints_text() && !self.quiet && (self.verbose || !std::io::stdout().is_terminal())
    }
}

/// Runs the pipeline until it is stopped, with a server that shows its status; then drains.
///
/// # Errors
/// When a file cannot be opened, the address cannot be bound, or the signal handlers cannot be installed.
pub async fn run(args: Args, telemetry: Telemetry) -> anyhow::Result<Ending> {
    let listener = match web::listen(args.addr.get(), "--addr (PIPELINE_ADDR)") {
        // Several runs may share a machine, and the jobs do not need the status page.
        Err(error) if args.work.jobs.is_some() => {
            tracing::warn!(%error, "continuing without the status page");
            None
        }
        listener => Some(listener?),
    };
    let results = args.json.open()?;
    let settings = args.pipeline.clone().settings()?;
    let log = args.log.open(args.prints_lines())?;
    let journal = Journal::new(log.writers.clone());
    let jobs = args.work.open(&journal)?;
    let shutdown = Shutdown::new(args.drain_ms.map(DrainMs::get), Duration::ZERO);
    let runtime = Runtime { instruments: telemetry.instruments(), journal, seed: args.seed.get() };
    let (pipeline, load, recorded, tally) = match jobs {
        None => (Pipeline::new(settings, runtime), Load::Producer, None, None),
        Some(Jobs { exec, lines, results, tally }) => {
            let pipeline = Pipeline::of_commands(settings, runtime, exec);
            (pipeline, Load::Lines(lines), Some(results), Some(tally))
        }
    };
    let service = Service::new(pipeline, shutdown.clone());
    telemetry.stops_with(&shutdown);
    shutdown.listen_for_signals().context("listening for signals")?;
    telemetry.observe_runtime();
    // Started before the server accepts requests.
    service.start_with(load, recorded).await.context("starting the pipeline")?;
    let server = match listener {
        None => None,
        Some(listener) => {
            let process =
                Process { server: &args.server, listener, telemetry: &telemetry, shutdown: shutdown.clone() };
            // The server stays open while the backlog drains, so that viewers can watch the drain.
            let http = Shutdown::new(Some(SERVER_STOP_LIMIT), Duration::ZERO);
            Some(Server::start(vec![pipeline::system(&service)], process, http).await?)
        }
    };
    if let Some(duration) = args.duration {
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            tokio::time::sleep(duration.get()).await;
            shutdown.trigger();
        });
    }
    let has_status_line = args.prints_text() && !args.quiet && !args.prints_lines();
    let status_line = has_status_line.then(|| StatusLine::start(status_line(service.clone())));
    let ended = service.ended().await.context("the run panicked")?;
    let closed = match server {
        Some(server) => server.close().await?,
        None => Ending::Done,
    };
    let writers = log.writers.clone();
    let flushing = tokio::task::spawn_blocking(move || {
        for writer in writers {
            writer.flush(FLUSH_LIMIT);
        }
    });
    flushing.await.context("writing the log")?;
    drop(status_line);
    let report = PipelineReport::of(&ended, tally.as_ref());
    let results = if ended.did_nothing() { results.without_files() } else { results }.json(&report);
    let text = || if args.prints_text() { ended.statistics.to_string() } else { String::new() };
    let printed = results.print_until_stopped(text, &shutdown).await;
    let ending = match report.ending(&ended) {
        Ending::Done => closed,
        ending => ending,
    };
    ending.once_printed(printed, &shutdown)
}

/// Runs in virtual time.
///
/// # Errors
/// When the runtime cannot be created, or writing to stdout fails.
pub fn run_in_virtual_time(args: &Args) -> anyhow::Result<Ending> {
    let results = args.json.open()?;
    let run = virtual_time::Run {
        settings: args.pipeline.clone().settings()?,
        seed: args.seed.get(),
        rate: Rate::Generator,
        length: args.duration.context("--virtual needs --duration")?.get(),
    };
    let log = if args.quiet || args.json.is_on_stdout() {
        Writer::direct("stdout", std::io::sink())
    } else {
        Writer::direct("stdout", std::io::BufWriter::new(std::io::stdout()))
    };
    let ended = run.run(log).context("running in virtual time")?;
    let report = PipelineReport::of(&ended, None);
    results.json(&report).print(|| ended.statistics.to_string())?;
    Ok(report.ending(&ended))
}

/// The result of `lab pipeline`.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(super) struct PipelineReport {
    #[serde(flatten)]
    statistics: PipelineStatistics,
    /// The user's own jobs, with `--jobs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    jobs: Option<JobsReport>,
}

document!(PipelineReport as "lab/pipeline/1");

impl PipelineReport {
    fn of(ended: &PipelineEnd, tally: Option<&Tally>) -> Self {
        Self { statistics: ended.statistics.clone(), jobs: tally.map(|tally| tally.report(ended)) }
    }

    /// Prints on stderr how the run ended, and returns the process's ending.
    fn ending(&self, ended: &PipelineEnd) -> Ending {
        if let Some(jobs) = &self.jobs {
            output::to_stderr(jobs);
        }
        match (&ended.halted, self.jobs.as_ref().and_then(JobsReport::left)) {
            (Some(why), Some(left)) => output::to_stderr(format_args!("lab: stopped: {why}; {left}")),
            (Some(why), None) => output::to_stderr(format_args!("lab: stopped: {why}")),
            (None, Some(left)) => {
                output::to_stderr(format_args!("lab: stopped before the end of --jobs: {left}"));
            }
            (None, None) => {}
        }
        let complete = ended.drained && self.jobs.as_ref().is_none_or(JobsReport::is_complete);
        if complete { Ending::Done } else { Ending::Failed }
    }
}

/// The pipeline's status in one line.
fn status_line(service: Service) -> impl FnMut() -> Option<String> {
    let begun = tokio::time::Instant::now();
    move || {
        let now = service.status();
        Some(format!(
            "{:.0} s  {}  workers {} ({} to {})  queue {}/{}  in progress {}  retrying {}  succeeded {}  failed {}",
            begun.elapsed().as_secs_f64(),
            now.state.label(),
            now.workers_present,
            now.min_workers,
            now.max_workers,
            now.ledger.queued,
            now.queue_capacity,
            now.ledger.in_progress,
            now.ledger.retrying,
            now.ledger.succeeded,
            now.ledger.permanently_failed,
        ))
    }
}
