//! Redis is away for long, and its clock is stepped, while long tasks run: none starts twice, none is charged.

use std::{fs, time::Duration};

use lab::queue::{
    Due, NewTask,
    broker::{Broker, Looked},
};

use super::{
    hits_a_kind,
    role::{Act, LEASE, offer, task},
    watcher::Expected,
    world::World,
};
use crate::{
    history::{What, now_us},
    hits::{Hits, Plan},
    power::shim,
    redis_server::RedisServer,
};

const KIND: &str = "Redis away, its clock stepped";
/// How long Redis is away; in the small run, longer than a lease.
const AWAY: Duration = Duration::from_secs(30);
const AWAY_SMALL: Duration = Duration::from_secs(3);
/// How far its clock is stepped, in microseconds.
const STEP_US: i64 = 3_600_000_000;
/// Hits of a long run: each takes more than half a minute.
const HITS: u64 = 10;
const WORKERS: usize = 3;
const CONCURRENCY: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_task_starts_twice_when_redis_was_away_and_its_clock_was_stepped() {
    let plan = Plan::of_environment();
    // Forth and back, so that in the end nothing waits for an hour.
    let (each, away) = match plan.hits {
        Some(_) => (hits_a_kind(plan).min(HITS).next_multiple_of(2), AWAY),
        None => (2, AWAY_SMALL),
    };
    let hits = Hits::default();
    let folder = tempfile::tempdir().expect("a folder");
    let clock = folder.path().join("clock");
    let step = |us: i64| fs::write(&clock, us.to_le_bytes()).expect("a clock");
    step(0);
    let environment = [("LD_PRELOAD", shim()), ("CUT_CLOCK", clock.clone())];
    let environment = environment.map(|(name, path)| (name.to_owned(), path.display().to_string()));
    let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
    let server =
        RedisServer::start_in(tempfile::tempdir().expect("a folder"), &arguments, environment.to_vec()).await;
    assert!(LEASE < away);
    let mut world = World::around(server, plan.seed, Vec::new()).await;
    for number in 0..WORKERS {
        let work = Act::Work { concurrency: CONCURRENCY };
        let worker = world.client(&format!("worker-{number}"), work).await;
        world.workers.push(worker);
    }
    let broker = Broker::Redis(world.broker.clone());
    let mut all: Vec<NewTask> = Vec::new();
    for hit in 0..each {
        let ms = (away + LEASE).as_millis();
        let long = |_| task("2|a|".parse().expect("a lane"), Due::Now, format!("{ms} works"), None);
        let tasks: Vec<NewTask> = (0..WORKERS * CONCURRENCY).map(long).collect();
        offer(&broker, &format!("test/{hit}"), &tasks, None, &world.history).await;
        let enough = all.len() + tasks.len();
        let started = |world: &World| {
            let events = world.history.events();
            events.iter().filter(|event| matches!(event.what, What::Started { .. })).count() >= enough
        };
        let all_run = async {
            while !started(&world) {
                // A file has no sign.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(AWAY, all_run).await.expect("all tasks run");
        all.extend(tasks);
        let from_us = now_us();
        world.server.kill();
        // An hour ahead, back, an hour behind, back.
        step([STEP_US, 0, -STEP_US, 0][hit as usize % 4]);
        // The time is the subject.
        tokio::time::sleep(away).await;
        world.server.restart().await;
        world.hit("", KIND, from_us, false);
        let done = world.view.until(|view| view.ended() >= enough).await;
        hits.count(KIND, done);
    }
    for NewTask { id, .. } in &all {
        let Looked::Known(known) = broker.get(*id).await.expect("answered") else {
            panic!("{id} is unknown")
        };
        assert_eq!((known.run.delivery, known.run.failures, known.run.crashes), (1, 0, 0), "{id}");
    }
    let ended = world.end(&Expected::default()).await;
    println!("seed {}: {ended}\n{hits}", plan.seed);
    assert!(ended.faults.is_empty() && ended.starts == all.len(), "{ended}");
    assert_eq!(hits.of(KIND), each);
}
