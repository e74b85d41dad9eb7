//! The command line: one variant per command, each holding that room's configuration.
//!
//! ```text
//!   default  <  file (--config, LAB_CONFIG)  <  .env  <  environment  <  flag
//! ```
//!
//! clap knows names, variables, defaults and help; the layers below the environment are put under it:
//! `.env` is loaded into the process's environment where a name is not set yet, and the file's values
//! become defaults. A value is parsed once, into a type that cannot hold a bad one; the phrase that
//! says what such a type allows stands in the derive as the value's name, from where it goes into
//! `--help` and into every refusal.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::Path,
};

use clap::{
    Arg, ArgMatches, Command, CommandFactory as _, FromArgMatches as _, Parser, error::ErrorKind,
    parser::ValueSource,
};

use crate::{
    app,
    config::{Invalid, Misfit},
    pipeline,
};

/// The lab's command line.
#[derive(Debug, Parser)]
#[command(name = "lab", version, about, long_about = LONG_ABOUT, args_conflicts_with_subcommands = true)]
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

const LONG_ABOUT: &str = "A concurrency lab: how should a service treat a slow dependency? Measured, not guessed.\n\n\
Without a command it serves the lab on http://127.0.0.1:8080 with nothing else installed.";

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Task {
    /// Serve the HTTP lab
    Serve(app::ServeArgs),
    /// Run the stream orchestrator: many streams, one bounded buffer, a pool of workers
    Streams(Box<app::StreamsArgs>),
    /// Serve a simulated service as a process of its own
    Service(app::ServiceArgs),
    /// Run the auto-scaling pipeline
    Pipeline(app::pipeline::Args),
    /// Started by `lab pipeline --exec`: ends what its commands started, when it has ended
    #[command(hide = true)]
    PipelineGuard,
    /// Print the settings in force and where each came from
    Config(ConfigArgs),
    /// Print a running system's balance sheet; exit 1 if it does not balance
    Audit(app::audit::Args),
    /// Ask a running server whether it is healthy; exit 1 if not (the container's health check)
    Health(app::health::Args),
    /// Put honest load on any HTTP server: open loop, latency from the intended start
    Load(Box<app::load::Args>),
    /// Measure what the lab itself costs
    Bench(app::bench::Args),
    /// Print a completion script for a shell
    Completions(CompletionArgs),
}

/// What `lab config` takes: the server's flags, and how to print.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct ConfigArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub serve: app::ServeArgs,
}

/// What `lab completions` takes.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct CompletionArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// A setting in force.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct InForce {
    /// The variable's name.
    pub name: String,
    /// The value as it was written; secrets hidden.
    pub value: Option<String>,
    /// `default`, `file`, `.env`, `environment` or `flag`.
    pub source: &'static str,
}

/// What was read from the command line and the layers below it.
#[derive(Debug)]
pub struct Parsed {
    /// The checked arguments.
    pub cli: Cli,
    /// Every setting of the command that was named, with its source.
    pub in_force: Vec<InForce>,
}

/// Why nothing is run.
#[derive(Debug)]
pub enum Stop {
    /// `--help` or `--version`: print this on stdout, exit 0.
    Show(clap::Error),
    /// Bad usage or configuration: print this on stderr, exit 2.
    Refuse(String),
}

/// Variables whose values are never shown.
const SECRETS: [&str; 1] = ["LAB_ADMIN_TOKEN"];

/// Parses the process's arguments over `./.env`, the environment and the configuration file.
///
/// # Errors
/// [`Stop`] when there is nothing to run.
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
        .map_err(|error| stop(error, &command, &phrases, &file, &dotenv))?;
    let cli =
        Cli::from_arg_matches(&matches).map_err(|error| stop(error, &command, &phrases, &file, &dotenv))?;
    let mut in_force = in_force(&Cli::command(), &matches, &file, &dotenv);
    if matches!(cli.command, Some(Task::Config(_))) {
        others(&Cli::command(), &file, &dotenv, &mut in_force);
    }
    match cli.check() {
        Ok(()) => Ok(Parsed { cli, in_force }),
        Err(misfit) => {
            let named = matches.subcommand_name().and_then(|name| command.find_subcommand(name));
            Err(Stop::Refuse(misfitting(&misfit, named.unwrap_or(&command), &in_force)))
        }
    }
}

