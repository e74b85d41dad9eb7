//! The manifests in deploy/kubernetes agree with the program.

use std::{collections::BTreeSet, fs, path::Path};

use lab::queue::TaskTimeoutMs;

use crate::{
    goldens,
    stack::{STANDARD, metrics_in},
};

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes").join(file);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.starts_with('#'))
}

/// What stands after `key: ` in every line that has it.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    code(text)
        .filter_map(|line| line.trim_start_matches("- ").strip_prefix(key)?.strip_prefix(": "))
        .collect()
}

/// Names of environment variables with their values, if they stand in the file.
fn variables(text: &str) -> Vec<(&str, Option<&str>)> {
    let is_variable =
        |name: &str| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit());
    let lines: Vec<&str> = code(text).collect();
    let pairs = lines.windows(2).filter_map(|pair| {
        let name = pair[0].strip_prefix("- name: ").filter(|name| is_variable(name))?;
        Some((name, pair[1].strip_prefix("value: ").map(|value| value.trim_matches('"'))))
    });
    pairs.collect()
}

const PARTS: [&str; 3] = ["api", "worker", "monitor"];

#[test]
fn every_manifest_is_listed() {
    let list = read("kustomization.yaml");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes");
    for entry in fs::read_dir(folder).expect("manifests") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let listed = list.contains(&format!("- {name}\n")) || list.contains(&format!("path: {name}\n"));
        assert!(listed || name == "kustomization.yaml", "{name}");
    }
}

#[test]
fn variables_and_flags_of_the_manifests_exist_and_pods_listen_on_all_addresses() {
    let shared = read("lab.yaml");
    for part in PARTS {
        let own = read(&format!("{part}.yaml"));
        assert_eq!(
            values(&own, "args"),
            [format!("[queue, {part}]")],
            "no flags, or they are to be checked here"
        );
        let known = goldens::variables_of(&format!("lab queue {part}"));
        let set = [variables(&shared), variables(&own)].concat();
        assert!(set.len() > 5, "{set:?}");
        for (name, value) in &set {
            assert!(known.contains(*name) || STANDARD.contains(name), "{part}: {name} is no setting");
            // Secrets are named, and stand elsewhere.
            assert_eq!(value.is_none(), ["REDIS_URL", "LAB_ADMIN_TOKEN"].contains(name), "{part}: {name}");
        }
        let address = format!("QUEUE_{}_ADDR", part.to_uppercase());
        let listens = set.iter().find(|(name, _)| **name == address).and_then(|(_, value)| *value);
        let port = listens.and_then(|value| value.strip_prefix("0.0.0.0:")).expect("all addresses");
        assert!(own.contains(&format!("containerPort: {port} }}")), "{part} listens on {port}");
        assert!(own.contains(&format!("prometheus.io/port: \"{port}\"")), "{part} is scraped at {port}");
    }
    for line in ["runAsNonRoot: true", "readOnlyRootFilesystem: true", "path: /healthz", "path: /readyz"] {
        assert!(shared.contains(line), "{line}");
    }
}

#[test]
fn a_pod_is_given_the_time_of_its_drain() {
    let grace_s = |part: &str| {
        let file = read(&format!("{part}.yaml"));
        values(&file, "terminationGracePeriodSeconds")[0].parse::<u64>().expect("a number")
    };
    // The longest time limit that a task may have, and a minute.
    assert!(grace_s("worker") >= TaskTimeoutMs::MAX.as_secs() + 60);
    assert!(!variables(&read("worker.yaml")).iter().any(|(name, _)| *name == "LAB_DRAIN_MS"));
    for part in ["api", "monitor"] {
        let file = read(&format!("{part}.yaml"));
        let unready_ms =
            variables(&file).iter().find(|(name, _)| *name == "LAB_UNREADY_MS").and_then(|(_, ms)| *ms);
        let unready_ms: u64 = unready_ms.unwrap_or("1000").parse().expect("a number");
        // LAB_DRAIN_MS is 30 s unless it is set.
        assert!(grace_s(part) * 1_000 > 30_000 + unready_ms, "{part}");
    }
}

#[test]
fn scaling_asks_for_metrics_that_exist() {
    let scaling = read("scaling.yaml");
    let asked: BTreeSet<String> = values(&scaling, "query").into_iter().flat_map(metrics_in).collect();
    assert!(asked.len() >= 2, "{asked:?}");
    for name in asked {
        assert!(goldens::metrics().iter().any(|metric| metric.name == name), "{name}");
    }
}
