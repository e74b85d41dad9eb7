//! What holds the house together: imports, the map, the top level, documents, scripts, dependencies.
//!
//! A check is a function from text to the faults in it, each with its file and line, and is itself tested
//! with faults put there; around it stands a test that runs it over the repository's files.

mod imports;
mod licences;
mod reference;
mod waits;

use std::{
    collections::BTreeSet,
    fs,
    path::{Component, Path},
    process::Command,
    sync::LazyLock,
};

/// What may stand at the top of the repository.
const TOP: [&str; 28] = [
    ".ci",
    ".dockerignore",
    ".editorconfig",
    ".env.example",
    ".gitattributes",
    ".gitignore",
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
    "examples",
    "grafana",
    "k6",
    "otel-collector",
    "prometheus",
    "rustfmt.toml",
    "scripts",
    "src",
    "tests",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of the repository: those git tracks or would; without git, those that are there.
pub(crate) fn files() -> &'static [String] {
    static FILES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root())
            .output()
            .ok()
            .filter(|output| output.status.success() && root().join(".git").exists());
        let mut files: Vec<String> = match listed {
            Some(output) => String::from_utf8_lossy(&output.stdout).split('\0').map(str::to_owned).collect(),
            None => walk(),
        };
        files.retain(|path| root().join(path).is_file());
        files.sort();
        files.dedup();
        files
    });
    &FILES
}

/// All files but those that `.gitignore` names at the top.
fn walk() -> Vec<String> {
    let ignored = read(".gitignore");
    let ignored: Vec<&str> = ignored.lines().map(|line| line.trim_matches('/')).chain([".git"]).collect();
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder") {
            let path = format!("{folder}{}", entry.expect("an entry").file_name().to_string_lossy());
            match root().join(&path).is_dir() {
                _ if ignored.contains(&path.as_str()) => {}
                true => folders.push(path + "/"),
                false => found.push(path),
            }
        }
    }
    found
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    String::from_utf8_lossy(&fs::read(root().join(path)).expect("a file")).into_owned()
}

/// Runs a check over all files that are text.
fn over_files(check: impl Fn(&str, &str) -> Vec<String>) {
    let text = |path: &String| String::from_utf8(fs::read(root().join(path)).expect("a file")).ok();
    let faults: Vec<String> =
        files().iter().filter_map(|path| Some(check(path, &text(path)?))).flatten().collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The rooms that the map in `lib.rs` names: in its section `# Map` the lines of the code block that start
/// with `name/` or `name.rs`; an indented line goes on with the one above it.
fn mapped(lib: &str) -> Vec<&str> {
    lib.lines()
        .map_while(|line| line.strip_prefix("//!"))
        .skip_while(|line| line.trim() != "# Map")
        .skip(1)
        .take_while(|line| !line.starts_with(" # "))
        .skip_while(|line| !line.starts_with(" ```"))
        .skip(1)
        .take_while(|line| !line.starts_with(" ```"))
        .filter_map(|line| line.strip_prefix(' ')?.split(' ').next())
        .filter(|word| word.ends_with('/') || word.ends_with(".rs"))
        .collect()
}

#[test]
fn the_map_names_every_room_once_and_no_other() {
    let mut rooms: Vec<String> = fs::read_dir(root().join("src"))
        .expect("src")
        .map(|entry| entry.expect("an entry"))
        .map(|entry| {
            entry.file_name().to_string_lossy().into_owned() + if entry.path().is_dir() { "/" } else { "" }
        })
        .filter(|name| name != "lib.rs")
        .collect();
    let lib = read("src/lib.rs");
    let mut map = mapped(&lib);
    map.sort_unstable();
    rooms.sort_unstable();
    assert_eq!(map, rooms, "the map in src/lib.rs (left) and what is in src (right)");
}

#[test]
fn the_map_is_parsed_from_its_section() {
    let lib = "//! # Other\n//!\n//! a.rs  not the map\n//!\n//! # Map\n//!\n//! c.rs is prose.\n//!\n//! ```text\n\
               //! main.rs   parse\n//! web/      serve(\n//!           d.rs goes on\n//! ```\n//!\n//! e.rs is prose.\n\
               //!\n//! # Rules\n//! f/\n\npub mod web;\n";
    assert_eq!(mapped(lib), ["main.rs", "web/"]);
}

#[test]
fn the_top_level_has_no_new_entries() {
    let top: BTreeSet<&str> = files().iter().filter_map(|path| path.split('/').next()).collect();
    let stray: Vec<&&str> = top.iter().filter(|name| !TOP.contains(name)).collect();
    assert!(stray.is_empty(), "the top level is fixed (TOP in tests/it/house.rs); not in it: {stray:?}");
}

/// Words and paths that no file may hold.
fn foreign(path: &str, text: &str) -> Vec<String> {
    // Put together here, so that this file does not hold them.
    let homes = [["/ro", "ot"].concat(), ["/ho", "me"].concat(), ["/Us", "ers"].concat()];
    let hosts = [
        ["crates", ".io"].concat(),
        ["pypi", ".org"].concat(),
        ["pythonhosted", ".org"].concat(),
        ["npmjs", ".org"].concat(),
        ["npmjs", ".com"].concat(),
        ["proxy.golang", ".org"].concat(),
        ["sum.golang", ".org"].concat(),
        ["repo.maven", ".apache.org"].concat(),
        ["deb.debian", ".org"].concat(),
    ];
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    // A whole word: `mktemp`'s row of the letter is none.
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let whole = |line: &str, what: &str, inside: &str| {
        let outside = |c: Option<char>| !c.is_some_and(|c| word(c) || inside.contains(c));
        line.match_indices(what).any(|(at, _)| {
            outside(line[..at].chars().next_back()) && !line[at + what.len()..].starts_with(word)
        })
    };
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut fault = |what: &str, why: &str| {
            faults.push(format!("{path}:{}: {what} is {why}: {}", number + 1, line.trim()));
        };
        // With a name or a variable before it, the folder is not the machine's own.
        for home in homes.iter().filter(|home| whole(line, home, ".})-/")) {
            fault(home, "a path of one machine");
        }
        // The lock file names where cargo has each crate from; its format decides that.
        for host in hosts.iter().filter(|host| path != "Cargo.lock" && line.contains(host.as_str())) {
            fault(host, "a registry's host");
        }
        for mark in marks.iter().filter(|mark| whole(line, mark, "")) {
            fault(mark, "work left undone");
        }
    }
    faults
}

