//! What holds the house together: imports, the map, documents, dependencies.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The layers from the top; a room may name only rooms of lower layers.
const LAYERS: [&[&str]; 7] = [
    &["main", "cli"],
    &["app"],
    &["experiment"],
    &["http_lab", "streams", "pipeline", "queue", "analytics"],
    &["load", "theory", "sim", "storage", "web"],
    &["telemetry", "latency"],
    &["config", "shutdown"],
];

/// What may stand at the top of the repository.
const TOP: [&str; 30] = [
    ".ci",
    ".editorconfig",
    ".env.example",
    ".gitattributes",
    ".github",
    ".gitignore",
    ".dockerignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "askama.toml",
    "benches",
    "clippy.toml",
    "deny.toml",
    "deploy",
    "docker-compose.yml",
    "docs",
    "grafana",
    "k6",
    "otel-collector",
    "prometheus",
    "rustfmt.toml",
    "scripts",
    "src",
    "tests",
    "images",
    "config.yml",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of the repository: those git tracks or would; without git, those that are there.
fn files() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    match listed {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(PathBuf::from)
            .filter(|path| root().join(path).is_file())
            .collect(),
        _ => {
            let mut found = Vec::new();
            let mut folders = vec![PathBuf::new()];
            while let Some(folder) = folders.pop() {
                for entry in fs::read_dir(root().join(&folder)).expect("a folder") {
                    let path = folder.join(entry.expect("an entry").file_name());
                    match root().join(&path).is_dir() {
                        true if path.ends_with("target") || path.ends_with(".git") => {}
                        true => folders.push(path),
                        false => found.push(path),
                    }
                }
            }
            found
        }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(root().join(path)).expect("a file")).into_owned()
}

/// The room that a file of `src` is in.
fn room(path: &str) -> Option<&str> {
    path.strip_prefix("src/")?.split('/').next().map(|name| name.trim_end_matches(".rs"))
}

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

/// Code without comments and string literals, lines kept.
fn code(source: &str) -> String {
    let mut code = String::new();
    for line in source.lines() {
        let mut in_text = false;
        let mut previous = ' ';
        for (at, character) in line.char_indices() {
            if !in_text && line[at..].starts_with("//") {
                break;
            }
            if character == '"' && previous != '\\' && previous != '\'' {
                in_text = !in_text;
            } else if !in_text {
                code.push(character);
            }
            previous = character;
        }
        code.push('\n');
    }
    code
}

/// Every `crate::ROOM` and `lab::ROOM` in some code, braces opened: (line, room).
fn names(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for marker in ["crate::", "lab::"] {
        for (at, _) in code.match_indices(marker) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || before == '_' || before == ':' || before == '$' {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            let rest = &code[at + marker.len()..];
            if let Some(list) = rest.strip_prefix('{') {
                // First names of a brace list, at depth 0.
                let (mut depth, mut name, mut taking) = (0, String::new(), true);
                for character in list.chars() {
                    match character {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => {
                            found.push((line, std::mem::take(&mut name)));
                            taking = true;
                        }
                        _ if depth == 0 && taking && (character.is_alphanumeric() || character == '_') => {
                            name.push(character);
                        }
                        ':' if depth == 0 => taking = false,
                        _ => {}
                    }
                }
                found.push((line, name));
            } else {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                found.push((line, rest[..end].to_owned()));
            }
        }
    }
    found
}

/// Imports that do not go down.
fn upward(path: &str, source: &str) -> Vec<String> {
    let Some(from) = room(path) else {
        return Vec::new();
    };
    let Some(own) = layer(from) else {
        return if from == "lib" { Vec::new() } else { vec![format!("{path}: {from} is in no layer")] };
    };
    names(&code(source))
        .into_iter()
        .filter(|(_, to)| to != from)
        .filter_map(|(line, to)| Some((line, layer(&to)?, to)))
        // `main` is the one file that may name its own layer.
        .filter(|(_, below, _)| *below < own || (*below == own && from != "main"))
        .map(|(line, _, to)| format!("{path}:{line}: {from} names {to}"))
        .collect()
}

