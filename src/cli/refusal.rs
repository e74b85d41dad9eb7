//! One-line error messages for bad usage: the variable, the flag, the value's source, and the allowed values.

use std::{collections::BTreeMap, ffi::OsString};

use clap::{Arg, Command, error::ErrorKind};

use crate::app::CurrentSetting;
use crate::config::{Invalid, Misfit, SECRETS, without_users};

/// Why no command runs.
#[derive(Debug)]
pub enum Stop {
    /// `--help` or `--version`: print this on stdout, exit 0.
    Show(clap::Error),
    /// Bad usage or configuration: print this on stderr, exit 2.
    Refuse(String),
}

/// The error message for a value that conflicts with another setting, in the format of [`refusal`].
pub(super) fn conflict(misfit: &Misfit, command: &Command, settings: &[CurrentSetting]) -> String {
    let Misfit { variable, invalid } = misfit;
    let Some(setting) = settings.iter().find(|setting| setting.name == *variable) else {
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

/// The long flag of a variable.
fn long_of(command: &Command, variable: &str) -> Option<String> {
    let own =
        command.get_arguments().find(|argument| argument.get_env().is_some_and(|name| name == variable));
    match own {
        Some(argument) => argument.get_long().map(ToOwned::to_owned),
        None => command.get_subcommands().find_map(|subcommand| long_of(subcommand, variable)),
    }
}

pub(super) fn stop(
    error: clap::Error,
    (command, arguments): (&Command, &[OsString]),
    phrases: &BTreeMap<String, String>,
    file: &BTreeMap<String, String>,
    dotenv: &[String],
) -> Stop {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::Show(error),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => Stop::Refuse(
            refusal(&error, (command, arguments), phrases, file, dotenv).unwrap_or_else(|| brief(&error)),
        ),
        ErrorKind::TooManyValues => {
            Stop::Refuse(valued_flag(&error, command).unwrap_or_else(|| brief(&error)))
        }
        ErrorKind::ArgumentConflict => {
            Stop::Refuse(early_flag(&error, selected(command, arguments)).unwrap_or_else(|| brief(&error)))
        }
        ErrorKind::InvalidUtf8 => Stop::Refuse(not_text(command, arguments)),
        _ => Stop::Refuse(brief(&error)),
    }
}

/// The error for a value that is not UTF-8; clap does not name it.
fn not_text(command: &Command, arguments: &[OsString]) -> String {
    if let Some(argument) = arguments.iter().find(|argument| argument.to_str().is_none()) {
        return format!("the argument {:?} is not UTF-8", argument.to_string_lossy());
    }
    let known = selected(command, arguments).get_arguments().chain(command.get_arguments());
    let mut variables = known.filter_map(|argument| Some((argument.get_env()?, argument.get_long()?)));
    match variables.find(|(name, _)| std::env::var_os(name).is_some_and(|value| value.to_str().is_none())) {
        Some((name, long)) => {
            format!("{} (--{long}, from the environment): it is not UTF-8", name.to_string_lossy())
        }
        None => "a value is not UTF-8".to_owned(),
    }
}

/// clap's error message on one line, without its prefix and usage.
fn brief(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines = lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    without_users(&lines.collect::<Vec<_>>().join(" "))
}

/// The error for a flag before the command, which names where it belongs:
/// `--addr stands before the command: write it after, such as: serve --addr <ADDR>`
fn early_flag(error: &clap::Error, selected: &Command) -> Option<String> {
    use clap::error::{ContextKind, ContextValue};
    error.get(ContextKind::InvalidSubcommand)?;
    let shown = match error.get(ContextKind::PriorArg)? {
        ContextValue::String(shown) => shown,
        ContextValue::Strings(all) => all.first()?,
        _ => return None,
    };
    let long = shown.strip_prefix("--")?.split([' ', '=']).next()?;
    let name = selected.get_name();
    let known = selected.get_arguments().any(|argument| argument.get_long() == Some(long));
    Some(match known {
        true => {
            format!("--{long} stands before the command: write it after, such as: {name} {shown}")
        }
        false => format!("{name} has no --{long}: {name} --help lists its flags"),
    })
}

/// The error for a value after a flag that takes none:
/// `STREAMS_ENABLED (--streams-enabled, from the flag): the flag takes no value, ...`
fn valued_flag(error: &clap::Error, command: &Command) -> Option<String> {
    use clap::error::{ContextKind, ContextValue};
    let ContextValue::String(shown) = error.get(ContextKind::InvalidArg)? else {
        return None;
    };
    let long = shown.strip_prefix("--")?.split([' ', '=']).next()?;
    let argument = find(command, long)?;
    if argument.get_action().takes_values() {
        return None;
    }
    let Some(name) = argument.get_env() else {
        return Some(format!("--{long} takes no value: write only --{long}, or leave it out"));
    };
    let name = name.to_string_lossy();
    Some(format!(
        "{name} (--{long}, from the flag): the flag takes no value: write only --{long}, or leave it out; {name} takes true or false"
    ))
}

/// The error for an invalid value:
/// `ASYNC_LIMIT (--async-limit, from .env): "0" is not allowed: a whole number from 1 to 10000`.
fn refusal(
    error: &clap::Error,
    (command, arguments): (&Command, &[OsString]),
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
    let argument = find(selected(command, arguments), long)?;
    let invalid = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Invalid>());
    let allowed = match invalid {
        Some(invalid) => invalid.allowed.clone(),
        None => phrases.get(argument.get_id().as_str())?.clone(),
    };
    let shown_value = |secret: bool| match secret {
        true => "(hidden)".to_owned(),
        false => format!("{:?}", Invalid::new(value, "").value),
    };
    let Some(name) = argument.get_env().map(|name| name.to_string_lossy().into_owned()) else {
        return Some(format!("--{long}: {} is not allowed: {allowed}", shown_value(false)));
    };
    let source = match std::env::var(&name) {
        Ok(set) if set == *value && dotenv.contains(&name) => "from .env",
        Ok(set) if set == *value => "from the environment",
        _ if file.get(&name) == Some(value) => "from the file",
        _ => "from the flag",
    };
    let shown = shown_value(SECRETS.contains(&name.as_str()));
    Some(format!("{name} (--{long}, {source}): {shown} is not allowed: {allowed}"))
}

/// The subcommand that `arguments` select: two commands may have a flag with the same name.
fn selected<'a>(command: &'a Command, arguments: &[OsString]) -> &'a Command {
    let mut selected = command;
    for argument in arguments.iter().skip(1) {
        selected = selected.find_subcommand(argument).unwrap_or(selected);
    }
    selected
}

fn find<'a>(command: &'a Command, long: &str) -> Option<&'a Arg> {
    command
        .get_arguments()
        .find(|argument| argument.get_long() == Some(long))
        .or_else(|| command.get_subcommands().find_map(|subcommand| find(subcommand, long)))
}
