//! The stack's files agree with the program and with each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;

use crate::goldens;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn dashboards() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/dashboards");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("dashboards") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let json = serde_json::from_str(&read(&format!("grafana/dashboards/{name}"))).expect("JSON");
        found.push((name, json));
    }
    assert!(found.len() >= 2);
    found
}

/// Every string under a key, however deep.
fn strings<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == key => found.push(text),
                    _ => strings(member, key, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| strings(item, key, found)),
        _ => {}
    }
}

/// Names in an expression that could be metrics: not functions, keywords, labels or texts.
pub(crate) fn metrics_in(expression: &str) -> BTreeSet<String> {
    const WORDS: [&str; 15] = [
        "by",
        "without",
        "on",
        "ignoring",
        "and",
        "or",
        "unless",
        "offset",
        "bool",
        "sum",
        "max",
        "min",
        "group_left",
        "le",
        "Inf",
    ];
    let mut found = BTreeSet::new();
    let characters: Vec<char> = expression.chars().collect();
    let (mut at, mut braces, mut in_text, mut labels) = (0, 0, false, 0);
    while at < characters.len() {
        let character = characters[at];
        if in_text {
            in_text = character != '"';
            at += 1;
            continue;
        }
        match character {
            '"' => in_text = true,
            '{' | '[' => braces += 1,
            '}' | ']' => braces -= 1,
            ')' if labels > 0 => labels -= 1,
            _ => {}
        }
        if braces == 0 && (character.is_ascii_alphabetic() || character == '_') {
            let start = at;
            while at < characters.len()
                && (characters[at].is_ascii_alphanumeric() || "_:".contains(characters[at]))
            {
                at += 1;
            }
            let word: String = characters[start..at].iter().collect();
            let rest: String = characters[at..].iter().collect::<String>().trim_start().to_owned();
            if ["by", "without", "on", "ignoring"].contains(&word.as_str()) {
                labels = 1;
            } else if labels == 0 && !rest.starts_with('(') && !WORDS.contains(&word.as_str()) {
                let after_digit = start > 0 && characters[start - 1].is_ascii_digit();
                if !after_digit {
                    found.insert(word);
                }
            }
            continue;
        }
        at += 1;
    }
    found
}

#[test]
fn metrics_are_found_in_an_expression() {
    let expression = r#"sum by (endpoint, le) (rate(a_bucket{outcome=~"ok|x",le!="+Inf"}[30s])) or b:c:d > 1.5 * e offset 1m and on (f) g"#;
    let found: Vec<String> = metrics_in(expression).into_iter().collect();
    assert_eq!(found, ["a_bucket", "b:c:d", "e", "g"]);
}

/// The rules of a file: the name after `record:` or `alert:` with its expression, folded lines joined.
pub(crate) fn rules(path: &str) -> Vec<(String, String)> {
    let text = read(path);
    let (mut rules, mut name) = (Vec::new(), "");
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let trimmed = line.trim().trim_start_matches("- ");
        if let Some(named) = trimmed.strip_prefix("record: ").or_else(|| trimmed.strip_prefix("alert: ")) {
            name = named;
        } else if let Some(first) = trimmed.strip_prefix("expr: ") {
            let mut expression = first.trim_start_matches(">-").to_owned();
            let indent = line.len() - line.trim_start().len();
            while let Some(more) = lines.next_if(|next| next.len() - next.trim_start().len() > indent) {
                expression = format!("{expression} {}", more.trim());
            }
            rules.push((name.to_owned(), expression.trim().to_owned()));
        }
    }
    rules
}

/// A histogram's series are known by its name.
fn base(name: &str) -> &str {
    let known = |name: &str| goldens::metrics().iter().any(|metric| metric.name == name);
    ["_bucket", "_sum", "_count"]
        .iter()
        .filter_map(|suffix| name.strip_suffix(suffix))
        .find(|base| known(base))
        .unwrap_or(name)
}