#[test]
fn imports_go_down_only() {
    let mut wrong = Vec::new();
    for path in files() {
        let name = path.to_string_lossy().into_owned();
        if name.starts_with("src/") && name.ends_with(".rs") {
            wrong.extend(upward(&name, &read(&path)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_import_that_goes_up_is_found() {
    assert_eq!(
        upward("src/web/serve.rs", "use crate::http_lab::X;"),
        ["src/web/serve.rs:1: web names http_lab"]
    );
    assert_eq!(
        upward("src/sim/a.rs", "//! crate::app\n\nuse crate::{config::A, web::{B, C}};\n"),
        ["src/sim/a.rs:3: sim names web"]
    );
    assert_eq!(
        upward("src/streams/a.rs", "fn f() { crate::http_lab::g() }").len(),
        1,
        "systems do not name another"
    );
    assert_eq!(upward("src/web/a.rs", "use crate::{shutdown::Shutdown, web::B}; // crate::app").len(), 0);
    assert_eq!(upward("src/web/a.rs", "let x = \"crate::app\";").len(), 0);
    assert_eq!(upward("src/rogue.rs", "").len(), 1);
}

#[test]
fn the_map_names_every_room_and_no_other() {
    let lib = read(Path::new("src/lib.rs"));
    let map: BTreeSet<&str> = lib
        .split("//! # Map")
        .nth(1)
        .and_then(|rest| rest.split("//! # ").next())
        .expect("a map")
        .lines()
        .filter_map(|line| line.strip_prefix("//! ")?.split_whitespace().next())
        .filter(|word| word.ends_with('/') || word.ends_with(".rs"))
        .collect();
    let mut rooms = BTreeSet::new();
    for entry in fs::read_dir(root().join("src")).expect("src") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "lib.rs" {
            rooms.insert(if entry.path().is_dir() { format!("{name}/") } else { name });
        }
    }
    assert_eq!(map, rooms.iter().map(String::as_str).collect());
}

#[test]
fn the_top_level_is_the_one_that_was_decided() {
    let stray: BTreeSet<String> = files()
        .iter()
        .filter_map(|path| Some(path.components().next()?.as_os_str().to_string_lossy().into_owned()))
        .filter(|name| !TOP.contains(&name.as_str()))
        .collect();
    assert!(stray.is_empty(), "{stray:?}");
}

#[test]
fn files_speak_of_the_project_only() {
    // Put together here, so that this file does not hold them.
    let home = ["/ro", "ot/"].concat();
    let users = ["/ho", "me/"].concat();
    let left = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    let registries = [["crates", ".io"].concat(), ["pypi", ".org"].concat(), ["npmjs", ".org"].concat()];
    let mut wrong = Vec::new();
    for path in files() {
        let name = path.to_string_lossy().into_owned();
        if name == "Cargo.lock" || name.ends_with(".png") {
            continue;
        }
        for (number, line) in read(&path).lines().enumerate() {
            let found = line.contains(&home)
                || line.contains(&users)
                || left.iter().any(|mark| line.contains(mark.as_str()))
                || registries.iter().any(|host| line.contains(host.as_str()));
            let sleeps = name.ends_with(".rs") && line.contains(&["thread::", "sleep("].concat());
            if found || sleeps {
                wrong.push(format!("{name}:{}: {line}", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for path in files().into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "md")) {
        for target in read(&path).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.contains(' ') {
                continue;
            }
            let beside = root().join(path.parent().unwrap_or(Path::new(""))).join(file);
            if !beside.exists() {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[cfg(unix)]
#[test]
fn scripts_can_be_run() {
    use std::os::unix::fs::PermissionsExt as _;
    for path in files().into_iter().filter(|path| path.starts_with("scripts") || path.starts_with(".ci")) {
        let first = read(&path).lines().next().unwrap_or_default().to_owned();
        if !first.starts_with("#!") {
            continue;
        }
        let mode = fs::metadata(root().join(&path)).expect("a file").permissions().mode();
        assert!(mode & 0o111 != 0, "{} is not executable", path.display());
    }
    for script in ["scripts/test", ".ci/run"] {
        assert!(read(Path::new(script)).starts_with("#!"), "{script}");
    }
}

/// Whether an SPDX expression can be satisfied from the allowed licences. `/` is an old `OR`.
fn allowed(expression: &str, list: &[String]) -> bool {
    let tokens = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = tokens.split_whitespace().collect();
    let mut at = 0;
    let holds = any_of(&tokens, &mut at, list);
    holds && at == tokens.len()
}

fn any_of(tokens: &[&str], at: &mut usize, list: &[String]) -> bool {
    let mut holds = all_of(tokens, at, list);
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        holds |= all_of(tokens, at, list);
    }
    holds
}

fn all_of(tokens: &[&str], at: &mut usize, list: &[String]) -> bool {
    let mut holds = one(tokens, at, list);
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        holds &= one(tokens, at, list);
    }
    holds
}

fn one(tokens: &[&str], at: &mut usize, list: &[String]) -> bool {
    let Some(token) = tokens.get(*at) else {
        return false;
    };
    *at += 1;
    if *token == "(" {
        let holds = any_of(tokens, at, list);
        let closed = tokens.get(*at) == Some(&")");
        *at += 1;
        return holds && closed;
    }
    let mut licence = (*token).to_owned();
    if tokens.get(*at) == Some(&"WITH") {
        licence = format!("{licence} WITH {}", tokens.get(*at + 1).copied().unwrap_or_default());
        *at += 2;
    }
    list.contains(&licence)
}

#[test]
fn an_expression_is_allowed_when_it_can_be_satisfied() {
    let list = ["MIT".to_owned(), "Apache-2.0".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()];
    for (expression, expect) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(MIT OR GPL-3.0) AND Apache-2.0", true),
        ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
        ("GPL-3.0 WITH LLVM-exception", false),
        ("", false),
        ("MIT MIT", false),
    ] {
        assert_eq!(allowed(expression, &list), expect, "{expression}");
    }
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let policy: toml::Table = read(Path::new("deny.toml")).parse().expect("TOML");
    let list: Vec<String> = policy["licenses"]["allow"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|licence| Some(licence.as_str()?.to_owned()))
        .collect();
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--locked",
            "--format-version",
            "1",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(root())
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let in_tree: BTreeSet<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .filter_map(|node| node["id"].as_str())
        .collect();
    let mut refused = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        if !in_tree.contains(package["id"].as_str().expect("an id")) {
            continue;
        }
        let name = package["name"].as_str().expect("a name");
        let licence = package["license"].as_str().unwrap_or_default();
        if !allowed(licence, &list) {
            refused.push(format!("{name}: licence {licence:?}"));
        }
        let source = package["source"].as_str();
        if name != "lab" && !source.is_some_and(|source| source.starts_with("registry+")) {
            refused.push(format!("{name}: source {source:?}"));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// The first cells of a README table's rows, code marks taken off: (first, second).
fn rows(readme: &str, header: &str) -> Vec<(String, String)> {
    let cell = |text: Option<&str>| text.unwrap_or_default().trim().trim_matches('`').to_owned();
    readme
        .lines()
        .skip_while(|line| !line.starts_with(header))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells = line.trim_matches('|').split('|');
            (cell(cells.next()), cell(cells.next()))
        })
        .collect()
}

#[test]
fn the_readme_lists_every_variable_with_its_default() {
    let (_, printed, _) = crate::support::run(&["config", "--json"], &[]);
    let settings: Vec<serde_json::Value> = serde_json::from_str(&printed).expect("JSON");
    let in_force: Vec<(String, String)> = settings
        .iter()
        .filter(|setting| setting["name"] != "LAB_CONFIG")
        .map(|setting| {
            let text = |key: &str| setting[key].as_str().unwrap_or("(unset)").to_owned();
            (text("name"), text("value"))
        })
        .collect();
    assert_eq!(rows(&read(Path::new("README.md")), "| variable | default |"), in_force);
}

#[test]
fn the_readme_lists_every_metric_with_its_labels() {
    let listed: BTreeSet<(String, BTreeSet<String>)> =
        rows(&read(Path::new("README.md")), "| metric | labels |")
            .into_iter()
            .map(|(name, labels)| {
                let labels =
                    labels.split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
                (name, labels)
            })
            .collect();
    let recorded: BTreeSet<(String, BTreeSet<String>)> = crate::telemetry::METRICS
        .iter()
        .map(|(name, labels)| ((*name).to_owned(), labels.split_whitespace().map(str::to_owned).collect()))
        .collect();
    assert_eq!(listed, recorded);
}

#[test]
fn the_readme_shows_every_endpoint() {
    let readme = read(Path::new("README.md"));
    let shown: Vec<String> =
        rows(&readme, "| endpoint | what it does |").into_iter().map(|(endpoint, _)| endpoint).collect();
    assert_eq!(shown, ["/sync", "/async", "/async-limited", "/async-timeout"]);
    for endpoint in shown {
        assert!(readme.contains(&format!("$ curl -s localhost:8080{endpoint}\n{{")), "{endpoint}");
    }
}
