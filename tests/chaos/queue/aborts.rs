//! A task that aborts its process, among a thousand: exactly that one is given up.

use std::collections::BTreeSet;

use lab::queue::{
    Due, NewTask,
    broker::{BATCH_LIMIT, Broker},
};
use rand::RngExt as _;

use super::{
    hits_a_kind,
    role::{Act, offer, task},
    watcher::{Expected, LOOK},
    world::World,
};
use crate::{
    history::now_us,
    hits::{Hits, Plan},
    redis_server::RedisServer,
    support::PATIENCE,
};

/// Tasks of a run, of which one aborts its process.
const TASKS: usize = 1_000;
const WORKERS: usize = 2;
/// Hits of a long run: each takes ten seconds.
const HITS: u64 = 50;

/// Runs the tasks, one of which aborts, and starts workers again as a supervisor does.
async fn abort_one(kind: &'static str, concurrency: usize, seed: u64) {
    let mut world = World::around(RedisServer::start(&[]).await, seed, Vec::new()).await;
    let bad = world.draws.random_range(0..TASKS);
    let tasks: Vec<NewTask> = (0..TASKS)
        .map(|at| {
            let ms = world.draws.random_range(0..20);
            let payload = if at == bad { "5 aborts".to_owned() } else { format!("{ms} works") };
            task("2|a|".parse().expect("a lane"), Due::Now, payload, None)
        })
        .collect();
    let broker = Broker::Redis(world.broker.clone());
    for (number, batch) in tasks.chunks(BATCH_LIMIT).enumerate() {
        offer(&broker, &format!("test/{number}"), batch, None, &world.history).await;
    }
    for number in 0..WORKERS {
        let worker = world.client(&format!("worker-{number}"), Act::Work { concurrency }).await;
        world.workers.push(worker);
    }
    let quarantined = async {
        let mut from_us = now_us();
        loop {
            let looked_us = now_us();
            for at in 0..WORKERS {
                if world.workers[at].process.has_ended() {
                    world.hit(world.workers[at].who(), kind, from_us, true);
                    world.revive_worker(at).await;
                }
            }
            from_us = looked_us;
            let counts = broker.stats().await.expect("answered").counts;
            if counts.dead > 0 && counts.pending + counts.in_flight + counts.delayed == 0 {
                return;
            }
            // A child and the store have no sign here.
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, quarantined).await.expect("all ends in time");
    let buried = BTreeSet::from([tasks[bad].id.to_string()]);
    let ended = world.end(&Expected { buried, ..Expected::default() }).await;
    println!("seed {seed}: {ended}");
    assert!(ended.faults.is_empty() && ended.tasks == TASKS - 1, "seed {seed}: {ended}");
}

async fn abort(kind: &'static str, concurrency: usize) {
    let plan = Plan::of_environment();
    let hits = Hits::default();
    let each = plan.hits.map_or(1, |_| hits_a_kind(plan).min(HITS));
    for number in 0..each {
        abort_one(kind, concurrency, plan.seed + number).await;
        hits.count(kind, true);
    }
    println!("seed {}\n{hits}", plan.seed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_tasks_only_the_one_that_aborts_is_given_up() {
    abort("a task that aborts, 5 at a time", 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_tasks_a_hundred_at_a_time_only_the_one_that_aborts_is_given_up() {
    abort("a task that aborts, 100 at a time", 100).await;
}
