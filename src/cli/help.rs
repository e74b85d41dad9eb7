//! The phrase that says what a value may be: from the derive into `--help` and every refusal.

use std::collections::BTreeMap;

use clap::{Arg, Command};

use super::layers::each_argument;

fn phrase(argument: &Arg) -> Option<String> {
    let name = argument.get_value_names()?.first()?;
    name.contains(' ').then(|| name.to_string())
}

/// What each argument allows, by its id.
pub(super) fn phrases(command: &Command) -> BTreeMap<String, String> {
    let own = command
        .get_arguments()
        .filter_map(|argument| Some((argument.get_id().to_string(), phrase(argument)?)));
    own.chain(command.get_subcommands().flat_map(phrases)).collect()
}

/// Moves the phrase of what is allowed from the value's name into the help.
pub(super) fn dress(command: Command) -> Command {
    each_argument(command, &|argument| {
        let Some(phrase) = phrase(&argument) else {
            return argument;
        };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        argument.help(format!("{help} [allowed: {phrase}]")).value_name("VALUE").hide_possible_values(true)
    })
}
