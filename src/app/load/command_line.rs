//! The command line of a run, as text that repeats it.

use std::ffi::OsStr;
use std::marker::PhantomData;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::app::Usage;
use crate::load::http::{Header, Target};

/// Replaces a value that may be secret.
const HIDDEN: &str = "***";
/// The help heading of the output flags, which are not part of the command.
const OUTPUT: &str = "Output";

/// The command line of the arguments `A`. It is derived from clap's matches, so it includes every flag.
#[derive(Debug, Clone)]
pub(in crate::app) struct CommandLine<A> {
    /// The arguments in the order of the command line, then those from the environment or a file.
    words: Vec<String>,
    /// The IDs of the arguments on the command line.
    ids: Vec<String>,
    arguments: PhantomData<fn() -> A>,
}

impl<A> CommandLine<A> {
    /// The whole command; `command` is its beginning, such as `lab load`.
    pub(in crate::app) fn command(&self, command: &str) -> String {
        std::iter::once(command).chain(self.words.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
    }

    /// Whether this argument was on the command line.
    pub(in crate::app) fn has(&self, id: &str) -> bool {
        self.ids.iter().any(|given| given == id)
    }

    /// Refuses `--seed` if the command draws nothing at random.
    pub(in crate::app) fn check_seed(&self, draws: bool) -> anyhow::Result<()> {
        if self.has("seed") && !draws {
            return Err(Usage("--seed: only --arrivals poisson draws at random".to_owned()).into());
        }
        Ok(())
    }
}

/// Adds no arguments: it reads those of the command that contains it.
impl<A: Args> Args for CommandLine<A> {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl<A: Args> FromArgMatches for CommandLine<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let command = A::augment_args(Command::new("load"));
        let arrivals = matches.try_get_raw("arrivals").ok().flatten();
        let draws = arrivals.is_some_and(|mut values| values.any(|value| value == "poisson"));
        let mut ids = Vec::new();
        let mut placed = Vec::new();
        for id in matches.ids() {
            let Some(argument) = command.get_arguments().find(|argument| argument.get_id() == id) else {
                continue;
            };
            let on_command_line = matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
            if on_command_line {
                ids.push(id.to_string());
            }
            if argument.get_help_heading() == Some(OUTPUT) {
                continue;
            }
            let Some(values) = matches.get_raw(id.as_str()) else { continue };
            let values: Vec<&OsStr> = values.collect();
            let is_default = !argument.get_action().takes_values() || values == argument.get_default_values();
            // The environment's seed applies to every command, but this one may not draw at random.
            let is_unused = id == "seed" && !draws;
            if (is_default || is_unused) && !on_command_line {
                continue;
            }
            let mut places =
                matches.indices_of(id.as_str()).filter(|_| on_command_line).into_iter().flatten();
            for value in values {
                placed.push((places.next().unwrap_or(usize::MAX), word(argument, &value.to_string_lossy())));
            }
        }
        placed.sort_by_key(|(place, _)| *place);
        Ok(Self { words: placed.into_iter().map(|(_, word)| word).collect(), ids, arguments: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// An argument with its value, quoted for a shell, with possible secrets hidden.
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

/// Quotes a word for a shell, if necessary.
pub(in crate::app) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