#[test]
fn files_are_only_about_the_project() {
    over_files(foreign);
}

#[test]
fn a_foreign_word_is_found() {
    let lines = |text: &str| -> Vec<String> {
        let at = |fault: String| fault.split(' ').take(2).collect::<Vec<_>>().join(" ");
        foreign("a.md", text).into_iter().map(at).collect()
    };
    let home = ["/ro", "ot"].concat();
    assert_eq!(lines(&format!("one\nin {home}/x and `{home}`")), [format!("a.md:2: {home}")]);
    assert_eq!(lines(&format!("cd {}/ann/lab", ["/ho", "me"].concat())).len(), 1);
    assert_eq!(lines(&format!("src{home} ${{dir}}{home} {home}s ../x{home}/")), [""; 0]);
    let mark = ["TO", "DO"].concat();
    assert_eq!(lines(&format!("// {mark}: later")), [format!("a.md:1: {mark}")]);
    assert_eq!(lines(&format!("{mark}S mktemp x.{}", "X".repeat(6))), [""; 0]);
    let host = ["crates", ".io"].concat();
    assert_eq!(lines(&format!("from https://{host}/x")), [format!("a.md:1: {host}")]);
    assert_eq!(foreign("Cargo.lock", &host), [""; 0]);
}

/// The targets of a document's links and pictures, with their lines; those in code are none.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            // `[name]: target` alone on a line.
            let defined = line.starts_with('[').then(|| line.split_once("]: ")).flatten();
            found.extend(defined.map(|(_, rest)| (number + 1, rest)));
            let mut rest = line;
            while let Some(at) = rest.find(['`', ']']) {
                let (mark, after) = rest[at..].split_at(1);
                rest = after;
                if mark == "`" {
                    rest = rest.split_once('`').map_or("", |(_, after)| after);
                } else if let Some((target, after)) =
                    rest.strip_prefix('(').and_then(|rest| rest.split_once(')'))
                {
                    found.push((number + 1, target));
                    rest = after;
                }
            }
        }
    }
    found.iter_mut().for_each(|(_, target)| *target = target.split(" \"").next().unwrap_or_default().trim());
    found
}

/// Links of a document that lead to no file of the repository.
fn broken(path: &str, text: &str, there: impl Fn(&str) -> bool) -> Vec<String> {
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let leads = |target: &str| {
        let file = target.trim_matches(['<', '>']).split('#').next().unwrap_or_default();
        if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
            return true;
        }
        let mut parts = Vec::new();
        for part in folder.join(file).components() {
            match part {
                Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
                Component::ParentDir if !parts.is_empty() => drop(parts.pop()),
                Component::CurDir => {}
                // Out of the repository.
                _ => return false,
            }
        }
        there(&parts.join("/"))
    };
    links(text)
        .into_iter()
        .filter(|(_, target)| !leads(target))
        .map(|(line, target)| format!("{path}:{line}: no file for the link to `{target}`"))
        .collect()
}