#[test]
fn dashboards_and_rules_name_only_metrics_that_exist_and_every_metric_is_shown() {
    let recording = rules("prometheus/rules/recording.yml");
    let alerts = rules("prometheus/rules/alerts.yml");
    assert!(recording.len() + alerts.len() > 10);
    let exists = |name: &str| {
        goldens::metrics().iter().any(|metric| metric.name == base(name))
            || recording.iter().any(|(recorded, _)| recorded == name)
            || ["up", "scrape_duration_seconds"].contains(&name)
    };
    let mut unknown = BTreeSet::new();
    let mut shown = BTreeSet::new();
    // The rules' tests feed series, and ask for them.
    let tests = read("prometheus/rules/tests.yml");
    let fed: Vec<&str> = tests.split("series: '").skip(1).filter_map(|rest| rest.split('{').next()).collect();
    assert!(fed.len() > 10);
    unknown.extend(fed.into_iter().filter(|name| !exists(name)).map(str::to_owned));
    for asked in tests.lines().filter_map(|line| line.trim().strip_prefix("- expr: ")) {
        unknown.extend(metrics_in(asked).into_iter().filter(|name| !exists(name) && name != "ALERTS"));
    }
    for (_, expression) in recording.iter().chain(&alerts) {
        unknown.extend(metrics_in(expression).into_iter().filter(|name| !exists(name)));
    }
    for (_, dashboard) in dashboards() {
        let mut expressions = Vec::new();
        strings(&dashboard, "expr", &mut expressions);
        for expression in expressions {
            for name in metrics_in(expression) {
                if !exists(&name) {
                    unknown.insert(name.clone());
                }
                shown.insert(base(&name).to_owned());
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:?}");
    let names = goldens::metrics().iter().map(|metric| &metric.name);
    let hidden: Vec<&String> = names.filter(|name| !shown.contains(*name)).collect();
    assert!(hidden.is_empty(), "no panel shows {hidden:?}");
}

#[test]
fn dashboards_are_whole() {
    let provisioned = read("grafana/provisioning/datasources/datasources.yaml");
    for (name, dashboard) in dashboards() {
        let panels = dashboard["panels"].as_array().expect("panels");
        let mut ids = BTreeMap::<i64, usize>::new();
        for panel in panels {
            *ids.entry(panel["id"].as_i64().expect("an id")).or_default() += 1;
            let kind = panel["type"].as_str().expect("a type");
            if kind != "row" && kind != "text" {
                let about = panel["description"].as_str().unwrap_or_default();
                assert!(about.len() > 10, "{name}: {} does not say how to read it", panel["title"]);
                assert!(!panel["targets"].as_array().expect("targets").is_empty());
            }
        }
        assert!(ids.values().all(|count| *count == 1), "{name}: {ids:?}");
        let mut sources = Vec::new();
        for panel in panels {
            strings(&panel["datasource"], "uid", &mut sources);
        }
        assert!(
            sources.iter().all(|uid| provisioned.contains(&format!("uid: {uid}\n"))),
            "{name}: {sources:?}"
        );
    }
    let text = read("grafana/dashboards/http-lab.json");
    for lesson in
        ["the load has risen", "is saturated", "means queueing", "back-pressure only while", "did not fall"]
    {
        assert!(text.contains(lesson), "{lesson:?} is not taught");
    }
}

/// Variables of OpenTelemetry and of the log, which every command reads.
pub(crate) const STANDARD: [&str; 4] =
    ["OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "RUST_LOG"];

/// The blocks below a line of `text`, by name: lines that are indented further than the next one.
fn blocks<'a>(text: &'a str, below: &str) -> Vec<(&'a str, Vec<&'a str>)> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines().skip_while(|line| *line != below).skip(1) {
        match line.strip_prefix("  ") {
            None if line.is_empty() => {}
            None => break,
            Some(name) if !name.starts_with([' ', '#']) => {
                found.push((name.trim_end_matches(':'), Vec::new()))
            }
            Some(_) => {
                found.iter_mut().next_back().into_iter().for_each(|(_, lines)| lines.push(line.trim()))
            }
        }
    }
    found
}

fn value<'a>(lines: &[&'a str], key: &str) -> Option<&'a str> {
    lines.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
}

fn seconds(time: &str) -> u64 {
    let (number, unit) = time.split_at(time.len() - 1);
    number.parse::<u64>().expect("a number") * if unit == "m" { 60 } else { 1 }
}

#[test]
fn compose_passes_on_only_variables_that_exist_and_waits_for_the_drain() {
    let compose = read("docker-compose.yml");
    let shared: Vec<&str> = compose
        .lines()
        .skip_while(|line| !line.starts_with("x-queue:"))
        .skip(1)
        .take_while(|line| line.starts_with(' '))
        .map(str::trim)
        .collect();
    let mut commands = BTreeSet::new();
    for (name, lines) in blocks(&compose, "services:") {
        if value(&lines, "image") != Some("concurrency-lab") {
            continue;
        }
        let words = value(&lines, "command").unwrap_or("[serve]");
        let words: Vec<&str> =
            words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
        let words = words.into_iter().take_while(|word| *word != "quiet").collect::<Vec<_>>();
        let command = format!("lab {}", words.join(" "));
        let known = goldens::variables_of(&command);
        let own = lines.iter().chain(if lines.contains(&"<<: *queue") { &shared[..] } else { &[] });
        let passed: Vec<(&str, &str)> = own
            .filter_map(|line| line.split_once(": "))
            .filter(|(name, _)| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
            .collect();
        for (variable, _) in &passed {
            assert!(
                known.contains(*variable) || STANDARD.contains(variable),
                "{name}: {variable} is no setting"
            );
        }
        let drain_ms = passed.iter().find(|(name, _)| *name == "LAB_DRAIN_MS").map_or("30000", |(_, ms)| ms);
        let drain_s = drain_ms.parse::<u64>().expect("a number") / 1_000;
        let grace = value(&lines, "stop_grace_period").map(seconds).expect("a time");
        assert!(grace > drain_s, "{name} is killed after {grace} s, and drains for {drain_s} s");
        commands.insert(command);
    }
    let queue = ["api", "monitor", "worker"].map(|part| format!("lab queue {part}"));
    assert!(queue.iter().all(|command| commands.contains(command)) && commands.len() == 6, "{commands:?}");
    for line in compose.lines().filter(|line| line.contains("ports:")) {
        let published = line.split('[').nth(1).expect("a list");
        assert!(published.split(',').all(|port| port.trim().starts_with("\"127.0.0.1:")), "{line}");
    }
}
