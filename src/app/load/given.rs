//! The command line as it was given: its flags in words that start the same run again.

use std::ffi::OsStr;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args as _, Command, FromArgMatches};

use super::run::usage;
use crate::load::http::{Header, Target};

/// Stands for a value that may be secret.
const HIDDEN: &str = "***";
/// The heading of the flags that say where the result goes: another run has its own.
const OUTPUT: &str = "Output";

/// What was given, made from the matches themselves so that no flag can be left out.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    /// In the order of the command line, then what came from the environment or a file.
    words: Vec<String>,
    /// The ids of the arguments that stood on the command line.
    ids: Vec<String>,
}

impl Given {
    /// The whole command, with `command` as its first words.
    pub(super) fn command(&self, command: &str) -> String {
        std::iter::once(command).chain(self.words.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
    }

    /// Whether this argument stood on the command line.
    pub(super) fn has(&self, id: &str) -> bool {
        self.ids.iter().any(|given| given == id)
    }

    /// Refuses a seed that nothing would be drawn from.
    pub(super) fn check_seed(&self, draws: bool) -> anyhow::Result<()> {
        if self.has("seed") && !draws {
            return Err(usage("--seed: nothing is drawn without --arrivals poisson"));
        }
        Ok(())
    }
}

/// Takes no argument of its own: it looks at those of the command that holds it.
impl clap::Args for Given {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let command = super::Args::augment_args(Command::new("load"));
        let mut given = Self::default();
        let mut placed = Vec::new();
        for id in matches.ids() {
            let Some(argument) = argument(&command, id.as_str()) else { continue };
            let on_command_line = matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
            if on_command_line {
                given.ids.push(id.to_string());
            }
            if argument.get_help_heading() == Some(OUTPUT) {
                continue;
            }
            let Some(values) = matches.get_raw(id.as_str()) else { continue };
            let values: Vec<&OsStr> = values.collect();
            let is_default = !argument.get_action().takes_values() || values == argument.get_default_values();
            if is_default && !on_command_line {
                continue;
            }
            let mut places =
                matches.indices_of(id.as_str()).filter(|_| on_command_line).into_iter().flatten();
            for value in values {
                placed.push((places.next().unwrap_or(usize::MAX), word(argument, &value.to_string_lossy())));
            }
        }
        placed.sort_by_key(|(place, _)| *place);
        given.words = placed.into_iter().map(|(_, word)| word).collect();
        Ok(given)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The argument of this id, of `lab load` or of a subcommand.
fn argument<'a>(command: &'a Command, id: &str) -> Option<&'a Arg> {
    let own = command.get_arguments().find(|argument| argument.get_id() == id);
    own.or_else(|| command.get_subcommands().find_map(|subcommand| argument_of(subcommand, id)))
}

fn argument_of<'a>(command: &'a Command, id: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|argument| argument.get_id() == id)
}

/// An argument with its value as a shell reads it; what may be secret is hidden.
fn word(argument: &Arg, value: &str) -> String {
    let shown = match argument.get_id().as_str() {
        "headers" => shown_header(value),
        "urls" | "a" | "b" => shown_url(value),
        "body" if !value.starts_with('@') => HIDDEN.to_owned(),
        _ => value.to_owned(),
    };
    match argument.get_long() {
        None => quoted(&shown),
        Some(long) if argument.get_action().takes_values() => format!("--{long} {}", quoted(&shown)),
        Some(long) => format!("--{long}"),
    }
}

fn shown_url(text: &str) -> String {
    match text.parse::<Target>() {
        Ok(target) if target.names_user() => target.to_string().replacen("://", &format!("://{HIDDEN}@"), 1),
        _ => text.to_owned(),
    }
}

fn shown_header(text: &str) -> String {
    match text.parse::<Header>() {
        Ok(header) if !header.may_be_secret() => text.to_owned(),
        Ok(header) => format!("{}: {HIDDEN}", header.name()),
        Err(_) => HIDDEN.to_owned(),
    }
}

/// A word that a shell takes as it stands.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::super::{Args, Command as Subcommand};
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn given(line: &[String]) -> Given {
        let line = Line::try_parse_from(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        match line.args.command {
            None => line.args.run.given,
            Some(Subcommand::Compare(args)) => args.given,
            Some(Subcommand::Merge(args)) => args.given,
        }
    }

    /// A value that the flag allows, other than its default.
    fn value(long: &str) -> &'static str {
        match long {
            "method" => "PUT",
            "header" => "Accept: a b",
            "body" => "@a file",
            "success" => "3xx",
            "arrivals" => "poisson",
            "rate" | "max-rate" => "7",
            "for" | "timeout" => "7s",
            "schedule" => "7 for 1s",
            "check" | "find-max" => "good>70%",
            "precision" | "margin" | "detect" | "confidence" => "70%",
            "figure" => "p95",
            "otlp-endpoint" => "http://collector/",
            "otlp-protocol" => "http/protobuf",
            "telemetry-disabled" => "true",
            "log-format" => "json",
            "ca" | "cert" | "key" => "a.pem",
            _ => "700",
        }
    }

    #[test]
    fn every_flag_on_the_command_line_is_in_the_command() {
        let whole = Line::command();
        let mut flags = 0;
        for (command, start) in [
            (&whole, &["load", "http://h/"][..]),
            (whole.find_subcommand("compare").unwrap(), &["load", "compare", "http://a/", "http://b/"]),
            (whole.find_subcommand("merge").unwrap(), &["load", "merge", "a.json", "b.json"]),
        ] {
            for argument in command.get_arguments() {
                let Some(long) = argument.get_long().filter(|_| argument.get_help_heading() != Some(OUTPUT))
                else {
                    continue;
                };
                let mut expected: Vec<String> = vec![format!("--{long}")];
                if argument.get_action().takes_values() {
                    expected.push(value(long).to_owned());
                }
                let needed: &[&str] = match long {
                    "key" => &["--cert", "b.pem"],
                    "paced" => &["--closed", "2"],
                    "precision" | "max-rate" => &["--find-max", "p95<1s"],
                    _ => &[],
                };
                expected.extend(needed.iter().map(ToString::to_string));
                let line: Vec<String> =
                    start.iter().map(ToString::to_string).chain(expected.clone()).collect();
                let words = given(&line).command("load");
                let positional = &start[start.len() - if start.len() > 2 { 2 } else { 1 }..];
                let all: Vec<String> = positional.iter().map(ToString::to_string).chain(expected).collect();
                let all = all.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
                assert_eq!(words, format!("load {all}"), "--{long}");
                flags += 1;
            }
        }
        assert!(flags > 40, "{flags}");
    }

    #[test]
    fn what_may_be_secret_is_hidden_and_the_result_has_its_own_place() {
        let line = [
            "load",
            "http://u:secret@h/?a=b c",
            "http://u:its secret@h/",
            "3*https://h/",
            "-H",
            "Accept: text/html",
            "-H",
            "X-Api: secret",
            "-d",
            "secret",
            "--json=a.json",
        ];
        assert_eq!(
            given(&line.map(str::to_owned)).command("lab load"),
            "lab load 'http://***@h/?a=b%20c' 'http://***@h/' '3*https://h/' --header 'Accept: text/html' --header 'x-api: ***' \
             --body '***'"
        );
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
