//! The layers below the command line: `.env`, the environment, the configuration file.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::Path,
};

use clap::{Arg, Command};

use crate::{config::Invalid, pipeline};

/// Loads `.env` where a variable is not set yet, and returns the names that came from it.
pub(super) fn load_dotenv(path: &Path) -> Result<Vec<String>, String> {
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
pub(super) fn forget_empty(command: Command) -> Command {
    each_argument(command, &|argument| {
        let empty = argument.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
        if empty { argument.env(None::<&str>) } else { argument }
    })
}

pub(super) fn each_argument(command: Command, change: &dyn Fn(Arg) -> Arg) -> Command {
    command.mut_args(change).mut_subcommands(|subcommand| each_argument(subcommand, change))
}

/// The file's path: the flag or `LAB_CONFIG`, before the rest is parsed.
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

/// Reads the file's flat table; a key is a variable's name in lower case.
pub(super) fn read_file(path: &Path, command: &Command) -> Result<BTreeMap<String, String>, String> {
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
