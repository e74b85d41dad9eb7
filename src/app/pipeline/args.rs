//! What the command takes beside the pipeline's own settings.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::{
    app::args::ServeArgs,
    bounded,
    config::Allowed,
    exec::Template,
    output::{CleanUp, Losses, RotatingFile, Stream, Writer},
    pipeline::{self, Journal, Pipeline, Runtime, Service, Source, config::Interval},
    shutdown::Shutdown,
    size,
    telemetry::Telemetry,
};

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

/// The log's places, open.
pub(super) struct Log {
    pub(super) writers: Vec<Writer>,
    _clean_up: CleanUp,
}

impl LogArgs {
    /// Opens a writer for each place that the log goes to.
    pub(super) fn open(&self, stdout: bool) -> anyhow::Result<Log> {
        let path = &self.log_file;
        let clean_up = CleanUp::of(path);
        let mut writers = Vec::new();
        if stdout {
            writers.push(Writer::start("stdout", Losses::InPlace, Stream::stdout()));
        }
        if path.as_os_str() != "off" {
            let file = RotatingFile::open(path, self.log_max_bytes.get(), self.log_keep_files.get())
                .with_context(|| format!("--log-file={} (PIPELINE_LOG_FILE)", path.display()))?;
            writers.push(Writer::start("log_file", Losses::InPlace, file));
        }
        Ok(Log { writers, _clean_up: clean_up })
    }
}

/// Jobs of your own.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Real work")]
pub struct JobArgs {
    /// Read jobs from this file of JSON lines, or from standard input (-), instead of making them up
    #[arg(long, value_name = "FILE", requires = "exec")]
    pub jobs: Option<Source>,
    /// Lines are any text, not JSON
    #[arg(long, requires = "jobs")]
    pub lines: bool,
    /// Execute this command for each job, without a shell: {} is the job's line (of a JSON string its content)
    /// and {name} a field of it, within one argument; the line also goes to its standard input; exit code 0 is
    /// success
    #[arg(long, value_name = Template::ALLOWED, requires = "jobs")]
    pub exec: Option<Template>,
    /// Append each job's result to this file of JSON lines; - is standard output
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
    /// With --resume: run those again that failed for good
    #[arg(long, requires = "resume")]
    pub retry_failed: bool,
    /// Begin no more jobs once one has failed for good
    #[arg(long, requires = "jobs")]
    pub stop_on_failure: bool,
    /// How long a command may take before it is killed
    #[arg(long, env = "PIPELINE_JOB_TIMEOUT", default_value = "60s", value_name = Interval::ALLOWED)]
    pub job_timeout: Interval,
    /// How much of each output of a command is kept in its result
    #[arg(long, env = "PIPELINE_OUTPUT_LIMIT_BYTES", default_value = "4096", value_name = OutputLimitBytes::ALLOWED)]
    pub output_limit_bytes: OutputLimitBytes,
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
    pub(in crate::app) fn service(
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
