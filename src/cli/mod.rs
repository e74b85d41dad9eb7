//! The command line: one variant per command, each holding that room's configuration.
//!
//! ```text
//!   default  <  file (--config, LAB_CONFIG)  <  .env  <  environment  <  flag
//! ```
//!
//! clap handles names, variables, defaults and help. Two steps add the layers that it does not know: the variables
//! of `.env` are set in the process's environment unless they are set already, and the file's values become the
//! arguments' defaults. Each value is parsed once, into a type that cannot hold an invalid value. The phrase that
//! describes the allowed values is the `value_name` in the derive; `--help` and the error messages print it.

mod current;
mod help;
mod layers;
mod refusal;

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use clap::{Command, CommandFactory as _, FromArgMatches as _, Parser};

use self::{
    current::{current, others},
    help::{phrases, with_allowed_values},
    layers::{config_path, ignore_empty_variables, load_dotenv, read_file, with_defaults},
    refusal::{conflict, stop},
};
use crate::{app, config::Misfit, output, telemetry};

pub use refusal::Stop;

/// The lab's command line.
#[derive(Debug, Parser)]
#[command(name = "lab", version, about = ABOUT, after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Read settings from this file: TOML with the variable names in lower case as keys, or the pipeline's YAML
    #[arg(long, env = "LAB_CONFIG", global = true, value_name = "FILE")]
    pub config: Option<std::path::PathBuf>,
    /// The command; without one, serve the lab with all its systems
    #[command(subcommand)]
    pub command: Option<Task>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub serve: app::ServeArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub whole: app::WholeArgs,
}

const ABOUT: &str = "A concurrency lab: how should a service treat a slow dependency? Measured, not guessed.\n\n\
Without a command it serves the lab on http://127.0.0.1:8080 with nothing else installed.";
const AFTER_HELP: &str = "`lab` without a command also takes the options that `lab serve --help` lists, and those of the pipeline and the queue as --pipeline-NAME and --queue-NAME.\n\
Documentation: docs/ in the source, and /docs on a running lab.";

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Task {
    /// Serve the HTTP lab and the streams
    Serve(app::ServeArgs),
    /// Run the stream orchestrator
    ///
    /// Many streams, one bounded buffer, a pool of workers.
    Streams(Box<app::StreamsArgs>),
    /// Serve one simulated service in its own process
    Service(app::ServiceArgs),
    /// Run the auto-scaling pipeline, or your own jobs
    Pipeline(app::pipeline::Args),
    /// Run a part of the reliable queue
    ///
    /// Tasks survive the death of every process. `lab` has all of it under /queue.
    Queue(app::queue::Args),
    /// Started by commands that run other programs: kills what those left behind when the command ends
    #[command(hide = true)]
    Guard,
    /// Print the current settings and the source of each
    Config(ConfigArgs),
    /// Check that a running server's counts add up
    ///
    /// Exit code 1 if it does not balance, 3 if no server answers.
    Audit(app::audit::Args),
    /// Check the health of a running server
    ///
    /// Exit code 1 if it is not healthy, 3 if no server answers. The container's health check runs it.
    Health(app::health::Args),
    /// Put load on any HTTP server and measure its latency
    ///
    /// Open loop: requests start on schedule, and latency counts from the scheduled start.
    Load(Box<app::load::Args>),
    /// Measure the overhead of the lab itself
    Bench(app::bench::Args),
    /// Print the JSON Schemas of the documents that the lab writes
    ///
    /// With NAME: the schema of that document. Without it: the list of names.
    Schema(app::schema::Args),
    /// Print a completion script for a shell
    Completions(CompletionArgs),
}

/// The arguments of `lab config`: those of `lab`, and the output format.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct ConfigArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub json: app::JsonArg,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub serve: app::ServeArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub whole: Box<app::WholeArgs>,
}

