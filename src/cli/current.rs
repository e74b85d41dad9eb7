//! Collects the current settings, each with its source.

use std::collections::BTreeMap;

use clap::{ArgMatches, Command, parser::ValueSource};

use crate::{app::CurrentSetting, config::SECRETS};

/// The settings of the subcommand in `matches`, or of `lab` itself if there is none.
pub(super) fn current(
    command: &Command,
    matches: &ArgMatches,
    file: &BTreeMap<String, String>,
    dotenv: &[String],
) -> Vec<CurrentSetting> {
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
        settings.push(CurrentSetting {
            value: value.map(|value| if SECRETS.contains(&name) { "(hidden)".to_owned() } else { value }),
            name: name.to_owned(),
            source,
        });
    }
    settings
}

/// Adds the settings of all other commands, with the values that those commands would use.
pub(super) fn others(
    command: &Command,
    file: &BTreeMap<String, String>,
    dotenv: &[String],
    settings: &mut Vec<CurrentSetting>,
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
        settings.push(CurrentSetting { name: name.to_owned(), value, source });
    }
    command.get_subcommands().for_each(|subcommand| others(subcommand, file, dotenv, settings));
}
