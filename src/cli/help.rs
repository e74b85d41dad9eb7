//! The phrase that says what a value may be: taken from the derive, shown in `--help` and in every refusal.

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

/// The options that `lab --help` lists; `lab serve --help` lists the server's.
const FIRST: [&str; 3] = ["addr", "config", "log_format"];

/// Moves the phrase of what is allowed from the value's name into the help, and keeps the first screen short.
pub(super) fn dress(command: Command) -> Command {
    let dressed = each_argument(command, &|argument| {
        let Some(phrase) = phrase(&argument) else {
            return argument;
        };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        if !argument.get_action().takes_values() {
            return argument.help(format!("{help} [allowed: {phrase}, in the variable]"));
        }
        let word = word(&phrase);
        argument.help(format!("{help} [allowed: {phrase}]")).value_name(word).hide_possible_values(true)
    });
    let first = |argument: Arg| match FIRST.contains(&argument.get_id().as_str()) {
        true => argument.help_heading(None),
        false => argument.hide(true),
    };
    dressed.mut_args(first)
}

/// The kind of value that a phrase describes, in a word.
fn word(phrase: &str) -> &'static str {
    const WORDS: [(&str, &str); 15] = [
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
    let named = WORDS.iter().find(|(begins, _)| phrase.starts_with(begins));
    named.map_or("VALUE", |(_, word)| word)
}
