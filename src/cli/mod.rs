//! The command line: one variant per command, each holding that room's configuration.
//!
//! ```text
//!   default  <  file (--config, LAB_CONFIG)  <  .env  <  environment  <  flag
//! ```
//!
//! clap knows names, variables, defaults and help; the layers below the environment are put under it:
//! `.env` is loaded into the process's environment where a name is not set yet, and the file's values
//! become defaults. A value is parsed once, into a type that cannot hold a bad one; the phrase that
//! says what such a type allows is the value's name in the derive; `--help` and every refusal show it.

mod current;
mod help;
mod layers;
mod refusal;

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use clap::{Command, CommandFactory as _, FromArgMatches as _, Parser};

use self::{
    current::{current, others},
    help::{dress, phrases},
    layers::{config_path, forget_empty, load_dotenv, read_file, with_defaults},
    refusal::{misfitting, stop},
};
use crate::{app, config::Misfit, output};

pub use refusal::Stop;

/// The lab's command line.
#[derive(Debug, Parser)]
#[command(name = "lab", version, about = ABOUT, after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Read settings from this file: TOML, its keys the variables' names in lower case; or the pipeline's YAML
    #[arg(long, env = "LAB_CONFIG", global = true, value_name = "FILE")]
    pub config: Option<std::path::PathBuf>,
    /// What to do; without a command: the lab with all its systems
    #[command(subcommand)]
    pub command: Option<Task>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub serve: app::ServeArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub pipeline: app::pipeline::InLab,
}

const ABOUT: &str = "A concurrency lab: how should a service treat a slow dependency? Measured, not guessed.\n\n\
Without a command it serves the lab on http://127.0.0.1:8080 with nothing else installed.";
const AFTER_HELP: &str = "`lab` alone also takes what `lab serve --help` lists, and the pipeline's flags as --pipeline-NAME.\n\
Pages: docs/ in the source, and /docs of a running lab.";

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Task {
    /// Serve the HTTP lab and the streams
    Serve(app::ServeArgs),
    /// Run the stream orchestrator
    ///
    /// Many streams, one bounded buffer, a pool of workers.
    Streams(Box<app::StreamsArgs>),
    /// Serve a simulated service as a process of its own
    Service(app::ServiceArgs),
    /// Run the auto-scaling pipeline, or jobs of your own
    Pipeline(app::pipeline::Args),
    /// Started by `lab pipeline --exec`: kills the processes its commands left, after the pipeline has ended
    #[command(hide = true)]
    PipelineGuard,
    /// Print the current settings and where each came from
    Config(ConfigArgs),
    /// Print a running system's balance sheet
    ///
    /// Exit code 1 if it does not balance, 3 if no server answers.
    Audit(app::audit::Args),
    /// Ask a running server whether it is healthy
    ///
    /// Exit code 1 if not, 3 if no server answers: the container's health check.
    Health(app::health::Args),
    /// Put honest load on any HTTP server
    ///
    /// An open loop, whose latency runs from the intended start.
    Load(Box<app::load::Args>),
    /// Measure what the lab itself costs
    Bench(app::bench::Args),
    /// Print the JSON Schemas of what the lab writes for programs
    ///
    /// With NAME: the schema of that document. Without it: the list of names.
    Schema(app::schema::Args),
    /// Print a completion script for a shell
    Completions(CompletionArgs),
}

/// What `lab config` takes: what `lab` takes, and how to print.
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
    pub pipeline: Box<app::pipeline::InLab>,
}

/// What `lab completions` takes.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct CompletionArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// What was read from the command line and the layers below it.
#[derive(Debug)]
pub struct Parsed {
    /// The checked arguments.
    pub cli: Cli,
    /// Every setting of the command that was named, with its source.
    pub settings: Vec<app::CurrentSetting>,
}

/// Parses the process's arguments over `./.env`, the environment and the configuration file.
///
/// # Errors
/// [`Stop`] when no command is to be run.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, Stop> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let dotenv = load_dotenv(Path::new(".env")).map_err(Stop::Refuse)?;
    let command = forget_empty(Cli::command());
    let file = match config_path(&command, &arguments) {
        Some(path) => read_file(Path::new(&path), &command).map_err(Stop::Refuse)?,
        None => BTreeMap::new(),
    };
    let phrases = phrases(&command);
    let command = dress(with_defaults(command, &file));
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
            Err(Stop::Refuse(misfitting(&misfit, named.unwrap_or(&command), &settings)))
        }
    }
}

impl Cli {
    /// Checks that the values of the command that is run allow each other.
    fn check(&self) -> Result<(), Misfit> {
        let lab = |serve: &app::ServeArgs, pipeline: &app::pipeline::InLab| {
            serve.streams.config()?;
            pipeline.0.clone().settings().map(drop)
        };
        match &self.command {
            None => lab(&self.serve, &self.pipeline),
            Some(Task::Pipeline(args)) => args.check(),
            Some(Task::Serve(args)) => args.streams.config().map(drop),
            Some(Task::Config(args)) => lab(&args.serve, &args.pipeline),
            Some(Task::Streams(args)) => args.check(),
            Some(_) => Ok(()),
        }
    }
}

/// The command as people see it, for help, completions and tests.
pub fn command() -> Command {
    dress(Cli::command())
}

/// Prints a completion script.
///
/// # Errors
/// When stdout does not take it.
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
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
        command().debug_assert();
    }

    #[test]
    fn every_setting_says_its_variable_and_what_it_allows() {
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
