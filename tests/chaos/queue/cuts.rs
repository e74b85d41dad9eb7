//! The death of the process that has the data: by `kill -9`, and by a power cut.

use lab::storage::sqlite::Synchronous;

use super::{
    file::FileWorld,
    hits_a_kind,
    watcher::{Ended, Expected},
    world::World,
};
use crate::{
    history::now_us,
    hits::{Hits, Plan},
    power::{Power, Undone},
    redis_server::RedisServer,
};

/// How many kinds are here.
pub(super) const KINDS: u64 = 5;
/// Tasks that are done before a cut, at least.
const TASKS: usize = 50;
const KILL_OWNER: &str = "kill -9 of the owner of a file";
const CUT_ALWAYS: &str = "power cut, Redis always";
const CUT_EVERYSEC: &str = "power cut, Redis everysec";
const CUT_FULL: &str = "power cut, SQLite FULL";
const CUT_NORMAL: &str = "power cut, SQLite NORMAL";

/// Kills the owner of a file until that has hit often enough.
async fn kill_owner(kind: &'static str, synchronous: Synchronous, cuts: bool) -> (Ended, Undone) {
    let plan = Plan::of_environment();
    let (each, hits) = (hits_a_kind(plan), Hits::default());
    let mut world = FileWorld::start(plan.seed, synchronous, cuts);
    let mut all = Undone::default();
    loop {
        world.pause().await;
        let (hit, undone) = world.kill(kind).await;
        all += undone;
        hits.count(kind, hit);
        if hits.of(kind) >= each {
            break;
        }
        world.revive();
    }
    let ended =
        world.end(&Expected { forgets: synchronous == Synchronous::Normal, ..Expected::default() }).await;
    println!("seed {}: {ended}; taken back: {all:?}\n{hits}", plan.seed);
    assert!(ended.faults.is_empty(), "{ended}");
    (ended, all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_survives_its_owner() {
    kill_owner(KILL_OWNER, Synchronous::Full, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_takes_nothing_from_a_synced_file() {
    kill_owner(CUT_FULL, Synchronous::Full, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_takes_something_from_a_file_that_is_not_synced() {
    let (ended, undone) = kill_owner(CUT_NORMAL, Synchronous::Normal, true).await;
    assert!(
        !ended.lost.is_empty() && undone != Undone::default(),
        "nothing was lost: the power cut cuts nothing"
    );
}

/// Cuts the power of Redis until that has hit often enough.
async fn cut_redis(kind: &'static str, appendfsync: &str) -> Ended {
    let plan = Plan::of_environment();
    let (each, hits) = (hits_a_kind(plan), Hits::default());
    let folder = tempfile::tempdir().expect("a folder");
    let power = Power::over(folder.path());
    let arguments = ["--appendonly", "yes", "--appendfsync", appendfsync];
    let server = RedisServer::start_in(folder, &arguments, power.environment()).await;
    let mut world = World::around(server, plan.seed, Vec::new()).await;
    world.populate().await;
    let mut all = Undone::default();
    while hits.of(kind) < each {
        let enough = world.view.ended() + TASKS;
        world.view.until(|view| view.ended() > enough && view.is_busy()).await;
        world.pause().await;
        let from_us = now_us();
        world.server.kill();
        let hit = world.view.is_busy();
        all += power.cut();
        world.server.restart().await;
        world.hit("", kind, from_us, false);
        hits.count(kind, hit);
    }
    let ended = world.end(&Expected { forgets: appendfsync != "always", ..Expected::default() }).await;
    println!("seed {}: {ended}; taken back: {all:?}\n{hits}", plan.seed);
    assert!(ended.faults.is_empty(), "{ended}");
    ended
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_takes_nothing_from_a_redis_that_syncs_always() {
    cut_redis(CUT_ALWAYS, "always").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_takes_something_from_a_redis_that_syncs_every_second() {
    let ended = cut_redis(CUT_EVERYSEC, "everysec").await;
    assert!(!ended.lost.is_empty(), "nothing was lost: the power cut cuts nothing");
}
