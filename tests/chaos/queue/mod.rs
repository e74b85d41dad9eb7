//! The queue under faults: workers and producers as processes, on a real Redis.

#[path = "../../it/queue/balance.rs"]
mod balance;
mod file;
mod kinds;
mod process;
mod role;
mod scripts;
mod watcher;
mod world;

use futures_util::StreamExt as _;
use lab::storage::sqlite::Synchronous;
use rand::{RngExt as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;

use self::{
    file::FileWorld,
    kinds::Kind,
    watcher::{Expected, note_hit},
    world::World,
};
use crate::{
    history::now_us,
    hits::{Hits, Plan},
};

/// Hits of one world: a history that can be held, and read by people.
const WORLD_HITS: usize = 60;
/// Worlds at a time: faults mostly wait.
const WORLDS_AT_A_TIME: usize = 2;
/// Hits of each kind in the small run.
const SMALL_HITS: u64 = 3;

/// How often each kind is to hit.
fn hits_a_kind(plan: Plan) -> u64 {
    let kinds = Kind::ALL.len() as u64 + 1;
    plan.hits.map_or(SMALL_HITS, |hits| hits.div_ceil(kinds))
}

/// Runs the kinds, mixed, until each has hit often enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_accepted_is_lost_whatever_is_hit() {
    let plan = Plan::of_environment();
    let each = hits_a_kind(plan);
    let hits = Hits::default();
    let mut draws = ChaCha8Rng::seed_from_u64(plan.seed);
    let mut faults: Vec<Kind> = Kind::ALL.into_iter().flat_map(|kind| (0..each).map(move |_| kind)).collect();
    faults.shuffle(&mut draws);
    let worlds: Vec<(usize, Vec<Kind>, u64)> = faults
        .chunks(WORLD_HITS)
        .enumerate()
        .map(|(world, faults)| (world, faults.to_vec(), draws.random()))
        .collect();
    let runs = worlds.into_iter().map(|(world, faults, seed)| run(world, faults, seed, &hits));
    let mut running = futures_util::stream::iter(runs).buffer_unordered(WORLDS_AT_A_TIME);
    while let Some(ended) = running.next().await {
        if let Err(faults) = ended {
            panic!("seed {}\n{hits}\n{faults}", plan.seed);
        }
    }
    println!("seed {}\n{hits}", plan.seed);
    for kind in Kind::ALL {
        assert!(hits.of(kind.label()) >= each, "{} has hit too rarely:\n{hits}", kind.label());
    }
}

/// Runs the faults one after the other in a world of their own, and checks what it did.
async fn run(world: usize, faults: Vec<Kind>, seed: u64, hits: &Hits) -> Result<(), String> {
    let mut queue = World::start(seed).await;
    for kind in faults {
        // A fault may meet nothing; then it is tried again.
        for _ in 0..5 {
            queue.pause().await;
            let hit = kind.strike(&mut queue).await;
            hits.count(kind.label(), hit);
            if hit {
                break;
            }
        }
    }
    let ended = queue.end(&Expected::default()).await;
    println!("world {world}, seed {seed}: {ended}");
    if ended.faults.is_empty() { Ok(()) } else { Err(format!("world {world}, seed {seed}: {ended}")) }
}

/// What `kill -9` of the process that owns a file is called.
const KILL_OWNER: &str = "kill -9 of the owner of a file";

/// Tasks that an owner does before it is killed.
const OWNER_TASKS: usize = 20;

/// The owner of a file is killed, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_survives_its_owner() {
    let plan = Plan::of_environment();
    let each = hits_a_kind(plan);
    let hits = Hits::default();
    let mut world = FileWorld::start(plan.seed, Synchronous::Full, Vec::new());
    while hits.of(KILL_OWNER) < each {
        world.pause().await;
        let who = world.owner.role.who.clone();
        let enough = world.view.ended() + OWNER_TASKS;
        let works = world.view.until(|view| view.ended() > enough && view.holds(&who)).await;
        assert!(works, "{who} does not work");
        let from_us = now_us();
        world.owner.kill();
        note_hit(&world.history, &who, KILL_OWNER, from_us, true);
        hits.count(KILL_OWNER, world.view.holds(&who));
        if hits.of(KILL_OWNER) < each {
            world.revive();
        }
    }
    let ended = world.end(&Expected::default()).await;
    println!("seed {}: {ended}\n{hits}", plan.seed);
    assert!(ended.faults.is_empty(), "{ended}");
}
