//! The `command` of a result contains every flag of the command line.

use clap::{CommandFactory as _, Parser as _};

use super::command_line::quoted;
use super::{Args, Command};

/// The help heading of the output flags.
const OUTPUT: &str = "Output";

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn command_of(line: &[String]) -> String {
    let line = Line::try_parse_from(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    match line.args.command {
        None => line.args.run.command_line.command("lab load"),
        Some(Command::Compare(args)) => args.command_line.command("lab load compare"),
        Some(Command::Merge(args)) => args.command_line.command("lab load merge"),
    }
}

/// A valid value of the flag that is not its default.
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
            let line: Vec<String> = start.iter().map(ToString::to_string).chain(expected).collect();
            let words: Vec<String> = line.iter().map(|word| quoted(word)).collect();
            assert_eq!(command_of(&line), format!("lab {}", words.join(" ")), "--{long}");
            flags += 1;
        }
    }
    assert!(flags > 40, "{flags}");
}

#[test]
fn secrets_are_hidden_and_output_flags_are_left_out() {
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
        command_of(&line.map(str::to_owned)),
        "lab load 'http://***@h/?a=b%20c' 'http://***@h/' '3*https://h/' --header 'Accept: text/html' --header 'x-api: ***' \
         --body '***'"
    );
    assert_eq!(quoted("it's"), r"'it'\''s'");
}
