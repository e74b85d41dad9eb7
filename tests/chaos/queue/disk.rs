//! The disk is full, or has lost the end of a file.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use lab::storage::sqlite::Synchronous;
use rand::RngExt as _;

use super::{
    file::FileWorld,
    hits_a_kind,
    watcher::{Expected, note_hit},
    world::World,
};
use crate::{
    history::now_us,
    hits::{Hits, Plan},
    redis_server::RedisServer,
};

/// How many kinds are here.
pub(super) const KINDS: u64 = 3;
const FULL_REDIS: &str = "disk full, Redis";
const FULL_FILE: &str = "disk full, SQLite";
const TRUNCATED: &str = "truncated append-only file";
/// Tasks that are done before a fault, at least.
const TASKS: usize = 50;

/// A small disk, in memory; it is gone when it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one. `None` where that is not allowed.
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(at);
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            Ok(output) => {
                println!("skipped: no small disk: {}", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                println!("skipped: no small disk: {error}");
                None
            }
        }
    }

    /// Fills it.
    fn fill(&self) {
        let mut filler = File::create(self.0.join("filler")).expect("a file");
        for length in [1 << 20, 1 << 12, 1] {
            let bytes = vec![0; length];
            while filler.write_all(&bytes).is_ok() {}
        }
    }

    /// Makes room again.
    fn free(&self) {
        fs::remove_file(self.0.join("filler")).expect("deleted");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever used it has ended.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_redis_and_takes_nothing() {
    let plan = Plan::of_environment();
    let (each, hits) = (hits_a_kind(plan), Hits::default());
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk")) else { return };
    let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
    let server = RedisServer::start_in(
        tempfile::tempdir_in(folder.path().join("disk")).expect("a folder"),
        &arguments,
        Vec::new(),
    );
    let mut world = World::around(server.await, plan.seed, Vec::new()).await;
    world.populate().await;
    while hits.of(FULL_REDIS) < each {
        let enough = world.view.ended() + TASKS;
        world.view.until(|view| view.ended() > enough && view.is_busy()).await;
        let from_us = now_us();
        disk.fill();
        // It syncs each write, so it gives up when it cannot.
        let server = &mut world.server;
        let stopped = async {
            while !server.has_ended() {
                // A child has no other sign here.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let stopped = tokio::time::timeout(Duration::from_secs(20), stopped).await.is_ok();
        disk.free();
        if !stopped {
            world.server.kill();
        }
        world.server.restart().await;
        world.hit("", FULL_REDIS, from_us, false);
        hits.count(FULL_REDIS, stopped);
    }
    let ended = world.end(&Expected::default()).await;
    println!("seed {}: {ended}\n{hits}", plan.seed);
    assert!(ended.faults.is_empty(), "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_holds_up_a_file_and_takes_nothing() {
    let plan = Plan::of_environment();
    let (each, hits) = (hits_a_kind(plan), Hits::default());
    let outer = tempfile::tempdir().expect("a folder");
    let folder = tempfile::tempdir_in(outer.path()).expect("a folder");
    let Some(disk) = SmallDisk::mount(&folder.path().join("store")) else { return };
    let mut world = FileWorld::start_in(folder, plan.seed, Synchronous::Full, false);
    while hits.of(FULL_FILE) < each {
        let enough = world.view.ended() + TASKS;
        let works = world.view.until(|view| view.ended() > enough).await;
        assert!(works, "it does not work: see the log beside {}", world.history.path().display());
        let from_us = now_us();
        disk.fill();
        // What is asked now is refused.
        let refused = world.stands_still(Duration::from_millis(400)).await;
        disk.free();
        note_hit(&world.history, "", FULL_FILE, from_us, false);
        hits.count(FULL_FILE, refused);
    }
    world.kill(FULL_FILE).await;
    let ended = world.end(&Expected::default()).await;
    println!("seed {}: {ended}\n{hits}", plan.seed);
    assert!(ended.faults.is_empty(), "{ended}");
    // Before its folder.
    drop(disk);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_append_only_file_loses_its_end_and_no_more() {
    let plan = Plan::of_environment();
    let (each, hits) = (hits_a_kind(plan), Hits::default());
    let server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let mut world = World::around(server, plan.seed, Vec::new()).await;
    world.populate().await;
    let mut cut_off = Vec::new();
    while hits.of(TRUNCATED) < each {
        let enough = world.view.ended() + TASKS;
        world.view.until(|view| view.ended() > enough && view.is_busy()).await;
        let from_us = now_us();
        world.server.kill();
        let file = appended(&world);
        let bytes = fs::read(&file).expect("an append-only file");
        let length = bytes.len() - world.draws.random_range(1..2_000);
        OpenOptions::new().write(true).open(&file).expect("a file").set_len(length as u64).expect("cut");
        // A script that is not whole is dropped as a whole.
        let begun = bytes[..length].windows(5).rposition(|part| part == b"MULTI").unwrap_or(0);
        cut_off.extend_from_slice(&bytes[begun..]);
        world.server.restart().await;
        rewrite(&world).await;
        world.hit("", TRUNCATED, from_us, true);
        hits.count(TRUNCATED, true);
    }
    let ended = world.end(&Expected { forgets: true, ..Expected::default() }).await;
    println!("seed {}: {ended}\n{hits}", plan.seed);
    assert!(ended.faults.is_empty(), "{ended}");
    let cut_off = String::from_utf8_lossy(&cut_off);
    let more: Vec<&String> = ended.lost.iter().filter(|id| !cut_off.contains(*id)).collect();
    assert!(more.is_empty(), "lost, and not in what was cut off: {more:?}");
}

/// The file to which Redis appends.
fn appended(world: &World) -> PathBuf {
    let folder = world.server.folder().join("appendonlydir");
    let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let number = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?.strip_prefix("appendonly.aof.")?.strip_suffix(".incr.aof")?;
        name.parse::<u64>().ok()
    };
    files.filter(|path| number(path).is_some()).max_by_key(number).expect("an append-only file")
}

/// Lets Redis write its file anew. Redis 7.0 leaves the begun part of a script in a file that it has truncated, and
/// carries that out when it loads the file the next time.
async fn rewrite(world: &World) {
    let before = appended(world);
    let say = async |words: &[&str]| loop {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        // A connection may be of before the restart.
        if let Ok(said) = world.broker.redis().command::<String>(&command).await {
            break said;
        }
    };
    say(&["BGREWRITEAOF"]).await;
    let rewritten = async {
        while appended(world) == before
            || !say(&["INFO", "persistence"]).await.contains("aof_rewrite_in_progress:0")
        {
            // It has no other sign.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), rewritten).await.expect("rewritten in time");
}
