//! `lab pipeline`: the auto-scaling pipeline as a command of its own.

mod args;
mod jobs;
pub mod simulate;

use std::{io::IsTerminal as _, time::Duration};

use anyhow::Context as _;

use self::{
    args::{JobArgs, LogArgs},
    jobs::{Done, Jobs, JobsReport},
};
use super::{
    args::{DrainMs, ServerArgs},
    ending::Ending,
    house::{House, Process},
    output::JsonArg,
    status_line::StatusLine,
};
use crate::{
    config::{Allowed, ListenAddr, Misfit, SeedArg, Span},
    document,
    exec::stand_guard,
    output::{self, FLUSH_LIMIT, Writer},
    pipeline::{
        self, Journal, Load, Pipeline, PipelineEnd, PipelineStatistics, Rate, Runtime, Service, virtual_time,
    },
    shutdown::Shutdown,
    telemetry::{self, Telemetry},
    web::{self, Runnable as _},
};

pub use self::args::InLab;

/// How long connections that are open when the pipeline has ended may take.
const DOOR_LIMIT: Duration = Duration::from_secs(2);

/// What can be done with the pipeline beside running it.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum What {
    /// Run every scaling policy under traces of load, in virtual time, and compare
    Simulate(Box<simulate::Args>),
}

/// What `lab pipeline` takes.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// What to do; without a command: run it
    #[command(subcommand)]
    pub what: Option<What>,
    /// The log line by line, on a terminal too
    #[arg(long, help_heading = "Output", conflicts_with = "quiet")]
    pub verbose: bool,
    /// The final statistics only
    #[arg(long, help_heading = "Output")]
    pub quiet: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub json: JsonArg,
    /// Stop after so long; unset: at a signal
    #[arg(long, value_name = Span::ALLOWED, help_heading = "Run")]
    pub duration: Option<Span>,
    /// Run in virtual time, as fast as it can be computed: the log on stdout only, and the same bytes for the
    /// same seed
    #[arg(long = "virtual", requires = "duration", conflicts_with = "jobs", help_heading = "Run")]
    pub virtual_time: bool,
    /// The address that answers for its status
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
    /// After a stop signal: how long the whole stop may take; unset: as long as the backlog takes
    #[arg(long, env = "LAB_DRAIN_MS", value_name = DrainMs::ALLOWED, help_heading = "Server")]
    pub drain_ms: Option<DrainMs>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub telemetry: telemetry::Config,
}

impl Args {
    /// What the values allow together.
    ///
    /// # Errors
    /// The first value that another one does not allow.
    pub fn check(&self) -> Result<(), Misfit> {
        if let Some(What::Simulate(args)) = &self.what {
            return args.check();
        }
        if self.json.is_on_stdout() && self.work.results_on_stdout() {
            return Err(Misfit::new(
                "--results",
                "-",
                "with --json, which has stdout for itself, the path of a file",
            ));
        }
        self.work.check()?;
        self.pipeline.clone().settings().map(drop)
    }

    /// Whether stdout is for people: for the log, and the statistics at the end.
    fn prints_text(&self) -> bool {
        !self.json.is_on_stdout() && !self.work.results_on_stdout()
    }

    /// Whether the log goes to stdout, line by line.
    fn prints_lines(&self) -> bool {
        self.prints_text() && !self.quiet && (self.verbose || !std::io::stdout().is_terminal())
    }
}

/// Runs the pipeline until it is told to stop, drains it, and answers for its status meanwhile.
///
/// # Errors
/// When a file or the address cannot be taken, or the process cannot hear signals.
pub async fn run(args: Args, telemetry: Telemetry) -> anyhow::Result<Ending> {
    let listener = match web::listen(args.addr.get(), "--addr (PIPELINE_ADDR)") {
        // Several runs may work side by side; their work does not depend on being looked at.
        Err(error) if args.work.jobs.is_some() => {
            tracing::warn!(%error, "this run goes on without its status page");
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
    let (pipeline, load, recorded, done) = match jobs {
        None => (Pipeline::new(settings, runtime), Load::Producer, None, None),
        Some(Jobs { exec, lines, results, done }) => {
            let pipeline = Pipeline::of_commands(settings, runtime, exec);
            (pipeline, Load::Lines(lines), Some(results), Some(done))
        }
    };
    let service = Service::new(pipeline, shutdown.clone());
    telemetry.stops_with(&shutdown);
    shutdown.listen_for_signals().context("listening for signals")?;
    telemetry.observe_runtime();
    // It runs before anybody is answered.
    service.start_with(load, recorded).await.context("starting the pipeline")?;
    let house = match listener {
        None => None,
        Some(listener) => {
            let process =
                Process { server: &args.server, listener, telemetry: &telemetry, shutdown: shutdown.clone() };
            // Open while the backlog drains, so that the drain can be watched.
            let door = Shutdown::new(Some(DOOR_LIMIT), Duration::ZERO);
            Some(House::open(vec![pipeline::system(&service)], process, door).await?)
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
    let ended = service.ended().await.context("the run broke")?;
    let closed = match house {
        Some(house) => house.close().await?,
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
    let report = PipelineReport::of(&ended, done.as_ref());
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
/// When there can be no runtime, or stdout takes no more.
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
    /// With `--jobs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    jobs: Option<JobsReport>,
}

document!(PipelineReport as "lab/pipeline/1");

impl PipelineReport {
    fn of(ended: &PipelineEnd, done: Option<&Done>) -> Self {
        Self { statistics: ended.statistics.clone(), jobs: done.map(|done| done.report(ended)) }
    }

    /// Says on stderr what came of a run, and what that makes of the process's end.
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
        let all_is_well = ended.drained && self.jobs.as_ref().is_none_or(JobsReport::all_is_well);
        if all_is_well { Ending::Done } else { Ending::Failed }
    }
}

/// What the pipeline shows of itself in one line.
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

/// Kills what commands started, once `lab pipeline` has ended however; it listens to no signal meanwhile.
///
/// # Errors
/// When standard input cannot be read, or signals not be caught.
pub async fn guard() -> anyhow::Result<Ending> {
    Shutdown::new(None, Duration::ZERO).listen_for_signals().context("catching signals")?;
    tokio::task::spawn_blocking(stand_guard).await?.context("standing guard")?;
    Ok(Ending::Done)
}
