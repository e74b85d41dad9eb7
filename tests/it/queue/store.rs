//! A store of a test's own, with what the tests do to it.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use lab::{
    queue::{
        Due, Lane, NewTask, Spec, TaskId,
        broker::{
            Batch, Broker, Caps, Claimed, Clock, CrashRule, Enqueued, Epoch, Exchange, Exchanged, Handles,
            RedisBroker, Settled, Settlement, SqliteBroker, Traded, Verdict,
        },
        settle::Settle,
    },
    storage::sqlite::Synchronous,
};

use super::balance::balance;
use crate::{redis_cluster::RedisCluster, redis_server::RedisServer};

/// A lease that does not expire during a test.
pub(crate) const LEASE_MS: u64 = 600_000;

/// Runs each test on both brokers.
macro_rules! on_both {
    ($($name:ident,)+) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(crate::queue::store::Store::sqlite()).await;
                }
            )+
        }
        mod redis {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(crate::queue::store::Store::redis().await).await;
                }
            )+
        }
    };
}
pub(crate) use on_both;

/// The same, and on a cluster, in which a node is asked first that does not serve the queue's slot.
macro_rules! on_all {
    ($($name:ident,)+) => {
        $crate::queue::store::on_both! { $($name,)+ }
        mod cluster {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(crate::queue::store::Store::cluster().await).await;
                }
            )+
        }
    };
}
pub(crate) use on_all;

/// A broker over an empty store.
pub(crate) struct Store {
    pub(crate) broker: Broker,
    pub(crate) caps: Caps,
    /// Added to the machine's clock, in milliseconds. Redis has the machine's clock only.
    ahead_ms: Arc<AtomicU64>,
    kept: Kept,
}

enum Kept {
    Folder(tempfile::TempDir),
    Server(RedisServer),
    Cluster(#[allow(dead_code, reason = "kept until the end")] RedisCluster),
}

impl Store {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ahead_ms = Arc::new(AtomicU64::new(0));
        let broker = opened(folder.path(), &ahead_ms);
        Self { broker, caps: Caps::default(), ahead_ms, kept: Kept::Folder(folder) }
    }

    /// Changes what a file holds behind its owner's back: closes it, runs `sql`, and opens it again.
    pub(crate) async fn change_file(&mut self, sql: &str) {
        let Kept::Folder(folder) = &self.kept else { panic!("no file") };
        self.broker.close().await;
        let file = rusqlite::Connection::open(folder.path().join("queue.sqlite")).expect("opened");
        file.execute_batch(sql).expect(sql);
        file.close().expect("closed");
        self.broker = opened(folder.path(), &self.ahead_ms);
    }

