//! A command with placeholders for its input.

use std::str::FromStr;

use crate::config::{Allowed, Invalid};

/// A command whose arguments contain placeholders. It is split into words as a shell does, without any other
/// shell syntax.
///
/// `{}` is replaced by the whole input and `{name}` by a field of it. The replacement stays within its word, so
/// spaces and quotes in the input do no harm. Doubled braces escape a placeholder: `{{}}` becomes `{}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    program: String,
    arguments: Vec<Vec<Piece>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Whole,
    Field(String),
}

impl Allowed for Template {
    const ALLOWED: &'static str = "a command such as 'convert {}': words, quoted where needed; no shell";
}

impl FromStr for Template {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refused = || Invalid::new(text, Self::ALLOWED);
        let mut words = shlex::split(text).ok_or_else(refused)?;
        if words.first().is_none_or(|program| program.is_empty())
            || words.iter().any(|word| word.contains('\0'))
        {
            return Err(refused());
        }
        let program = words.remove(0);
        if pieces(&program).iter().any(|piece| !matches!(piece, Piece::Text(_))) {
            return Err(Invalid::new(
                text,
                "a command with placeholders only in its arguments, not in the program's name",
            ));
        }
        Ok(Self { program, arguments: words.iter().map(|word| pieces(word)).collect() })
    }
}

impl Template {
    /// The program, which has no placeholders.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The names of the fields in its placeholders.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.arguments.iter().flatten().filter_map(|piece| match piece {
            Piece::Field(name) => Some(name.as_str()),
            Piece::Text(_) | Piece::Whole => None,
        })
    }

    /// Whether an argument has a placeholder for the whole input.
    pub fn takes_input(&self) -> bool {
        self.arguments.iter().flatten().any(|piece| *piece == Piece::Whole)
    }

    /// The arguments with `whole` and its fields filled in.
    ///
    /// # Errors
    /// The name of the first field that is missing.
    pub fn fill<'a>(
        &'a self,
        whole: &str,
        field: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<String>, &'a str> {
        let filled = |pieces: &'a Vec<Piece>| {
            let texts = pieces.iter().map(|piece| match piece {
                Piece::Text(text) => Ok(text.clone()),
                Piece::Whole => Ok(whole.to_owned()),
                Piece::Field(name) => field(name).ok_or(name.as_str()),
            });
            texts.collect()
        };
        self.arguments.iter().map(filled).collect()
    }
}

/// Splits a word into texts and placeholders.
fn pieces(word: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut text, mut rest) = (String::new(), word);
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((name, after)) = rest.strip_prefix('{').and_then(placeholder)
            && let Some(after) = after.strip_prefix('}')
        {
            text.push_str(&format!("{{{name}}}"));
            rest = after;
        } else if let Some((name, after)) = placeholder(rest) {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
            pieces.push(if name.is_empty() { Piece::Whole } else { Piece::Field(name.to_owned()) });
            rest = after;
        } else {
            text.push('{');
            rest = &rest[1..];
        }
    }
    pieces.push(Piece::Text(text + rest));
    pieces.retain(|piece| *piece != Piece::Text(String::new()));
    pieces
}

/// Parses the placeholder at the beginning of `text` into its name and the remaining text.
fn placeholder(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix('{')?.split_once('}')?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        && !name.starts_with(|first: char| first.is_ascii_digit() || first == '-');
    is_name.then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, whole: &str) -> Vec<String> {
        let template: Template = template.parse().expect("a command");
        template.fill(whole, |name| (name == "to").then(|| "a b".to_owned())).expect("no field is missing")
    }

    #[test]
    fn the_input_stays_within_one_argument() {
        let words = filled("grep -e '{}' --label=\"<{}>\" 'a b'", "x y; rm -rf \"$HOME\"");
        let expected = ["-e", "x y; rm -rf \"$HOME\"", "--label=<x y; rm -rf \"$HOME\">", "a b"];
        assert_eq!(words, expected, "no shell takes the input apart");
        for bad in ["", "  ", "'unclosed", "'' x", "{} x", "./{name} x"] {
            assert!(bad.parse::<Template>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_placeholder_is_the_whole_input_a_field_or_escaped() {
        for (template, expected) in [
            ("x {to}", "a b"),
            ("x {to}{}{to}", "a b<>a b"),
            ("x {{}}", "{}"),
            ("x {{to}}", "{to}"),
            ("x '{\"a\":{}}'", "{\"a\":<>}"),
            ("x '{print $1}'", "{print $1}"),
            ("x '{1}{-}{'", "{1}{-}{"),
            ("x '}{'", "}{"),
        ] {
            assert_eq!(filled(template, "<>"), [expected], "{template}");
        }
        let template: Template = "x {a} '{b}{}'".parse().expect("a command");
        assert_eq!(template.fields().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(template.fill("", |name| (name == "a").then(String::new)), Err("b"));
    }
}
