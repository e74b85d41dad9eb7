//! Nothing waits for a length of time.
//!
//! Read from the text, because a wait in a test is allowed by the comment beside it.

use super::over_files;

/// Waits for a length of time: on a thread anywhere, on a task in tests unless a comment there says why.
/// In a file whose tests all run with the clock paused, a wait takes no time and is not a guess.
fn waits(path: &str, source: &str) -> Vec<String> {
    if !path.ends_with(".rs") {
        return Vec::new();
    }
    let code = code(source);
    let mut tests = code.lines().filter(|line| line.contains("#[tokio::test")).peekable();
    let paused = tests.peek().is_some() && tests.all(|test| test.contains("start_paused = true"));
    let in_tests = path.split('/').any(|part| part == "tests") && !paused;
    let mut faults = Vec::new();
    let mut explained = false;
    for (number, (line, original)) in code.lines().zip(source.lines()).enumerate() {
        // A comment stands on the line, or is the line above it.
        let comment = original.contains("//") && !line.contains("//");
        let called = |what: &str| {
            line.match_indices(what)
                .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        let why = if called("thread::sleep(") || called("thread::sleep;") {
            "a thread sleeps"
        } else if in_tests && !comment && !explained && called("sleep(") {
            "a test waits for a length of time, and no comment says why not for the event"
        } else {
            explained = comment && line.trim().is_empty();
            continue;
        };
        explained = false;
        faults.push(format!("{path}:{}: {why}: {}", number + 1, original.trim()));
    }
    faults
}

#[test]
fn no_test_waits_for_a_fixed_time() {
    over_files(waits);
}

#[test]
fn a_bare_wait_is_found() {
    let lines = |path: &str, source: &str| -> Vec<String> {
        waits(path, source)
            .into_iter()
            .filter_map(|fault| Some(fault.split(':').nth(1)?.to_owned()))
            .collect()
    };
    assert_eq!(lines("src/a.rs", "use std::thread;\n// x\nthread::sleep(A); // why"), ["3"]);
    assert_eq!(lines("src/a.rs", "use std::thread::sleep;"), ["1"]);
    assert_eq!(lines("src/a.rs", "tokio::time::sleep(A).await; // std::thread::sleep(A)"), [""; 0]);
    assert_eq!(lines("tests/it/a.rs", "f();\ntokio::time::sleep(A).await;"), ["2"]);
    assert_eq!(lines("src/web/tests/a.rs", "time::sleep(A).await;"), ["1"]);
    let paused = "#[tokio::test(start_paused = true)]\nasync fn a() { sleep(A).await; }\n";
    assert_eq!(lines("tests/it/a.rs", paused), [""; 0]);
    assert_eq!(lines("tests/it/a.rs", &format!("{paused}#[tokio::test]\nasync fn b() {{}}")), ["2"]);
    assert_eq!(lines("tests/it/a.rs", "time::sleep_until(arrival).await;"), [""; 0], "a schedule");
    assert_eq!(lines("tests/it/a.rs", "// why\nsleep(A).await;\nsleep(B).await;"), ["3"]);
    assert_eq!(lines("tests/it/a.rs", "sleep(A).await; // why"), [""; 0]);
    assert_eq!(lines("tests/it/a.rs", "let a = \"sleep(1)\"; no_sleep();"), [""; 0]);
    assert_eq!(lines("k6/a.js", "sleep(1)"), [""; 0]);
}

/// Code with comments and the contents of literals blanked, lines kept.
fn code(source: &str) -> String {
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
