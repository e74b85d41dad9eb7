//! The queue under faults: workers and producers as processes, on a real Redis and on a real file.

mod aborts;
mod away;
#[path = "../../it/queue/balance.rs"]
mod balance;
mod cluster;
mod cuts;
mod disk;
mod file;
mod kinds;
mod mixed;
mod planted;
mod process;
mod program;
mod role;
mod scripts;
mod watcher;
mod world;

use crate::hits::Plan;

/// Hits of each kind in the small run.
const SMALL_HITS: u64 = 3;
/// How many kinds share the hits of a run. Those that take long have a number of their own.
const KINDS: u64 = kinds::Kind::ALL.len() as u64
    + cuts::KINDS
    + disk::KINDS
    + cluster::KINDS
    + mixed::PROGRAM_KINDS.len() as u64;

/// How often each of them is to hit.
fn hits_a_kind(plan: Plan) -> u64 {
    plan.hits.map_or(SMALL_HITS, |hits| hits.div_ceil(KINDS))
}
