//! `lab pipeline`: the auto-scaling pipeline as a command of its own.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;

use super::{
    args::{DrainMs, ServeArgs, ServerArgs},
    ending::Ending,
    house::{House, Process},
    pipeline_simulate,
};
use crate::{
    bounded,
    config::{Allowed, ListenAddr, Misfit, SeedArg, Span},
    exec::{Guard, Limits, Template, stand_guard},
    output::{self, FLUSH_LIMIT, Losses, RotatingFile, Stream, Writer},
    pipeline::{
        self, Ended, Exec, Intake, Journal, Ledger, Lines, Load, Pipeline, Rate, Recorded, ResultsFile,
        Runtime, Service, Source, config::Interval, virtual_time,
    },
    shutdown::Shutdown,
    size,
    telemetry::{self, Telemetry},
};

/// The command that the guard process is started with.
const GUARD: &str = "pipeline-guard";
/// How long connections that are open when the pipeline has ended may take.
const DOOR_LIMIT: Duration = Duration::from_secs(2);

size!(
    /// The size at which a log file is rotated.
    pub LogMaxBytes = 1 kB to 10 GB
);
bounded!(
    /// Older log files that are kept.
    pub LogKeepFiles: u32 = 0 to 1000
);
size!(
    /// How much of an output is kept.
    pub OutputLimitBytes = 0 B to 1 MB
);

/// Where the log goes beside stdout.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// The log's file; its folder is made where it is missing
    #[arg(
        long,
        env = "PIPELINE_LOG_FILE",
        default_value = "./logs/pipeline.log",
        value_name = "the path of a file, or off"
    )]
    pub log_file: PathBuf,
    /// The size at which the log's file is rotated
    #[arg(long, env = "PIPELINE_LOG_MAX_BYTES", default_value = "10000000", value_name = LogMaxBytes::ALLOWED)]
    pub log_max_bytes: LogMaxBytes,
    /// Older files that are kept: NAME.1 is the youngest
    #[arg(long, env = "PIPELINE_LOG_KEEP_FILES", default_value = "5", value_name = LogKeepFiles::ALLOWED)]
    pub log_keep_files: LogKeepFiles,
}

impl LogArgs {
    /// A writer for each place that the log goes to.
    fn writers(&self, stdout: bool) -> anyhow::Result<Vec<Writer>> {
        let path = &self.log_file;
        let mut writers = Vec::new();
        if stdout {
            writers.push(Writer::start("stdout", Losses::InPlace, Stream::stdout()));
        }
        if path.as_os_str() != "off" {
            let file = RotatingFile::open(path, self.log_max_bytes.get(), self.log_keep_files.get())
                .with_context(|| format!("PIPELINE_LOG_FILE: opening {}", path.display()))?;
            writers.push(Writer::start("log_file", Losses::InPlace, file));
        }
        Ok(writers)
    }
}

/// Jobs of one's own.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Real work")]
pub struct JobArgs {
    /// Read jobs from this file of JSON lines, or from standard input (-), instead of making them up
    #[arg(long, value_name = "FILE", requires = "exec")]
    pub jobs: Option<Source>,
    /// Execute this command for each job, without a shell: {} is the job's line as one argument; the line
    /// also goes to its standard input; exit code 0 is success
    #[arg(long, value_name = Template::ALLOWED, requires = "jobs")]
    pub exec: Option<Template>,
    /// Append each job's result to this file of JSON lines
    #[arg(
        long,
        env = "PIPELINE_RESULTS",
        default_value = "results.jsonl",
        value_name = "the path of a file"
    )]
    pub results: PathBuf,
    /// Go on with a results file: skip the jobs that it holds
    #[arg(long, requires = "jobs")]
    pub resume: bool,
    /// How long a command may take before it is killed
    #[arg(long, env = "PIPELINE_JOB_TIMEOUT", default_value = "60s", value_name = Interval::ALLOWED)]
    pub job_timeout: Interval,
    /// How much of each output of a command is kept in its result
    #[arg(long, env = "PIPELINE_OUTPUT_LIMIT_BYTES", default_value = "4096", value_name = OutputLimitBytes::ALLOWED)]
    pub output_limit_bytes: OutputLimitBytes,
}

/// What can be done with the pipeline beside running it.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum What {
    /// Run every scaling policy under traces of load, in virtual time, and compare
    Simulate(Box<pipeline_simulate::Args>),
}