    /// Sends commands to the server behind its owner's back, one a line; `K|` stands for what the keys begin with.
    pub(crate) async fn send(&self, commands: &str) {
        let Broker::Redis(broker) = &self.broker else { panic!("not Redis") };
        for line in commands.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = line.split(' ').map(|word| word.replace("K|", "{tasks:pending}|"));
            let mut command = ::redis::cmd(&words.next().expect("a command"));
            words.for_each(|word| {
                command.arg(word);
            });
            broker.redis().command::<::redis::Value>(&command).await.expect(line);
        }
    }

    pub(crate) async fn redis() -> Self {
        let server = RedisServer::start(&[]).await;
        let broker = RedisBroker::connect(&server.url()).await.expect("connected");
        let ahead_ms = Arc::default();
        Self { broker: Broker::Redis(broker), caps: Caps::default(), ahead_ms, kept: Kept::Server(server) }
    }

    /// The URL of its server.
    pub(crate) fn url(&self) -> String {
        match &self.kept {
            Kept::Server(server) => server.url().to_string(),
            Kept::Folder(_) | Kept::Cluster(_) => panic!("no single server"),
        }
    }

    pub(crate) async fn cluster() -> Self {
        // A busy machine is no reason to replace a node.
        let cluster = RedisCluster::start(2, false, 600_000, &[]).await;
        let broker = RedisBroker::connect(&cluster.other().await.server.url()).await.expect("connected");
        let ahead_ms = Arc::default();
        Self { broker: Broker::Redis(broker), caps: Caps::default(), ahead_ms, kept: Kept::Cluster(cluster) }
    }

    /// The address of its server.
    pub(crate) fn addr(&self) -> SocketAddr {
        match &self.kept {
            Kept::Server(server) => server.addr(),
            _ => panic!("no server of its own"),
        }
    }

    /// Lets a time pass for the store.
    pub(crate) async fn pass(&self, ms: u64) {
        match &self.broker {
            Broker::Sqlite(_) => {
                self.ahead_ms.fetch_add(ms, Relaxed);
            }
            // The real server has the real clock: the time is the subject.
            Broker::Redis(_) => tokio::time::sleep(Duration::from_millis(ms + 1)).await,
        }
    }

    /// Lets the lease of a process expire, as a standstill does.
    pub(crate) async fn expire(&self, epoch: u64) {
        match &self.broker {
            Broker::Redis(broker) => {
                let mut expire = redis::cmd("ZADD");
                expire.arg("{tasks:pending}|epochs").arg(0).arg(epoch);
                broker.redis().command::<()>(&expire).await.expect("answered");
            }
            Broker::Sqlite(_) => {
                // More time passes than the heartbeat has, which beats in real time.
                let holds = async || {
                    let stats = self.broker.stats().await.expect("answered");
                    stats.processes.iter().any(|process| process.epoch == epoch)
                };
                while holds().await {
                    self.pass(500).await;
                    self.broker.promote().await.expect("answered");
                    self.broker.reap(CrashRule::default()).await.expect("answered");
                }
            }
        }
    }

    pub(crate) async fn enqueue(&self, tasks: &[NewTask]) -> Vec<Verdict> {
        match self.broker.enqueue(tasks, Batch::Each, &self.caps).await.expect("answered") {
            Enqueued::Taken(verdicts) => verdicts,
            other => panic!("{other:?}"),
        }
    }

    /// Enqueues `n` tasks into a lane.
    pub(crate) async fn fill(&self, lane: &str, n: usize) -> Vec<TaskId> {
        let tasks: Vec<NewTask> = (0..n).map(|_| task(lane)).collect();
        for tasks in tasks.chunks(500) {
            assert!(self.enqueue(tasks).await.iter().all(|verdict| *verdict == Verdict::Queued));
        }
        tasks.iter().map(|task| task.id).collect()
    }

    pub(crate) async fn process(&self) -> Process<'_> {
        let epoch = self.broker.register("secret", LEASE_MS, "a test").await.expect("registered");
        Process { store: self, epoch, round: 0 }
    }

    /// Checks that every task is in one place, and that all counts say the same.
    pub(crate) async fn balances(&self) {
        let unequal = balance(&self.broker).await;
        assert!(unequal.is_empty(), "{}", unequal.join("\n"));
        let scan = self.broker.audit(false).await.expect("audited");
        assert_eq!(scan.found, 0, "{scan:#?}");
    }
}

fn opened(folder: &Path, ahead_ms: &Arc<AtomicU64>) -> Broker {
    let ahead = ahead_ms.clone();
    let clock = Clock::new(move || {
        u64::try_from(jiff::Timestamp::now().as_millisecond()).expect("after 1970") + ahead.load(Relaxed)
    });
    // The disk's speed is not what is tested.
    Broker::Sqlite(SqliteBroker::open(folder, Synchronous::Normal, LEASE_MS, clock).expect("opened"))
}

/// A worker process, as the store sees it.
pub(crate) struct Process<'a> {
    store: &'a Store,
    pub(crate) epoch: Epoch,
    pub(crate) round: u64,
}

impl Process<'_> {
    pub(crate) async fn exchange(
        &mut self,
        settled: Vec<Settlement>,
        want: u32,
        handles: Handles,
    ) -> Exchanged {
        self.round += 1;
        self.again(settled, want, handles).await
    }

    /// Sends the last round again.
    pub(crate) async fn again(&self, settled: Vec<Settlement>, want: u32, handles: Handles) -> Exchanged {
        let exchange = Exchange { round: self.round, settled, want, handles };
        self.store.broker.exchange(&self.epoch, &exchange).await.expect("answered")
    }

    pub(crate) async fn trade(&mut self, settled: Vec<Settlement>, want: u32) -> Traded {
        match self.exchange(settled, want, Handles::Any).await {
            Exchanged::Done(traded) => traded,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn claim(&mut self, want: u32) -> Vec<Claimed> {
        self.trade(Vec::new(), want).await.claimed
    }

    pub(crate) async fn settle(&mut self, task: &Claimed, settle: Settle) -> Settled {
        self.trade(vec![settlement(task, settle)], 0).await.settled[0]
    }

    /// Lets its lease expire: renews it for no time at all.
    pub(crate) async fn die(&self) {
        self.store.broker.beat(&self.epoch, 0).await.expect("answered");
    }
}

pub(crate) fn settlement(task: &Claimed, settle: Settle) -> Settlement {
    Settlement { id: task.id, delivery: task.delivery, settle }
}

pub(crate) fn lane(text: &str) -> Lane {
    text.parse().expect("a lane")
}

pub(crate) fn task(of: &str) -> NewTask {
    let spec = Spec {
        attempts_limit: 3,
        timeout_ms: 30_000,
        deadline_ms: 0,
        trace: String::new(),
        payload: "\"hello\"".into(),
    };
    NewTask { id: TaskId::new(), lane: lane(of), due: Due::Now, spec, key: None }
}
