//! Planted faults: patches to what is shipped, each of which the checker must catch.
//!
//! Nothing of them ships. A script's patch is applied to its text here, and the proxies ask the server for the patched
//! script where a client asks for the shipped one. The patch to Rust is built in a copy of the package by
//! `scripts/chaos queue --planted`.

use super::{
    kinds::Kind,
    scripts::{hash, source, whole},
    watcher::Expected,
    world::World,
};
use crate::{hits::Plan, redis_server::RedisServer};

/// A patch, by its name.
macro_rules! patch {
    ($name:literal) => {
        (concat!($name, ".patch"), include_str!(concat!("planted/", $name, ".patch")))
    };
}

const ACK_WITHOUT_TOKEN: (&str, &str) = patch!("ack_without_token");
const POP_BEFORE_RECORD: (&str, &str) = patch!("pop_before_record");
const REMOVE_THEN_PUSH: (&str, &str) = patch!("requeue_by_remove_then_push");
const PROMOTE_WITHOUT_REMOVAL: (&str, &str) = patch!("promote_without_removal");
const ANSWER_BEFORE_FSYNC: (&str, &str) = patch!("answer_before_fsync");

/// The file that a patch changes, from the package's folder on.
fn file_of(patch: &str) -> &str {
    patch.lines().find_map(|line| line.strip_prefix("--- a/")).expect("a patch names its file")
}

/// Applies a patch in the unified format. `None`: the lines of a hunk are not there, or not once.
fn apply(text: &str, patch: &str) -> Option<String> {
    let mut text = text.to_owned();
    for hunk in patch.split("\n@@ ").skip(1) {
        let lines = || hunk.lines().skip(1);
        let side = |other: char| -> String {
            let kept = lines().filter(|line| !line.starts_with(other));
            kept.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect()
        };
        let (old, new) = (side('+'), side('-'));
        if text.matches(&old).count() != 1 {
            return None;
        }
        text = text.replacen(&old, &new, 1);
    }
    Some(text)
}

/// Runs a queue with a planted fault, strikes it with faults of a kind, and returns what the checker found.
async fn found((_, patch): (&str, &str), strikes: &[Kind]) -> Vec<String> {
    let file = file_of(patch).rsplit('/').next().expect("a file");
    let name = file.strip_suffix(".lua").expect("a script");
    let shipped = source(file);
    let patched = whole(name, &apply(shipped, patch).expect("the patch applies"));
    let replaced = (hash(&whole(name, shipped)).into_bytes(), hash(&patched).into_bytes());
    let server = RedisServer::start(&[]).await;
    let mut world = World::around(server, Plan::of_environment().seed, vec![replaced]).await;
    let mut load = redis::cmd("SCRIPT");
    load.arg("LOAD").arg(&patched);
    world.broker.redis().command::<()>(&load).await.expect("loaded");
    world.populate().await;
    world.view.until(|view| view.ended() > 100).await;
    for kind in strikes {
        world.pause().await;
        kind.strike(&mut world).await;
    }
    let ended = world.end(&Expected { soon: true, ..Expected::default() }).await;
    ended.faults
}

/// Whether a fault is among those that were found.
fn has(found: &[String], part: &str) -> bool {
    found.iter().any(|fault| fault.contains(part))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ack_without_the_check_of_its_token_is_caught() {
    let found = found(ACK_WITHOUT_TOKEN, &[Kind::StopWorker; 2]).await;
    assert!(has(&found, "the store counts") || has(&found, "counts cannot be read"), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pop_before_the_record_is_caught() {
    let found = found(POP_BEFORE_RECORD, &[Kind::KillWorker; 15]).await;
    assert!(has(&found, "accepted and lost"), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_requeue_by_remove_then_push_is_caught() {
    let found = found(REMOVE_THEN_PUSH, &[Kind::CutReaper; 4]).await;
    assert!(has(&found, "accepted and lost"), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_without_removal_is_caught() {
    let found = found(PROMOTE_WITHOUT_REMOVAL, &[]).await;
    // What runs again after its end breaks the workers, too.
    assert!(has(&found, "no fault hit") || has(&found, "accepted and lost"), "{found:#?}");
}

#[test]
fn every_patch_applies_to_what_is_shipped() {
    let all = [
        ACK_WITHOUT_TOKEN,
        POP_BEFORE_RECORD,
        REMOVE_THEN_PUSH,
        PROMOTE_WITHOUT_REMOVAL,
        ANSWER_BEFORE_FSYNC,
    ];
    for (name, patch) in all {
        let file = file_of(patch);
        let shipped =
            std::fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).expect("a file");
        let patched = apply(&shipped, patch);
        assert!(
            patched.is_some_and(|patched| patched != shipped),
            "{name} does not apply to {file} any more"
        );
    }
}

#[test]
fn a_patch_applies_only_where_its_lines_are_once() {
    let patch = "--- a/file\n+++ b/file\n@@ -1,3 +1,2 @@\n one\n-two\n three\n@@ -9 +9 @@\n-four\n+five\n";
    assert_eq!(file_of(patch), "file");
    assert_eq!(apply("one\ntwo\nthree\nfour\n", patch).as_deref(), Some("one\nthree\nfive\n"));
    assert_eq!(apply("one\nthree\nfour\n", patch), None);
    assert_eq!(apply("one\ntwo\nthree\nfour\nfour\n", patch), None);
}
