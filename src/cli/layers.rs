//! The sources of settings below the command line: the environment, `.env`, the configuration file.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    io,
    path::Path,
};

use clap::{Arg, Command};

use crate::{config::Invalid, input, pipeline};

/// The largest settings file that is read.
const FILE_LIMIT_MIB: u64 = 1;

/// Sets the variables of `.env` that are not set yet, and returns their names.
pub(super) fn load_dotenv(path: &Path) -> Result<Vec<String>, String> {
    let text = match input::read_text(path, FILE_LIMIT_MIB) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!(".env: {error}")),
    };
    let text = text.trim_start_matches('\u{feff}');
    let mut names = Vec::new();
    for entry in dotenvy::from_read_iter(text.as_bytes()) {
        let (name, _) = entry.map_err(|error| not_an_entry(text, &error))?;
        if std::env::var_os(&name).is_none() {
            names.push(name);
        }
    }
    dotenvy::from_read(text.as_bytes()).map_err(|error| not_an_entry(text, &error))?;
    Ok(names)
}

/// The error for an invalid line. It does not quote the line, which may hold a secret.
fn not_an_entry(text: &str, error: &dotenvy::Error) -> String {
    let at = match error {
        dotenvy::Error::LineParse(line, _) => text.find(line.as_str()),
        _ => None,
    };
    match at {
        Some(at) => format!(".env: line {} is not NAME=VALUE", line_at(text, at)),
        None => ".env: a line is not NAME=VALUE".to_owned(),
    }
}

/// The number, from 1, of the line that contains byte `at`.
fn line_at(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// Treats an empty variable as unset, because `${NAME:-}` in a compose file sets it to the empty string.
pub(super) fn ignore_empty_variables(command: Command) -> Command {
    each_argument(command, &|argument| {
        let empty = argument.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
        if empty { argument.env(None::<&str>) } else { argument }
    })
}

pub(super) fn each_argument(command: Command, change: &dyn Fn(Arg) -> Arg) -> Command {
    command.mut_args(change).mut_subcommands(|subcommand| each_argument(subcommand, change))
}

/// The path of the configuration file, from the flag or from `LAB_CONFIG`. The file must be read before clap
/// parses the other arguments.
pub(super) fn config_path(command: &Command, arguments: &[OsString]) -> Option<OsString> {
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

/// Reads a configuration file: a flat table whose keys are variable names in lower case.
pub(super) fn read_file(path: &Path, command: &Command) -> Result<BTreeMap<String, String>, String> {
    let name = path.display();
    let text = input::read_text(path, FILE_LIMIT_MIB)
        .map_err(|error| format!("LAB_CONFIG: {name:?} cannot be read: {error}", name = name.to_string()))?;
    let known = variables(command);
    if path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml") {
        return read_yaml(&name.to_string(), &text, &known);
    }
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line =
            error.span().map_or(String::new(), |span| format!(": line {}", line_at(&text, span.start)));
        format!("LAB_CONFIG: {name}{line} is not TOML: {}", error.message().replace('\n', ", "))
    })?;
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
                return Err(format!(
                    "LAB_CONFIG: {name}: {key}: only a string, a number or true/false is allowed"
                ));
            }
        };
        values.insert(variable, text);
    }
    Ok(values)
}

/// Reads a file in the pipeline's YAML format: a `pipeline:` section.
fn read_yaml(name: &str, text: &str, known: &[String]) -> Result<BTreeMap<String, String>, String> {
    let values = pipeline::config::read_yaml(text).map_err(|error| format!("LAB_CONFIG: {name}: {error}"))?;
    let unknown = values.iter().find(|(variable, _)| !known.contains(variable));
    let Some((variable, value)) = unknown else {
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

/// The names of the variables of all commands.
fn variables(command: &Command) -> Vec<String> {
    let own = command.get_arguments().filter_map(|argument| Some(argument.get_env()?.to_str()?.to_owned()));
    own.chain(command.get_subcommands().flat_map(variables)).collect()
}

pub(super) fn with_defaults(command: Command, file: &BTreeMap<String, String>) -> Command {
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