impl Cli {
    /// Checks values that must go together, of the command that is run.
    fn check(&self) -> Result<(), Misfit> {
        match &self.command {
            None => {
                self.serve.streams.config()?;
                self.pipeline.0.clone().settings().map(drop)
            }
            Some(Task::Pipeline(args)) => args.check(),
            Some(Task::Serve(args)) => args.streams.config().map(drop),
            Some(Task::Config(args)) => args.serve.streams.config().map(drop),
            Some(Task::Streams(args)) => args.check(),
            Some(_) => Ok(()),
        }
    }
}

/// The same words as for a value that is bad by itself.
fn misfitting(misfit: &Misfit, command: &Command, in_force: &[InForce]) -> String {
    let Misfit { variable, invalid } = misfit;
    let Some(setting) = in_force.iter().find(|setting| setting.name == *variable) else {
        return format!("{variable}: {invalid}");
    };
    let source = match setting.source {
        "flag" => "from the flag",
        "environment" => "from the environment",
        "file" => "from the file",
        ".env" => "from .env",
        _ => "the default",
    };
    let long = long_of(command, variable).unwrap_or_default();
    format!("{variable} (--{long}, {source}): {invalid}")
}

/// The flag of a variable.
fn long_of(command: &Command, variable: &str) -> Option<String> {
    let own =
        command.get_arguments().find(|argument| argument.get_env().is_some_and(|name| name == variable));
    match own {
        Some(argument) => argument.get_long().map(ToOwned::to_owned),
        None => command.get_subcommands().find_map(|subcommand| long_of(subcommand, variable)),
    }
}

/// The command as people see it, for help, completions and tests.
pub fn command() -> Command {
    dress(Cli::command())
}

/// Loads `.env` where a variable is not set yet, and returns the names that came from it.
fn load_dotenv(path: &Path) -> Result<Vec<String>, String> {
    let entries = match dotenvy::from_path_iter(path) {
        Ok(entries) => entries,
        Err(error) if error.not_found() => return Ok(Vec::new()),
        Err(error) => return Err(format!(".env: {error}")),
    };
    let mut names = Vec::new();
    for entry in entries {
        // The error would quote the line, which may hold a secret.
        let (name, _) = entry.map_err(|_| ".env: a line is not NAME=VALUE".to_owned())?;
        if std::env::var_os(&name).is_none() {
            names.push(name);
        }
    }
    dotenvy::from_path(path).map_err(|_| ".env: a line is not NAME=VALUE".to_owned())?;
    Ok(names)
}

/// An empty variable counts as unset, as it is what `${NAME:-}` in a compose file gives.
fn forget_empty(command: Command) -> Command {
    each_argument(command, &|argument| {
        let empty = argument.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
        if empty { argument.env(None::<&str>) } else { argument }
    })
}

fn each_argument(command: Command, change: &dyn Fn(Arg) -> Arg) -> Command {
    command.mut_args(change).mut_subcommands(|subcommand| each_argument(subcommand, change))
}

/// The file's path: the flag or `LAB_CONFIG`, before the rest is parsed.
fn config_path(command: &Command, arguments: &[OsString]) -> Option<OsString> {
    let flag = arguments.iter().enumerate().find_map(|(index, argument)| {
        let text = argument.to_str()?;
        match text.strip_prefix("--config=") {
            Some(path) => Some(OsString::from(path)),
            None if text == "--config" => arguments.get(index + 1).cloned(),
            None => None,
        }
    });
    let known = command.get_arguments().find(|argument| argument.get_id() == "config");
    flag.or_else(|| known?.get_env().and_then(std::env::var_os))
}

/// Reads the file's flat table; a key is a variable's name in lower case.
fn read_file(path: &Path, command: &Command) -> Result<BTreeMap<String, String>, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("LAB_CONFIG: {name:?} cannot be read: {error}", name = name.to_string()))?;
    let known = variables(command);
    if path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml") {
        return read_yaml(&name.to_string(), &text, &known);
    }
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| format!("LAB_CONFIG: {name} is not TOML: {}", error.message()))?;
    let mut values = BTreeMap::new();
    for (key, value) in table {
        let variable = key.to_uppercase();
        if !known.contains(&variable) || key != key.to_lowercase() {
            return Err(format!(
                "LAB_CONFIG: {name}: {key:?} is not a setting; keys are the variables' names in lower case"
            ));
        }
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            _ => {
                return Err(format!("LAB_CONFIG: {name}: {key}: a text, a number or true/false is allowed"));
            }
        };
        values.insert(variable, text);
    }
    Ok(values)
}