#[test]
fn links_in_documents_are_not_broken() {
    let there = |wanted: &str| {
        let folder = format!("{wanted}/");
        files().iter().any(|path| path == wanted || path.starts_with(&folder)) || wanted.is_empty()
    };
    over_files(|path, text| if path.ends_with(".md") { broken(path, text, there) } else { Vec::new() });
}

#[test]
fn a_broken_link_is_found() {
    let there = |path: &str| ["a.md", "docs", "docs/b.md"].contains(&path);
    let check = |text: &str, expect: usize| {
        assert_eq!(broken("docs/b.md", text, there).len(), expect, "{text}");
    };
    check("[a](../a.md) [b](b.md#part) [c](#part) [d](https://host.example/x) [e](../docs)", 0);
    check("[a](../a.md \"title\") [b](<b.md>) ![c](./b.md)", 0);
    check("`[a](none.md)` and\n```sh\n[b](none.md)\n```", 0);
    check("[a](a.md)", 1);
    check("[a](/a.md) [b](../../a.md)", 2);
    check("[a]\n\n[a]: none.md\n", 1);
    check("[a][b] [c](none.md), [`d`](none.md)", 2);
    assert_eq!(
        broken("docs/b.md", "one\n[a](none.md)", there),
        ["docs/b.md:2: no file for the link to `none.md`"]
    );
}

/// What keeps a file from being run as a script.
fn unfit(path: &str, text: &str, executable: bool) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.starts_with("#!") {
        faults.push(format!("{path}:1: no `#!` line"));
    }
    if !executable {
        faults.push(format!("{path}: not executable (git update-index --chmod=+x)"));
    }
    faults
}

#[cfg(unix)]
#[test]
fn scripts_can_be_run() {
    use std::os::unix::fs::PermissionsExt as _;
    for script in ["scripts/test", ".ci/run"] {
        assert!(files().iter().any(|path| path == script), "{script} is missing");
    }
    over_files(|path, text| {
        if !path.starts_with("scripts/") && !path.starts_with(".ci/") {
            return Vec::new();
        }
        let mode = fs::metadata(root().join(path)).expect("a file").permissions().mode();
        unfit(path, text, mode & 0o111 != 0)
    });
}

#[test]
fn a_script_that_cannot_be_run_is_found() {
    assert_eq!(unfit("scripts/a", "#!/usr/bin/env bash\n", true), [""; 0]);
    assert_eq!(unfit("scripts/a", "#!/usr/bin/env bash\n", false).len(), 1);
    assert_eq!(unfit("scripts/a", "# set -e\n", true), ["scripts/a:1: no `#!` line"]);
}

/// The first cells of a table's rows, code marks taken off: (first, second).
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
fn the_readme_is_short_and_every_page_is_served_and_listed() {
    let readme = read(Path::new("README.md"));
    assert!(readme.len() <= 7 * 1024, "{} bytes", readme.len());
    let server = crate::support::Server::start(&["serve"], &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ask = |path: &str| runtime.block_on(crate::support::get(server.addr, path));
    let list = ask("/docs").body;
    for path in files() {
        let Some(name) = path.strip_prefix("docs/").and_then(|name| name.strip_suffix(".md")) else {
            continue;
        };
        assert!(readme.contains(&format!("(docs/{name}.md)")), "README links {name}");
        assert!(list.contains(&format!("- /docs/{name}: ")), "/docs lists {name}: {list}");
        let answer = ask(&format!("/docs/{name}"));
        assert_eq!(answer.status, 200, "/docs/{name}");
        // A server's reference is its own.
        assert!(name == "reference" || answer.body == read(Path::new(&path)), "/docs/{name}");
    }
}

#[test]
fn the_page_of_the_lab_shows_every_endpoint() {
    let page = read(Path::new("docs/http-lab.md"));
    let shown: Vec<String> =
        rows(&page, "| endpoint | what it does |").into_iter().map(|(endpoint, _)| endpoint).collect();
    assert_eq!(shown, ["/sync", "/async", "/async-limited", "/async-timeout"]);
    for endpoint in shown {
        assert!(page.contains(&format!("$ curl -s localhost:8080{endpoint}\n{{")), "{endpoint}");
    }
}
