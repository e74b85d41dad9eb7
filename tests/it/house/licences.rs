//! Dependencies have a licence that `deny.toml` allows and come from the one registry.
//!
//! `cargo deny` reads the same file; this needs nothing beside cargo. Advisories are left to `cargo deny`,
//! because they need a database.

use std::process::Command;

use serde_json::Value;
use spdx::{Expression, Licensee, ParseMode};

use super::{read, root};

/// Where cargo says that a crate of the public registry is from; in parts, as no file names its host.
const REGISTRY: [&str; 3] = ["registry+https://github.com/rust-lang/", "crates", ".io-index"];

/// Whether an SPDX expression can be satisfied from the allowed licences. `/` is an old `OR`.
fn allowed(expression: &str, list: &[String]) -> bool {
    const MODE: ParseMode = ParseMode {
        allow_slash_as_or_operator: true,
        allow_imprecise_license_names: false,
        allow_postfix_plus_on_gpl: false,
        allow_deprecated: true,
        allow_unknown: false,
    };
    let known: Vec<Licensee> = list
        .iter()
        .map(|licence| Licensee::parse(licence).unwrap_or_else(|error| panic!("{error}")))
        .collect();
    Expression::parse_mode(expression, MODE).is_ok_and(|expression| {
        expression.evaluate(|wanted| known.iter().any(|licence| licence.satisfies(wanted)))
    })
}

/// What is wrong with the crates that `cargo metadata` lists.
fn refused(metadata: &Value, list: &[String]) -> Vec<String> {
    let mut refused = Vec::new();
    let resolved: Vec<&Value> =
        metadata["resolve"]["nodes"].as_array().expect("nodes").iter().map(|node| &node["id"]).collect();
    for package in metadata["packages"].as_array().expect("packages") {
        if !resolved.contains(&&package["id"]) {
            continue;
        }
        let named = format!(
            "{} {}",
            package["name"].as_str().expect("a name"),
            package["version"].as_str().expect("a version")
        );
        match package["license"].as_str() {
            None => refused.push(format!("{named}: no licence expression")),
            Some(licence) if !allowed(licence, list) => {
                refused.push(format!("{named}: licence `{licence}` is not allowed by deny.toml"));
            }
            Some(_) => {}
        }
        if package["id"] == metadata["resolve"]["root"] {
            for dependency in package["dependencies"].as_array().expect("dependencies") {
                if dependency["req"] == "*" {
                    refused.push(format!("Cargo.toml: {} has no version", dependency["name"]));
                }
            }
        } else if package["source"] != REGISTRY.concat() {
            refused.push(format!("{named}: from {}, not from the registry", package["source"]));
        }
    }
    refused
}

/// The strings of a list in `deny.toml`.
fn list(policy: &toml::Table, table: &str, key: &str) -> Vec<String> {
    let items = policy[table][key].as_array().expect("a list");
    items.iter().map(|item| item.as_str().expect("a string").to_owned()).collect()
}

#[test]
fn every_dependency_is_allowed_and_every_allowance_needed() {
    let policy: toml::Table = read("deny.toml").parse().expect("TOML");
    let licences = list(&policy, "licenses", "allow");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["metadata", "--locked", "--format-version", "1"]).current_dir(root());
    for target in list(&policy, "graph", "targets") {
        cargo.args(["--filter-platform", &target]);
    }
    let output = cargo.output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");

    let refused_now = refused(&metadata, &licences);
    assert!(refused_now.is_empty(), "\n{}", refused_now.join("\n"));
    for licence in &licences {
        let others: Vec<String> = licences.iter().filter(|other| *other != licence).cloned().collect();
        assert!(!refused(&metadata, &others).is_empty(), "deny.toml: nothing needs `{licence}`");
    }
}

#[test]
fn an_expression_is_allowed_when_it_can_be_satisfied() {
    let list = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
    for (expression, expect) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0 / MIT", true),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("GPL-3.0 AND MIT OR MIT", true),
        ("GPL-3.0 AND (MIT OR MIT)", false),
        ("(MIT OR GPL-3.0) AND Apache-2.0", true),
        ("((MIT))", true),
        ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
        ("GPL-3.0 WITH LLVM-exception", false),
        ("MIT WITH LLVM-exception", false),
        ("MIT+", true),
        ("", false),
        ("MIT MIT", false),
        ("(MIT", false),
        ("MIT)", false),
        ("MIT OR", false),
        ("MIT WITH", false),
    ] {
        assert_eq!(allowed(expression, &list), expect, "{expression}");
    }
}

#[test]
fn a_dependency_that_is_not_allowed_is_found() {
    let package = |id: &str, licence: Option<&str>, source: Option<&str>, req: &str| {
        serde_json::json!({
            "id": id, "name": id, "version": "1.0.0", "license": licence, "source": source,
            "dependencies": [{ "name": "some", "req": req }],
        })
    };
    let registry = REGISTRY.concat();
    let nodes = ["own", "good", "gpl", "bare", "git"].map(|id| serde_json::json!({ "id": id }));
    let metadata = serde_json::json!({
        "resolve": { "root": "own", "nodes": nodes },
        "packages": [
            package("own", Some("MIT"), None, "*"),
            package("good", Some("MIT OR GPL-3.0"), Some(&registry), "^1"),
            package("gpl", Some("GPL-3.0"), Some(&registry), "^1"),
            package("bare", None, Some(&registry), "^1"),
            package("git", Some("MIT"), Some("git+https://host.example/git"), "^1"),
            package("other-platform", Some("GPL-3.0"), Some(&registry), "^1"),
        ],
    });
    assert_eq!(
        refused(&metadata, &["MIT".to_owned()]),
        [
            "Cargo.toml: \"some\" has no version",
            "gpl 1.0.0: licence `GPL-3.0` is not allowed by deny.toml",
            "bare 1.0.0: no licence expression",
            "git 1.0.0: from \"git+https://host.example/git\", not from the registry",
        ]
    );
}