/// Reads a file of the pipeline's form: `pipeline:` with its keys.
fn read_yaml(name: &str, text: &str, known: &[String]) -> Result<BTreeMap<String, String>, String> {
    let values = pipeline::config::read_yaml(text).map_err(|error| format!("LAB_CONFIG: {name}: {error}"))?;
    let stranger = values.iter().find(|(variable, _)| !known.contains(variable));
    let Some((variable, value)) = stranger else {
        return Ok(values);
    };
    let key = |variable: &str| variable.trim_start_matches("PIPELINE_").to_lowercase();
    let keys: BTreeSet<String> =
        known.iter().filter(|name| name.starts_with("PIPELINE_")).map(|name| key(name)).collect();
    let keys: Vec<String> = keys.into_iter().collect();
    let invalid =
        Invalid::new(format!("{}: {value}", key(variable)), format!("keys are seed, {}", keys.join(", ")));
    Err(format!("LAB_CONFIG: {name}: {invalid}"))
}

/// The names of all variables that any command takes.
fn variables(command: &Command) -> Vec<String> {
    let own = command.get_arguments().filter_map(|argument| Some(argument.get_env()?.to_str()?.to_owned()));
    own.chain(command.get_subcommands().flat_map(variables)).collect()
}

fn with_defaults(command: Command, file: &BTreeMap<String, String>) -> Command {
    each_argument(command, &|argument| {
        let value = argument.get_env().and_then(|name| name.to_str()).and_then(|name| file.get(name));
        match value {
            Some(value) => {
                let value = value.clone();
                argument.default_value(value)
            }
            None => argument,
        }
    })
}

fn phrase(argument: &Arg) -> Option<String> {
    let name = argument.get_value_names()?.first()?;
    name.contains(' ').then(|| name.to_string())
}

/// What each argument allows, by its id.
fn phrases(command: &Command) -> BTreeMap<String, String> {
    let own = command
        .get_arguments()
        .filter_map(|argument| Some((argument.get_id().to_string(), phrase(argument)?)));
    own.chain(command.get_subcommands().flat_map(phrases)).collect()
}

/// Moves the phrase of what is allowed from the value's name into the help.
fn dress(command: Command) -> Command {
    each_argument(command, &|argument| {
        let Some(phrase) = phrase(&argument) else {
            return argument;
        };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        argument.help(format!("{help} [allowed: {phrase}]")).value_name("VALUE").hide_possible_values(true)
    })
}

fn stop(
    error: clap::Error,
    command: &Command,
    phrases: &BTreeMap<String, String>,
    file: &BTreeMap<String, String>,
    dotenv: &[String],
) -> Stop {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::Show(error),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            Stop::Refuse(refusal(&error, command, phrases, file, dotenv).unwrap_or_else(|| brief(&error)))
        }
        _ => Stop::Refuse(brief(&error)),
    }
}

/// clap's own message without its decoration, on one line.
fn brief(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// `ASYNC_LIMIT (--async-limit, from .env): "0" is not allowed: a whole number from 1 to 10000`.
fn refusal(
    error: &clap::Error,
    command: &Command,
    phrases: &BTreeMap<String, String>,
    file: &BTreeMap<String, String>,
    dotenv: &[String],
) -> Option<String> {
    use clap::error::{ContextKind, ContextValue};
    let ContextValue::String(shown) = error.get(ContextKind::InvalidArg)? else {
        return None;
    };
    let ContextValue::String(value) = error.get(ContextKind::InvalidValue)? else {
        return None;
    };
    let long = shown.strip_prefix("--")?.split([' ', '=']).next()?;
    let argument = find(command, long)?;
    let invalid = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Invalid>());
    let allowed = match invalid {
        Some(invalid) => invalid.allowed.clone(),
        None => phrases.get(argument.get_id().as_str())?.clone(),
    };
    let name =
        argument.get_env().map_or_else(|| format!("--{long}"), |name| name.to_string_lossy().into_owned());
    let source = match std::env::var(&name) {
        Ok(set) if set == *value && dotenv.contains(&name) => "from .env",
        Ok(set) if set == *value => "from the environment",
        _ if file.get(&name) == Some(value) => "from the file",
        _ => "from the flag",
    };
    let shown = if SECRETS.contains(&name.as_str()) {
        "(hidden)".to_owned()
    } else {
        format!("{:?}", Invalid::new(value, "").value)
    };
    Some(format!("{name} (--{long}, {source}): {shown} is not allowed: {allowed}"))
}

