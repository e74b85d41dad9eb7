//! Kinds of faults that meet in one world.

use futures_util::StreamExt as _;
use rand::{RngExt as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;

use super::{hits_a_kind, kinds::Kind, watcher::Expected, world::World};
use crate::hits::{Hits, Plan};

/// Hits of one world: a history that can be held, and read by people.
const WORLD_HITS: usize = 60;
/// How often a fault is tried until it meets something.
const TRIES: usize = 10;
/// Worlds at a time: faults mostly wait.
const WORLDS_AT_A_TIME: usize = 2;

/// What hits the program; it has the same scripts, so they are not struck again.
pub(super) const PROGRAM_KINDS: [Kind; 8] = [
    Kind::KillWorker,
    Kind::KillProducer,
    Kind::KillRedis,
    Kind::StopWorker,
    Kind::KillDraining,
    Kind::CutReply,
    Kind::Silence,
    Kind::MemoryFull,
];
/// Runs kinds, mixed, until each has hit often enough. `programs`: they hit the program itself.
async fn strike_all(kinds: &[Kind], programs: bool) {
    let plan = Plan::of_environment();
    let each = hits_a_kind(plan);
    let hits = Hits::default();
    let mut draws = ChaCha8Rng::seed_from_u64(plan.seed);
    let mut faults: Vec<Kind> = kinds.iter().flat_map(|kind| (0..each).map(|_| *kind)).collect();
    faults.shuffle(&mut draws);
    let worlds: Vec<(usize, Vec<Kind>, u64)> = faults
        .chunks(WORLD_HITS)
        .enumerate()
        .map(|(world, faults)| (world, faults.to_vec(), draws.random()))
        .collect();
    let runs = worlds.into_iter().map(|(world, faults, seed)| run(world, faults, seed, programs, &hits));
    let mut running = futures_util::stream::iter(runs).buffer_unordered(WORLDS_AT_A_TIME);
    while let Some(ended) = running.next().await {
        if let Err(faults) = ended {
            panic!("seed {}\n{hits}\n{faults}", plan.seed);
        }
    }
    println!("seed {}\n{hits}", plan.seed);
    for kind in kinds {
        assert!(hits.of(kind.label()) >= each, "{} has hit too rarely:\n{hits}", kind.label());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_accepted_is_lost_whatever_is_hit() {
    strike_all(&Kind::ALL, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_loses_nothing_that_it_accepted() {
    strike_all(&PROGRAM_KINDS, true).await;
}

/// Runs the faults one after the other in a world of their own, and checks what it did.
async fn run(world: usize, faults: Vec<Kind>, seed: u64, programs: bool, hits: &Hits) -> Result<(), String> {
    let mut queue = World::start(seed, programs).await;
    for kind in faults {
        // A fault may meet nothing; then it is tried again.
        for _ in 0..TRIES {
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
