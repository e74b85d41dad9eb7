//! The arguments of the command in addition to the pipeline's own settings.

use std::path::PathBuf;

use crate::{
    app::{Usage, args::ServeArgs},
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
    /// How many old log files to keep.
    pub LogKeepFiles: u32 = 0 to 1000
);
size!(
    /// How much of a command's output to keep.
    pub OutputLimitBytes = 0 B to 1 MB
);

/// The log file.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// The log file; its folder is created if it is missing
    #[arg(
        long,
        env = "PIPELINE_LOG_FILE",
        default_value = "./logs/pipeline.log",
        value_name = "the path of a file, or off"
    )]
    pub log_file: PathBuf,
    /// The size at which the log file is rotated
    #[arg(long, env = "PIPELINE_LOG_MAX_BYTES", default_value = "10000000", value_name = LogMaxBytes::ALLOWED)]
    pub log_max_bytes: LogMaxBytes,
    /// How many old log files to keep; NAME.1 is the newest
    #[arg(long, env = "PIPELINE_LOG_KEEP_FILES", default_value = "5", value_name = LogKeepFiles::ALLOWED)]
    pub log_keep_files: LogKeepFiles,
}

/// The open destinations of the log.
pub(super) struct Log {
    pub(super) writers: Vec<Writer>,
    _clean_up: CleanUp,
}

impl LogArgs {
    /// Opens a writer for each destination of the log.
    pub(super) fn open(&self, stdout: bool) -> anyhow::Result<Log> {
        let path = &self.log_file;
        let clean_up = CleanUp::of(path);
        let mut writers = Vec::new();
        if stdout {
            writers.push(Writer::start("stdout", Losses::InPlace, Stream::stdout()));
        }
        if path.as_os_str() != "off" {
            let file = RotatingFile::open(path, self.log_max_bytes.get(), self.log_keep_files.get())
                .map_err(|error| {
                    let path = path.display();
                    Usage(format!(
                        "--log-file={path} (PIPELINE_LOG_FILE): the file cannot be written: {error}; choose another, \
                         or off for none"
                    ))
                })?;
            writers.push(Writer::start("log_file", Losses::InPlace, file));
        }
        Ok(Log { writers, _clean_up: clean_up })
    }
}

/// The user's own jobs.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Your own jobs")]
pub struct JobArgs {
    /// Read jobs from this file of JSON lines, or from standard input (-), instead of simulating jobs
    #[arg(long, value_name = "FILE", requires = "exec")]
    pub jobs: Option<Source>,
    /// The lines of --jobs are any text, not JSON
    #[arg(long, requires = "jobs")]
    pub lines: bool,
    /// Execute this command for each job, without a shell. Within an argument, {} is replaced by the job's line (or
    /// by the content of a JSON string) and {name} by a field; the line is also the command's standard input. Exit
    /// code 0 is success
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
    /// Continue with an existing results file: skip the jobs in it
    #[arg(long, requires = "jobs")]
    pub resume: bool,
    /// With --resume: run the jobs again that failed permanently
    #[arg(long, requires = "resume")]
    pub retry_failed: bool,
    /// Start no more jobs once one has failed permanently
    #[arg(long, requires = "jobs")]
    pub stop_on_failure: bool,
    /// The time limit of a command, after which it is killed
    #[arg(long, env = "PIPELINE_JOB_TIMEOUT", default_value = "60s", value_name = Interval::ALLOWED)]
    pub job_timeout: Interval,
    /// How much of a command's stdout and stderr its result keeps
    #[arg(long, env = "PIPELINE_OUTPUT_LIMIT_BYTES", default_value = "4096", value_name = OutputLimitBytes::ALLOWED)]
    pub output_limit_bytes: OutputLimitBytes,
}

/// The pipeline inside `lab`: it is idle, and only the page shows its log.
pub(in crate::app) fn service(
    config: pipeline::Config,
    args: &ServeArgs,
    telemetry: &Telemetry,
    shutdown: &Shutdown,
) -> anyhow::Result<Service> {
    let runtime = Runtime {
        instruments: telemetry.instruments(),
        journal: Journal::new(Vec::new()),
        seed: args.lab.seed.get(),
    };
    Ok(Service::new(Pipeline::new(config.settings()?, runtime), shutdown.clone()))
}
