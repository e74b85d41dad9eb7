//! The queue in a Redis Cluster of three masters and a replica: its slot is moved, and its master is killed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use lab::{
    queue::{
        NewTask, TaskId, Worker, WorkerSettings,
        broker::{Batch, Broker, Caps, CrashRule, Enqueued, RedisBroker},
        keeper::keep,
        settle::Verdict,
    },
    shutdown::Shutdown,
    storage::{Durability, StoreError, redis::Copies},
};

use super::{balance::balance, store::task};
use crate::{redis_cluster::RedisCluster, support::PATIENCE};

/// A busy machine is no reason to replace a node, where none is to be.
const NEVER_MS: u64 = 600_000;
/// Longer than any standstill of a busy machine.
const LEASE: Duration = Duration::from_secs(60);

async fn connect(cluster: &RedisCluster) -> RedisBroker {
    // Not the one that is to be found.
    RedisBroker::connect(&cluster.other().await.server.url()).await.expect("connected")
}

/// How often each task was handled.
type Handled = Arc<Mutex<HashMap<TaskId, usize>>>;

/// A worker with its keeper, which goes on until it is told to stop.
struct Working {
    stop: Shutdown,
    handled: Handled,
    running: tokio::task::JoinHandle<()>,
}

impl Working {
    fn start(broker: &Broker) -> Self {
        let (stop, handled) = (Shutdown::new(None, Duration::ZERO), Handled::default());
        let (stops, counts, broker) = (stop.clone(), handled.clone(), broker.apart());
        let settings = WorkerSettings { lease: LEASE, ..WorkerSettings::default() };
        let worker = Worker::builder(broker.clone())
            .on("a", move |task| {
                *counts.lock().expect("whole").entry(task.id).or_default() += 1;
                std::future::ready(Verdict::Done)
            })
            .expect("a name")
            .settings(settings)
            .build();
        let running = tokio::spawn(async move {
            let caps = Caps::default();
            tokio::select! {
                () = keep(&broker, &caps, CrashRule::default(), stops.aborted()) => {}
                tally = worker.run(&stops) => drop(tally.expect("the store does not refuse")),
            }
        });
        Self { stop, handled, running }
    }

    async fn stopped(self) -> HashMap<TaskId, usize> {
        self.stop.trigger();
        tokio::time::timeout(PATIENCE, self.running).await.expect("in time").expect("no panic");
        self.handled.lock().expect("whole").clone()
    }
}

/// Enqueues a task until the store has it. Returns what it survives.
async fn send(broker: &Broker, task: &NewTask) -> Durability {
    let sent = async {
        loop {
            match broker.enqueue_durably(std::slice::from_ref(task), Batch::Whole, &Caps::default()).await {
                Ok((Enqueued::Taken(_), durability)) => return durability,
                Ok((other, _)) => panic!("{other:?}"),
                Err(StoreError::Refused(why)) => panic!("{why}"),
                // It has no sign of coming back.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, sent).await.expect("in time")
}

async fn until_done(broker: &Broker, tasks: u64) {
    let done = async {
        loop {
            match broker.stats().await {
                Ok(stats) if stats.counts.succeeded >= tasks => return,
                // It has no sign for those who only watch.
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, done).await.expect("in time");
}

#[tokio::test]
async fn while_its_slot_is_moved_the_queue_stands_still_and_then_goes_on() {
    let cluster = RedisCluster::start(3, false, NEVER_MS, &[]).await;
    let broker = Broker::Redis(connect(&cluster).await);
    let tasks: Vec<NewTask> = (0..300).map(|_| task("2|a|")).collect();
    for task in &tasks[..100] {
        send(&broker, task).await;
    }
    let from = cluster.master().await;
    let to = (from + 1) % 3;
    let working = Working::start(&broker);
    until_done(&broker, 10).await;
    cluster.begin_move(to).await;
    // No script begins: of some keys it would miss those that have gone, or fail half-way at one that is new.
    let away = broker.stats().await;
    assert!(matches!(away, Err(StoreError::Away(_))), "{away:?}");
    while cluster.move_keys(to, 1).await {
        let sent = broker.enqueue(&tasks[100..], Batch::Whole, &Caps::default()).await;
        assert!(matches!(sent, Err(StoreError::Away(_))), "{sent:?}");
    }
    cluster.end_move(to).await;
    assert_eq!(cluster.master().await, to);
    for task in &tasks[100..] {
        send(&broker, task).await;
    }
    until_done(&broker, 300).await;
    // And back, with nothing to move but what is kept.
    cluster.begin_move(from).await;
    while cluster.move_keys(from, 100).await {}
    cluster.end_move(from).await;
    send(&broker, &task("2|a|")).await;
    until_done(&broker, 301).await;
    let handled = working.stopped().await;
    assert_eq!((handled.len(), handled.values().max()), (301, Some(&1)), "each once");
    let unequal = balance(&broker).await;
    assert!(unequal.is_empty(), "{}", unequal.join("\n"));
}

#[tokio::test]
async fn when_its_master_dies_the_replica_has_what_was_replicated_and_the_queue_goes_on() {
    let mut cluster = RedisCluster::start(3, true, 2_000, &[]).await;
    let copies = Copies { replicas: 1, within: Duration::from_secs(2) };
    let broker = Broker::Redis(connect(&cluster).await.with_copies(copies));
    let mut replicated = Vec::new();
    // Delayed: they wait in the store that dies.
    for _ in 0..50 {
        let task = NewTask { due: lab::queue::Due::InMs(3_600_000), ..task("2|a|") };
        if send(&broker, &task).await == Durability::Replicated {
            replicated.push(task.id);
        }
    }
    assert!(!replicated.is_empty(), "the replica is never in time");
    let working = Working::start(&broker);
    let dead = cluster.master().await;
    cluster.kill(dead).await;
    // The same handles find the new master.
    send(&broker, &task("2|a|")).await;
    until_done(&broker, 1).await;
    for id in &replicated {
        let moved = broker.run_now(*id).await.expect("answered");
        assert_eq!(moved, lab::queue::broker::RunNow::Moved, "{id} was replicated and is lost");
    }
    until_done(&broker, 1 + replicated.len() as u64).await;
    cluster.revive(dead).await;
    assert_eq!(working.stopped().await.len(), 1 + replicated.len());
    let unequal = balance(&broker).await;
    assert!(unequal.is_empty(), "{}", unequal.join("\n"));
}
