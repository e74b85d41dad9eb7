//! The phrase that describes an argument's allowed values. It is the `value_name` in the derive; `--help` and the
//! error messages print it.

use std::collections::BTreeMap;

use clap::{Arg, Command};

use super::layers::each_argument;

fn phrase(argument: &Arg) -> Option<String> {
    let name = argument.get_value_names()?.first()?;
    name.contains(' ').then(|| name.to_string())
}

/// The phrase of each argument, by the argument's ID.
pub(super) fn phrases(command: &Command) -> BTreeMap<String, String> {
    let own = command
        .get_arguments()
        .filter_map(|argument| Some((argument.get_id().to_string(), phrase(argument)?)));
    own.chain(command.get_subcommands().flat_map(phrases)).collect()
}

/// The options that `lab --help` lists. `lab serve --help` lists the others.
const LISTED: [&str; 3] = ["addr", "config", "log_format"];

/// Moves each phrase from the value's name into the help text, and shortens `lab --help`.
pub(super) fn with_allowed_values(command: Command) -> Command {
    let command = each_argument(command, &|argument| {
        let Some(phrase) = phrase(&argument) else {
            return argument;
        };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        if !argument.get_action().takes_values() {
            return argument.help(format!("{help} [allowed: {phrase}, in the variable]"));
        }
        let name = value_name(&phrase);
        argument.help(format!("{help} [allowed: {phrase}]")).value_name(name).hide_possible_values(true)
    });
    let listed = |argument: Arg| match LISTED.contains(&argument.get_id().as_str()) {
        true => argument.help_heading(None),
        false => argument.hide(true),
    };
    command.mut_args(listed)
}

/// The short value name for a phrase.
fn value_name(phrase: &str) -> &'static str {
    const NAMES: [(&str, &str); 15] = [
        ("a time", "TIME"),
        ("constant:MS", "TIMES"),
        ("NAME: VALUE", "HEADER"),
        ("names", "NAMES"),
        ("checks", "CHECKS"),
        ("phases", "PHASES"),
        ("a whole number", "N"),
        ("a share", "SHARE"),
        ("a rate", "RATE"),
        ("a size", "SIZE"),
        ("IP:PORT", "ADDR"),
        ("an http://", "URL"),
        ("a JSON", "JSON"),
        ("the path", "FILE"),
        ("a command", "COMMAND"),
    ];
    let named = NAMES.iter().find(|(prefix, _)| phrase.starts_with(prefix));
    named.map_or("VALUE", |(_, name)| name)
}