/// What `lab pipeline` takes.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// What to do; without a command: run it
    #[command(subcommand)]
    pub what: Option<What>,
    /// The balance as one JSON object at the end, to a file or instead of the log lines on stdout
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, help_heading = "Output")]
    pub json: Option<Option<PathBuf>>,
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
    /// Whether stdout holds JSON and nothing else.
    fn prints_json(&self) -> bool {
        matches!(self.json, Some(None))
    }

    /// What the values allow together.
    ///
    /// # Errors
    /// The first value that another one does not allow.
    pub fn check(&self) -> Result<(), Misfit> {
        match &self.what {
            Some(What::Simulate(args)) => args.check(),
            None => self.pipeline.clone().settings().map(drop),
        }
    }
}

/// The pipeline's settings as `lab` takes them: each flag with `pipeline-` before its name, so that it
/// cannot be another system's.
#[derive(Debug, Clone)]
pub struct InLab(pub pipeline::Config);

impl clap::FromArgMatches for InLab {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        pipeline::Config::from_arg_matches(matches).map(Self)
    }
    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl clap::Args for InLab {
    fn augment_args(command: clap::Command) -> clap::Command {
        let own = pipeline::Config::augment_args(clap::Command::new("pipeline"));
        let prefixed = own.get_arguments().map(|argument| {
            let long = argument.get_long().map(|long| format!("pipeline-{long}"));
            argument.clone().long(long.unwrap_or_default())
        });
        command.args(prefixed)
    }
    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl InLab {
    /// The pipeline inside `lab`: idle, its log kept for the page only.
    pub(super) fn service(
        self,
        args: &ServeArgs,
        telemetry: &Telemetry,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Service> {
        let runtime = Runtime {
            instruments: telemetry.instruments(),
            journal: Journal::new(Vec::new()),
            seed: args.lab.seed.get(),
        };
        Ok(Service::new(Pipeline::new(self.0.settings()?, runtime), shutdown.clone()))
    }
}

/// Runs the pipeline until it is told to stop, drains it, and answers for its status meanwhile.
///
/// # Errors
/// When the log's file or the address cannot be taken, or the process cannot hear signals.
pub async fn run(args: Args, telemetry: Telemetry) -> anyhow::Result<Ending> {
    let shutdown = Shutdown::new(args.drain_ms.map(DrainMs::get), Duration::ZERO);
    let writers = args.log.writers(!args.prints_json())?;
    let journal = Journal::new(writers.clone());
    let runtime =
        Runtime { instruments: telemetry.instruments(), journal: journal.clone(), seed: args.seed.get() };
    let settings = args.pipeline.clone().settings()?;
    let jobs = args.work.open(&journal)?;
    let (pipeline, load, results, mut done) = match jobs {
        None => (Pipeline::new(settings, runtime), Load::Producer, None, None),
        Some(Jobs { exec, lines, results, done }) => {
            let pipeline = Pipeline::of_commands(settings, runtime, exec);
            (pipeline, Load::Lines(lines), Some(results), Some(done))
        }
    };
    let service = Service::new(pipeline, shutdown.clone());
    shutdown.listen_for_signals().context("listening for signals")?;
    telemetry.observe_runtime();
    let process = Process {
        server: &args.server,
        addr: args.addr,
        addr_variable: "PIPELINE_ADDR",
        telemetry: &telemetry,
        shutdown: shutdown.clone(),
    };
    // Open while the backlog drains, so that the drain can be watched.
    let door = Shutdown::new(Some(DOOR_LIMIT), Duration::ZERO);
    let house = match House::open(vec![pipeline::system(&service)], &process, door).await {
        Ok(house) => Some(house),
        // Several runs may work side by side; their work does not depend on being looked at.
        Err(error) if done.is_some() => {
            tracing::warn!(error = format!("{error:#}"), "this run goes on without its status page");
            None
        }
        Err(error) => return Err(error),
    };
    if let Some(duration) = args.duration {
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            tokio::time::sleep(duration.get()).await;
            shutdown.trigger();
        });
    }
    service.start_with(load, results).await.context("starting the pipeline")?;
    let ended = service.ended().await.context("the run broke")?;
    let closed = match house {
        Some(house) => house.close().await?,
        None => Ending::Done,
    };
    let flushing = tokio::task::spawn_blocking(move || {
        for writer in writers {
            writer.flush(FLUSH_LIMIT);
        }
    });
    flushing.await.context("writing the log")?;
    if let Some(done) = &mut done {
        done.unrecorded = ended.collected.unrecorded;
    }
    let printed = match report(&args, &ended, done.as_ref())? {
        Some(text) => output::print_until_stopped(&text, shutdown.stopping(), shutdown.aborted()).await,
        None => Ok(()),
    };
    let ending = match ending(&ended, done.as_ref()) {
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
    let run = virtual_time::Run {
        settings: args.pipeline.clone().settings()?,
        seed: args.seed.get(),
        rate: Rate::Generator,
        length: args.duration.context("--virtual needs --duration")?.get(),
    };
    let log = if args.prints_json() {
        Writer::direct("stdout", std::io::sink())
    } else {
        Writer::direct("stdout", std::io::BufWriter::new(std::io::stdout()))
    };
    let ended = run.run(log).context("running in virtual time")?;
    if let Some(text) = report(args, &ended, None)? {
        output::print(&text)?;
    }
    Ok(ending(&ended, None))
}

/// Writes the file that `--json` names; without a name, returns what goes to stdout.
fn report(args: &Args, ended: &Ended, done: Option<&Done>) -> anyhow::Result<Option<String>> {
    let Some(to) = &args.json else {
        return Ok(None);
    };
    let mut report = serde_json::to_value(ended.ledger)?;
    if let (Some(done), Some(terms)) = (done, report.as_object_mut()) {
        terms.insert("jobs".to_owned(), done.json(&ended.ledger));
    }
    let Some(path) = to else {
        return Ok(Some(report.to_string()));
    };
    std::fs::write(path, format!("{report}\n"))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(None)
}

/// Says on stderr what came of a run, and what that makes of the process's end.
fn ending(ended: &Ended, done: Option<&Done>) -> Ending {
    let ledger = ended.ledger;
    if let Some(done) = done {
        output::to_stderr(done.text(&ledger));
    }
    if !ended.drained {
        return Ending::Failed;
    }
    let failed = done.is_some_and(|done| done.failed(&ledger) > 0 || done.unrecorded > 0);
    if failed { Ending::Failed } else { Ending::Done }
}

/// Everything that jobs of one's own take.
struct Jobs {
    exec: Exec,
    lines: Lines,
    results: ResultsFile,
    done: Done,
}

/// What came of jobs of one's own, over all runs into the same results file.
struct Done {
    before: Recorded,
    intake: Arc<Intake>,
    unrecorded: u64,
}

impl JobArgs {
    /// Opens what is read and written, and starts the guard; nothing when jobs are made up.
    fn open(&self, journal: &Journal) -> anyhow::Result<Option<Jobs>> {
        let (Some(source), Some(template)) = (&self.jobs, &self.exec) else {
            return Ok(None);
        };
        let path = &self.results;
        let (results, mut before) =
            ResultsFile::open(path, self.resume).with_context(|| format!("results in {}", path.display()))?;
        if before.torn_bytes > 0 {
            let torn = before.torn_bytes;
            journal.line(format_args!("results: a torn last line of {torn} bytes was cut off"));
        }
        let recorded = std::mem::take(&mut before.jobs);
        let lines = Lines::open(source, recorded).context("reading the jobs")?;
        let exec = Exec {
            template: template.clone(),
            limits: Limits {
                time: self.job_timeout.get(),
                output_bytes: usize::try_from(self.output_limit_bytes.get())?,
            },
            guard: Guard::start(&[GUARD]).context("starting the guard process")?,
        };
        let done = Done { before, intake: lines.intake.clone(), unrecorded: 0 };
        Ok(Some(Jobs { exec, lines, results, done }))
    }
}

impl Done {
    /// Jobs that failed for good, in earlier runs too.
    fn failed(&self, ledger: &Ledger) -> u64 {
        self.before.failed + ledger.permanently_failed
    }

    fn text(&self, ledger: &Ledger) -> String {
        let mut text = format!(
            "jobs: {} read, {} succeeded, {} failed for good",
            self.intake.read(),
            ledger.succeeded,
            ledger.permanently_failed
        );
        let rest = [
            (self.intake.skipped(), "were recorded before"),
            (self.before.failed, "of those recorded had failed"),
            (self.intake.duplicates(), "were read twice"),
            (self.unrecorded, "could not be recorded"),
        ];
        for (count, what) in rest.into_iter().filter(|(count, _)| *count > 0) {
            text += &format!("; {count} {what}");
        }
        text
    }

    fn json(&self, ledger: &Ledger) -> serde_json::Value {
        serde_json::json!({
            "read": self.intake.read(),
            "skipped": self.intake.skipped(),
            "duplicates": self.intake.duplicates(),
            "failed": self.failed(ledger),
            "unrecorded": self.unrecorded,
        })
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