/// The arguments of `lab completions`.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct CompletionArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// The parsed command line, and the settings from all sources.
#[derive(Debug)]
pub struct Parsed {
    /// The checked arguments.
    pub cli: Cli,
    /// The settings of the command, each with its source.
    pub settings: Vec<app::CurrentSetting>,
}

/// Parses the arguments, with settings from `./.env`, the environment and the configuration file.
///
/// # Errors
/// [`Stop`] if no command should run.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, Stop> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let dotenv = load_dotenv(Path::new(".env")).map_err(Stop::Refuse)?;
    telemetry::check_log_filter().map_err(|misfit| Stop::Refuse(misfit.to_string()))?;
    let command = ignore_empty_variables(Cli::command());
    let file = match config_path(&command, &arguments) {
        Some(path) => read_file(Path::new(&path), &command).map_err(Stop::Refuse)?,
        None => BTreeMap::new(),
    };
    let phrases = phrases(&command);
    let command = with_allowed_values(with_defaults(command, &file));
    let matches = command
        .clone()
        .try_get_matches_from(&arguments)
        .map_err(|error| stop(error, (&command, &arguments), &phrases, &file, &dotenv))?;
    let cli = Cli::from_arg_matches(&matches)
        .map_err(|error| stop(error, (&command, &arguments), &phrases, &file, &dotenv))?;
    let mut settings = current(&Cli::command(), &matches, &file, &dotenv);
    if matches!(cli.command, Some(Task::Config(_))) {
        others(&Cli::command(), &file, &dotenv, &mut settings);
    }
    match cli.check() {
        Ok(()) => Ok(Parsed { cli, settings }),
        Err(misfit) => {
            let named = matches.subcommand_name().and_then(|name| command.find_subcommand(name));
            Err(Stop::Refuse(conflict(&misfit, named.unwrap_or(&command), &settings)))
        }
    }
}

impl Cli {
    /// Checks that the settings of the selected command do not conflict with each other.
    fn check(&self) -> Result<(), Misfit> {
        let lab = |serve: &app::ServeArgs, whole: &app::WholeArgs| {
            serve.streams.config()?;
            whole.check()
        };
        match &self.command {
            None => lab(&self.serve, &self.whole),
            Some(Task::Pipeline(args)) => args.check(),
            Some(Task::Serve(args)) => args.streams.config().map(drop),
            Some(Task::Config(args)) => lab(&args.serve, &args.whole),
            Some(Task::Queue(args)) => args.check(),
            Some(Task::Streams(args)) => args.check(),
            Some(_) => Ok(()),
        }
    }
}

/// The clap command with its final help texts, for help, completions and tests.
pub fn command() -> Command {
    with_allowed_values(Cli::command())
}

/// Prints a completion script.
///
/// # Errors
/// When writing to stdout fails.
pub fn print_completions(shell: clap_complete::Shell) -> anyhow::Result<app::Ending> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "lab", &mut script);
    output::print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(app::Ending::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_passes_claps_own_checks() {
        Cli::command().debug_assert();
        command().debug_assert();
    }

    #[test]
    fn variables_that_the_help_hides_are_secret_everywhere() {
        fn check(command: &Command) {
            for argument in command.get_arguments() {
                if let Some(name) = argument.get_env().and_then(|name| name.to_str()) {
                    let is_secret = crate::config::SECRETS.contains(&name);
                    assert_eq!(argument.is_hide_env_values_set(), is_secret, "{name}");
                }
            }
            command.get_subcommands().for_each(check);
        }
        check(&command());
    }

    #[test]
    fn every_settings_help_names_its_variable_and_allowed_values() {
        fn check(command: &Command, missing: &mut Vec<String>) {
            for argument in command.get_arguments().filter(|argument| argument.get_env().is_some()) {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                if !help.contains("[allowed: ") {
                    missing.push(argument.get_id().to_string());
                }
            }
            command.get_subcommands().for_each(|subcommand| check(subcommand, missing));
        }
        let mut missing = Vec::new();
        check(&command(), &mut missing);
        missing.retain(|id| id != "config");
        assert!(missing.is_empty(), "{missing:?}");
    }
}
