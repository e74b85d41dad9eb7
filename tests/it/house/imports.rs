//! Imports go down only.
//!
//! Paths are read from the code itself: comments and the contents of literals do not count, `use` lists
//! and `super::super` chains that reach the crate's root do. A path in a literal (serde's `with = "..."`)
//! is not seen. A macro that stands at the root because it is exported counts as its file's room.

use std::collections::BTreeMap;

use super::{files, read};

/// The layers from the top; a room may name only rooms of lower layers.
const LAYERS: [&[&str]; 8] = [
    &["main", "cli"],
    &["app"],
    &["experiment"],
    &["http_lab", "streams", "pipeline", "queue", "analytics"],
    &["load", "theory", "sim", "storage", "web"],
    &["client", "exec"],
    &["telemetry", "latency"],
    &["config", "shutdown", "output"],
];

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

/// The modules that a file of `src` stands in, its room first.
fn modules(path: &str) -> Option<Vec<&str>> {
    let mut parts: Vec<&str> = path.strip_prefix("src/")?.strip_suffix(".rs")?.split('/').collect();
    parts.pop_if(|last| *last == "mod");
    Some(parts)
}

/// Code with comments and the contents of literals blanked, lines kept.
pub(crate) fn code(source: &str) -> String {
    let text: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < text.len() {
        let end = match text[at] {
            '/' if text.get(at + 1) == Some(&'/') => {
                at + text[at..].iter().take_while(|c| **c != '\n').count()
            }
            '/' if text.get(at + 1) == Some(&'*') => after_block_comment(&text, at),
            '"' => after_quote(&text, at, '"'),
            'r' if !is_in_name(&text, at) => after_raw(&text, at),
            '\'' if text.get(at + 1) == Some(&'\\') || text.get(at + 2) == Some(&'\'') => {
                after_quote(&text, at, '\'')
            }
            _ => at,
        };
        if end == at {
            code.push(text[at]);
            at += 1;
        } else {
            code.extend(text[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Whether what stands at `at` continues a name; the prefixes of literals (`br`, `cr`) are none.
fn is_in_name(text: &[char], at: usize) -> bool {
    let in_word = |at: usize| text.get(at).is_some_and(|c| c.is_alphanumeric() || *c == '_');
    match at.checked_sub(1) {
        Some(before) if matches!(text[before], 'b' | 'c') => before.checked_sub(1).is_some_and(in_word),
        Some(before) => in_word(before),
        None => false,
    }
}

fn after_block_comment(text: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0);
    while at < text.len() {
        match (text[at], text.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn after_quote(text: &[char], from: usize, quote: char) -> usize {
    let mut at = from + 1;
    while at < text.len() && text[at] != quote {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// The end of a raw string that starts at `from`, or `from` where none does (a name, `r#type`).
fn after_raw(text: &[char], from: usize) -> usize {
    let hashes = text[from + 1..].iter().take_while(|c| **c == '#').count();
    let opening = from + 1 + hashes;
    if text.get(opening) != Some(&'"') {
        return from;
    }
    let closing: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let rest = &text[opening + 1..];
    let length = rest.windows(closing.len()).position(|window| window == closing);
    length.map_or(text.len(), |length| opening + 1 + length + closing.len())
}

/// Names, `::` and single marks, each with its line.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let length = match word {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                word => word,
            };
            tokens.push((number + 1, &rest[..length]));
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// What some code names at the crate's root, from a module `depth` below it: (line, name).
fn named(code: &str, depth: usize) -> Vec<(usize, &str)> {
    let tokens = tokens(code);
    let token = |at: usize| tokens.get(at).map_or("", |(_, token)| token);
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        if at > 0 && token(at - 1) == "::" {
            continue;
        }
        let mut next = at + 1;
        match token(at) {
            "crate" if token(next) == "as" => found.push((tokens[at].0, "crate as")),
            "crate" | "lab" => {}
            "super" => {
                while token(next) == "::" && token(next + 1) == "super" {
                    next += 2;
                }
                // One `super` and the names between, so many modules up.
                if (next - at).div_ceil(2) < depth {
                    continue;
                }
            }
            _ => continue,
        }
        if token(next) != "::" {
            continue;
        }
        let named = first_names(&tokens[next + 1..]);
        // From a module within the file such a chain ends below the root, at names of the room's own.
        found.extend(named.into_iter().filter(|(_, name)| token(at) != "super" || layer(name).is_some()));
    }
    found
}

/// The name that some tokens begin with, or the first name of each item of the list they begin with.
fn first_names<'a>(tokens: &[(usize, &'a str)]) -> Vec<(usize, &'a str)> {
    let Some((&name, list)) = tokens.split_first() else {
        return Vec::new();
    };
    if name.1 != "{" {
        return vec![name];
    }
    let mut found = Vec::new();
    let (mut depth, mut first) = (0, true);
    for item in list {
        match item.1 {
            "{" => depth += 1,
            "}" if depth == 0 => break,
            "}" => depth -= 1,
            "," if depth == 0 => first = true,
            _ if depth == 0 && first => {
                found.push(*item);
                first = false;
            }
            _ => {}
        }
    }
    found
}

/// The exported macros that a file defines, each with the file's room.
fn exported(path: &str, source: &str) -> Vec<(String, String)> {
    let code = code(source);
    let tokens: Vec<&str> = tokens(&code).into_iter().map(|(_, token)| token).collect();
    let room = modules(path).map_or(String::new(), |modules| modules[0].to_owned());
    (0..tokens.len())
        .filter(|at| tokens[*at..].starts_with(&["macro_export"]))
        .filter_map(|at| {
            let rest = &tokens[at..];
            let name = rest.iter().position(|token| *token == "macro_rules")? + 2;
            Some(((*rest.get(name)?).to_owned(), room.clone()))
        })
        .collect()
}

/// What a file names that it must not.
fn upward(path: &str, source: &str, macros: &BTreeMap<String, String>) -> Vec<String> {
    let Some(modules) = modules(path) else {
        return Vec::new();
    };
    let from = modules[0];
    if from == "lib" {
        return Vec::new();
    }
    let Some(own) = layer(from) else {
        return vec![format!("{path}:1: the room `{from}` is in no layer")];
    };
    let fault = |(line, name): (usize, &str)| {
        let to = macros.get(name).map_or(name, String::as_str);
        let why = match layer(to) {
            _ if to == from => return None,
            Some(there) if there > own => return None,
            // `main` is the one file that may name its own layer.
            Some(there) if there == own && from == "main" => return None,
            Some(there) if there == own => "stands beside it: what two need moves down, what joins two up",
            Some(_) => "stands above it",
            None => "is in no layer",
        };
        Some(format!("{path}:{line}: `{from}` names `{name}`, which {why}"))
    };
    named(&code(source), modules.len()).into_iter().filter_map(fault).collect()
}

#[test]
fn imports_go_down_only() {
    let sources: Vec<(&String, String)> = files()
        .iter()
        .filter(|path| path.starts_with("src/") && path.ends_with(".rs"))
        .map(|path| (path, read(path)))
        .collect();
    let macros = sources.iter().flat_map(|(path, source)| exported(path, source)).collect();
    let wrong: Vec<String> =
        sources.iter().flat_map(|(path, source)| upward(path, source, &macros)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The lines and names that `upward` finds, without its words.
fn check(path: &str, source: &str, expect: &[(usize, &str)]) {
    let macros =
        exported("src/sim/b.rs", "#[macro_export]\nmacro_rules! drawn { () => {} }\nmacro_rules! own {}");
    let found = upward(path, source, &macros.into_iter().collect());
    assert_eq!(found.len(), expect.len(), "{path}: {source}: {found:?}");
    for (fault, (line, name)) in found.iter().zip(expect) {
        assert!(fault.starts_with(&format!("{path}:{line}: ")), "{fault}");
        assert!(fault.contains(&format!("`{name}`")), "{fault}");
    }
}

#[test]
fn an_import_that_does_not_go_down_is_found() {
    check("src/web/serve.rs", "use crate::http_lab::X;", &[(1, "http_lab")]);
    check("src/sim/a.rs", "//! crate::app\n\nuse crate::{config::A, web::{B, C}};", &[(3, "web")]);
    check("src/sim/a.rs", "use crate::{\n    config::A,\n    app,\n};", &[(3, "app")]);
    check("src/streams/a.rs", "fn f() { crate::http_lab::g() }", &[(1, "http_lab")]);
    check("src/config.rs", "use lab::shutdown::A;", &[(1, "shutdown")]);
    check("src/app/mod.rs", "use crate::{cli};", &[(1, "cli")]);
    check("src/latency/a.rs", "crate::drawn!();", &[(1, "drawn")]);
    check("src/app/a.rs", "crate::drawn!(); crate::own!();", &[(1, "own")]);
    check("src/rogue.rs", "", &[(1, "rogue")]);
    check("src/web/a.rs", "use crate::rogue::X;", &[(1, "rogue")]);
    check("src/web/a.rs", "use crate::*;", &[(1, "*")]);
    check("src/web/a.rs", "use crate as all;", &[(1, "crate as")]);
    check("src/web/a.rs", "use super::super::app::X;", &[(1, "app")]);
    check("src/web/mod.rs", "use super::{app, config};", &[(1, "app")]);
    check("src/web/a.rs", "let a = (\"\\\\\", crate::app::X);", &[(1, "app")]);
    check("src/web/a.rs", "let a = ('\"', crate::app::X, '\"');", &[(1, "app")]);
    check("src/web/a.rs", "fn f<'a>(x: &'a crate::app::X) {} /* ' */", &[(1, "app")]);
    check("src/web/a.rs", "let a = \"one \\\n two\"; crate::app::x();", &[(2, "app")]);
    check("src/web/a.rs", "macro_rules! m { () => { $crate::app::x() } }", &[(1, "app")]);
}

#[test]
fn an_import_that_goes_down_is_not() {
    for (path, source) in [
        ("src/web/a.rs", "use crate::{shutdown::Shutdown, web::B}; // crate::app"),
        ("src/web/a.rs", "/* /* */ crate::app */ use crate::latency::X;"),
        ("src/web/a.rs", "let x = \"a \\\" crate::app\";"),
        ("src/web/a.rs", "const TEXT: &str = \"one\\\n crate::app\n\";"),
        ("src/web/a.rs", "let x = br#\"\" crate::app \"#; let y = r\"\\\"; let r#type = 1;"),
        ("src/web/a.rs", "pub(crate) fn f() {} pub(in crate::web) fn g() {}"),
        ("src/web/a.rs", "use other::crate_::app; use super::app; use self::app::X;"),
        ("src/web/a.rs", "mod tests { use super::super::ErrorCounts; }"),
        ("src/web/mod.rs", "mod tests { use super::*; }"),
        ("src/main.rs", "use lab::{app::{self, Ending}, cli::{self, Stop}};"),
        ("src/lib.rs", "pub mod app;"),
        ("tests/it/a.rs", "use lab::app::X;"),
    ] {
        check(path, source, &[]);
    }
}
