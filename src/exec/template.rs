//! A command with places for its input.

use std::str::FromStr;

use crate::config::{Allowed, Invalid};

/// A command whose arguments have places: words as a shell would split them, and nothing else of a shell.
///
/// `{}` stands for the whole input and `{name}` for a field of it; both are filled within the one word that
/// they stand in, so nothing takes the input apart. A place in braces of its own is itself: `{{}}` is `{}`.
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
                "a command whose places stand in its arguments, not in its program",
            ));
        }
        Ok(Self { program, arguments: words.iter().map(|word| pieces(word)).collect() })
    }
}

impl Template {
    /// The program, which has no places.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The fields that it has places for.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.arguments.iter().flatten().filter_map(|piece| match piece {
            Piece::Field(name) => Some(name.as_str()),
            Piece::Text(_) | Piece::Whole => None,
        })
    }

    /// The arguments for `whole` and its fields.
    ///
    /// # Errors
    /// The first field that has a place and is not there.
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

/// Takes a word apart into texts and places.
fn pieces(word: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut text, mut rest) = (String::new(), word);
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((place, after)) = rest.strip_prefix('{').and_then(place)
            && let Some(after) = after.strip_prefix('}')
        {
            text.push_str(&format!("{{{place}}}"));
            rest = after;
        } else if let Some((place, after)) = place(rest) {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
            pieces.push(if place.is_empty() { Piece::Whole } else { Piece::Field(place.to_owned()) });
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

/// The name in a place at the beginning of `text`, and what follows it.
fn place(text: &str) -> Option<(&str, &str)> {
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
    fn a_command_is_words_and_the_input_is_within_one() {
        let words = filled("grep -e '{}' --label=\"<{}>\" 'a b'", "x y; rm -rf \"$HOME\"");
        let expected = ["-e", "x y; rm -rf \"$HOME\"", "--label=<x y; rm -rf \"$HOME\">", "a b"];
        assert_eq!(words, expected, "no shell takes the input apart");
        for bad in ["", "  ", "'unclosed", "'' x", "{} x", "./{name} x"] {
            assert!(bad.parse::<Template>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_place_is_the_whole_a_field_or_itself_in_braces() {
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
