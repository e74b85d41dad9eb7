//! A Redis Cluster of three masters and a replica of the queue's slot: the slot is moved, and its master is killed.
//!
//! A replica that takes over has what was replicated, and may miss the last moments of what workers did. So with kills
//! the producers wait for the replica, and what is asked is that nothing replicated is lost.

use lab::{
    labelled,
    queue::broker::{Broker, RedisBroker},
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    hits_a_kind,
    process::Process,
    role::{Act, Role, Store, watch},
    watcher::{Ended, Expected, View, judge, note_hit, observe, settled},
};
use crate::{
    history::{History, now_us},
    hits::{Hits, Plan},
    redis_cluster::RedisCluster,
};

/// How many kinds are here.
pub(super) const KINDS: u64 = ClusterKind::ALL.len() as u64;
const WORKERS: usize = 2;
const PRODUCERS: usize = 2;
const CONCURRENCY: usize = 5;
/// A node that is silent for longer is replaced.
const NODE_TIMEOUT_MS: u64 = 1_500;
/// No node is ever replaced.
const NEVER_MS: u64 = 600_000;
/// Keys that are moved at a time.
const MOVED_KEYS: usize = 5;
/// Tasks that are done before a fault, at least.
const TASKS: usize = 30;

labelled! {
    /// A kind of fault.
    enum ClusterKind {
        /// The slot is moved to another master.
        Move = "slot moved",
        /// `kill -9` of the master of the slot, whose replica takes over.
        Kill = "kill -9 of the slot's master",
        /// The same of a master that stands still, and then still takes itself for the master for a moment.
        Stop = "SIGSTOP of the slot's master",
    }
}

/// A cluster, its clients, and the history of what they do.
struct ClusterWorld {
    cluster: RedisCluster,
    broker: RedisBroker,
    history: History,
    view: View,
    workers: Vec<Process>,
    producers: Vec<Process>,
    draws: ChaCha8Rng,
    over: CancellationToken,
    observer: JoinHandle<()>,
    folder: tempfile::TempDir,
}

impl ClusterWorld {
    /// A world; with a replica, producers wait until that has what they send.
    async fn start(seed: u64, replica: bool) -> Self {
        let timeout_ms = if replica { NODE_TIMEOUT_MS } else { NEVER_MS };
        let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
        let cluster = RedisCluster::start(3, replica, timeout_ms, &arguments).await;
        let folder = tempfile::tempdir().expect("a folder");
        let history = History::at(&folder.path().join("history"), "");
        watch(history.clone());
        let url = cluster.other().await.server.url();
        let broker = RedisBroker::connect(&url).await.expect("connected");
        let over = CancellationToken::new();
        let observer = observe(Broker::Redis(broker.clone()), history.of("observer"), over.clone());
        let mut draws = ChaCha8Rng::seed_from_u64(seed);
        let store = if replica { Store::Replicated(url.to_string()) } else { Store::Redis(url.to_string()) };
        let mut process = |name: String, act| {
            let (history, store) = (history.path().to_owned(), store.clone());
            Process::start(Role { act, who: format!("{name}.0"), history, store, seed: draws.random() }, &[])
        };
        let workers = (0..WORKERS)
            .map(|number| process(format!("worker-{number}"), Act::Work { concurrency: CONCURRENCY }))
            .collect();
        let producers =
            (0..PRODUCERS).map(|number| process(format!("api-{number}"), Act::Produce { from: 0 })).collect();
        Self {
            cluster,
            broker,
            view: View::of(&history),
            history,
            workers,
            producers,
            draws,
            over,
            observer: tokio::spawn(observer),
            folder,
        }
    }

    /// Strikes once. Returns whether it hit.
    async fn strike(&mut self, kind: ClusterKind) -> bool {
        let enough = self.view.ended() + TASKS;
        let goes_on = self.view.until(|view| view.ended() > enough && view.is_busy()).await;
        let (from_us, master) = (now_us(), self.cluster.master().await);
        match kind {
            ClusterKind::Move => {
                let to = (master + self.draws.random_range(1..3)) % 3;
                self.carry(to).await;
            }
            ClusterKind::Kill => {
                self.cluster.kill(master).await;
                self.cluster.revive(master).await;
            }
            ClusterKind::Stop => self.cluster.stop(master).await,
        }
        note_hit(&self.history, "", kind.label(), from_us, kind != ClusterKind::Move);
        goes_on
    }

    /// Moves the slot to another node, while tasks run.
    async fn carry(&self, to: usize) {
        self.cluster.begin_move(to).await;
        while self.cluster.move_keys(to, MOVED_KEYS).await {}
        self.cluster.end_move(to).await;
    }

    async fn end(mut self, expected: &Expected) -> Ended {
        for producer in &mut self.producers {
            producer.stop().await;
        }
        let broker = Broker::Redis(self.broker.clone());
        let is_settled = settled(&broker, &self.history, &mut self.view, expected).await;
        for worker in &mut self.workers {
            worker.stop().await;
        }
        self.over.cancel();
        self.observer.await.expect("no panic");
        let mut ended = judge(&broker, &self.history, expected, is_settled).await;
        if !ended.faults.is_empty() || !ended.lost.is_empty() {
            ended.faults.push(format!("the history is in {}", self.folder.keep().display()));
        }
        ended
    }
}

/// Strikes until a kind has hit often enough.
async fn run(kind: ClusterKind) {
    let plan = Plan::of_environment();
    let (each, hits) = (hits_a_kind(plan), Hits::default());
    let fails_over = kind != ClusterKind::Move;
    let mut world = ClusterWorld::start(plan.seed, fails_over).await;
    while hits.of(kind.label()) < each {
        let hit = world.strike(kind).await;
        hits.count(kind.label(), hit);
    }
    let ended = world.end(&Expected { forgets: fails_over, ..Expected::default() }).await;
    println!("seed {}: {ended}\n{hits}", plan.seed);
    assert!(ended.faults.is_empty() && ended.lost.is_empty(), "{ended}: {:?}", ended.lost);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_of_the_slot_loses_nothing_and_starts_nothing_twice() {
    run(ClusterKind::Move).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_takes_over_has_everything_that_was_replicated() {
    run(ClusterKind::Kill).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_has_one_that_takes_over_from_a_master_that_stood_still() {
    run(ClusterKind::Stop).await;
}