fn find<'a>(command: &'a Command, long: &str) -> Option<&'a Arg> {
    command
        .get_arguments()
        .find(|argument| argument.get_long() == Some(long))
        .or_else(|| command.get_subcommands().find_map(|subcommand| find(subcommand, long)))
}

fn in_force(
    command: &Command,
    matches: &ArgMatches,
    file: &BTreeMap<String, String>,
    dotenv: &[String],
) -> Vec<InForce> {
    let (command, matches) = match matches.subcommand() {
        Some((name, matches)) => match command.find_subcommand(name) {
            Some(command) => (command, matches),
            None => return Vec::new(),
        },
        None => (command, matches),
    };
    let mut settings = Vec::new();
    for argument in command.get_arguments() {
        let Some(name) = argument.get_env().and_then(|name| name.to_str()) else {
            continue;
        };
        let id = argument.get_id().as_str();
        let value = matches
            .get_raw(id)
            .and_then(|mut values| values.next())
            .map(|value| value.to_string_lossy().into_owned());
        let source = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) if dotenv.iter().any(|known| known == name) => ".env",
            Some(ValueSource::EnvVariable) => "environment",
            _ if file.contains_key(name) => "file",
            _ => "default",
        };
        settings.push(InForce {
            value: value.map(|value| if SECRETS.contains(&name) { "(hidden)".to_owned() } else { value }),
            name: name.to_owned(),
            source,
        });
    }
    settings
}

/// Adds the settings that only other commands take, as those commands would find them.
fn others(
    command: &Command,
    file: &BTreeMap<String, String>,
    dotenv: &[String],
    settings: &mut Vec<InForce>,
) {
    for argument in command.get_arguments() {
        let Some(name) = argument.get_env().and_then(|name| name.to_str()) else {
            continue;
        };
        if settings.iter().any(|setting| setting.name == name) {
            continue;
        }
        let set = std::env::var(name).ok().filter(|value| !value.is_empty());
        let default =
            || argument.get_default_values().first().map(|value| value.to_string_lossy().into_owned());
        let (value, source) = match (set, file.get(name)) {
            (Some(value), _) if dotenv.iter().any(|known| known == name) => (Some(value), ".env"),
            (Some(value), _) => (Some(value), "environment"),
            (None, Some(value)) => (Some(value.clone()), "file"),
            (None, None) => (default(), "default"),
        };
        let value = value.map(|value| if SECRETS.contains(&name) { "(hidden)".to_owned() } else { value });
        settings.push(InForce { name: name.to_owned(), value, source });
    }
    command.get_subcommands().for_each(|subcommand| others(subcommand, file, dotenv, settings));
}

/// Prints the settings in force.
///
/// # Errors
/// When they cannot be written as JSON.
pub fn print_config(in_force: &[InForce], json: bool) -> anyhow::Result<app::Ending> {
    if json {
        app::print(&serde_json::to_string_pretty(in_force)?)?;
        return Ok(app::Ending::Done);
    }
    let width = in_force.iter().map(|setting| setting.name.len()).max().unwrap_or(0);
    let line = |InForce { name, value, source }: &InForce| {
        format!("{name:<width$}  {source:<11}  {}", value.as_deref().unwrap_or("(unset)"))
    };
    app::print(&in_force.iter().map(line).collect::<Vec<_>>().join("\n"))?;
    Ok(app::Ending::Done)
}

/// Prints a completion script.
///
/// # Errors
/// When stdout does not take it.
pub fn print_completions(shell: clap_complete::Shell) -> anyhow::Result<app::Ending> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "lab", &mut script);
    app::print(String::from_utf8_lossy(&script).trim_end())?;
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
