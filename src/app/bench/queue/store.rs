//! The stores that are compared, each with the shipped processes on it, and the tasks that they are given.

use std::path::Path;

use anyhow::ensure;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{folder::Folder, redis_server::RedisServer};
use crate::{
    app::bench::child_server::ChildServer,
    queue::{
        Due, Lane, Name, NewTask, Priority, RateLimit, Rule, Scope, Spec, TaskId,
        broker::{BATCH_LIMIT, Batch, Broker, Caps, Clock, CrashRule, Enqueued, RedisBroker, SqliteBroker},
        keeper::keep,
    },
    storage::sqlite::Synchronous,
};

pub(super) const PAYLOAD_BYTES: usize = 200;
/// The types of the tasks.
pub(super) const KINDS: [&str; 5] = ["a", "b", "c", "d", "e"];
/// A limit that never binds: tasks in flight of a type, starts a microsecond, and a burst of so many.
const LIMIT: u32 = 10_000;
/// The lease of an embedded worker, as shipped.
const LEASE_MS: u64 = 2_000;
/// What lets the API's own worker take none of the tasks.
const NO_WORK: (&str, &str) = ("QUEUE_EXEC", "none=true");

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Memory,
    Always,
    File,
}

impl Which {
    pub(super) const ALL: [Self; 3] = [Self::Memory, Self::Always, Self::File];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "Redis, no persistence",
            Self::Always => "Redis, appendfsync always",
            Self::File => "SQLite, full",
        }
    }
}

/// A running store.
pub(super) struct Store {
    pub(super) broker: Broker,
    /// The server of a Redis.
    pub(super) redis: Option<RedisServer>,
    /// `lab queue api`: on the same Redis, or on a file of its own.
    pub(super) api: ChildServer,
    stop: CancellationToken,
    kept: JoinHandle<()>,
}

impl Store {
    /// Starts it, sets rules that do not bind, and starts the processes on it.
    ///
    /// # Errors
    /// When a process does not start.
    pub(super) async fn start(which: Which, redis_server: &Path, folder: &Folder) -> anyhow::Result<Self> {
        let own = folder.below(which.name())?;
        let always = ["--appendonly", "yes", "--appendfsync", "always"];
        let options = match which {
            Which::Memory => Some(&[][..]),
            Which::Always => Some(&always[..]),
            Which::File => None,
        };
        let redis = match options {
            Some(options) => Some(RedisServer::start(redis_server, &own, options).await?),
            None => None,
        };
        let broker = match &redis {
            Some(redis) => Broker::Redis(RedisBroker::connect(&redis.url()?).await?),
            None => Broker::Sqlite(SqliteBroker::open(&own, Synchronous::Full, LEASE_MS, Clock::wall())?),
        };
        for kind in KINDS {
            let rate = Some(RateLimit { interval_us: 1, burst: LIMIT });
            let rule = Rule { paused: false, in_flight_limit: Some(LIMIT), rate };
            broker.set_rule(&Scope::Kind(kind.parse()?), rule).await?;
        }
        let api = start_api(redis.as_ref(), &own.join("api")).await?;
        let stop = CancellationToken::new();
        let kept = tokio::spawn({
            let (broker, stop) = (broker.apart(), stop.clone());
            async move { keep(&broker, &Caps::default(), CrashRule::default(), &stop).await }
        });
        Ok(Self { broker, redis, api, stop, kept })
    }

    /// Enqueues tasks, so many in one request.
    ///
    /// # Errors
    /// When one is not taken.
    pub(super) async fn enqueue(&self, tasks: &[NewTask], in_one: usize) -> anyhow::Result<()> {
        enqueue(&self.broker, tasks, in_one).await
    }

    /// How many tasks wait in lanes.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(super) async fn pending(&self) -> anyhow::Result<u64> {
        Ok(self.broker.stats().await?.counts.pending)
    }

    /// Ends its processes.
    ///
    /// # Errors
    /// When one does not end.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.kept.await?;
        self.broker.close().await;
        self.api.stop().await
    }
}

async fn start_api(redis: Option<&RedisServer>, folder: &Path) -> anyhow::Result<ChildServer> {
    let (program, folder) = (std::env::current_exe()?, folder.to_string_lossy().into_owned());
    let mut environment = vec![("QUEUE_API_ADDR", "127.0.0.1:0"), NO_WORK, ("LAB_DATA_DIR", folder.as_str())];
    // As `RedisUrl` hides a password when it is shown, the address is written here.
    let url = redis.map(|redis| format!("redis://{}", redis.addr()));
    environment.extend(url.as_deref().map(|url| ("REDIS_URL", url)));
    ChildServer::start(&program, &["queue", "api"], &environment).await
}

/// Enqueues tasks one request after another, so many in one.
///
/// # Errors
/// When one is not taken.
pub(super) async fn enqueue(broker: &Broker, tasks: &[NewTask], in_one: usize) -> anyhow::Result<()> {
    for tasks in tasks.chunks(in_one.min(BATCH_LIMIT)) {
        let taken = broker.enqueue(tasks, Batch::Whole, &Caps::default()).await?;
        ensure!(matches!(taken, Enqueued::Taken(_)), "the queue does not take tasks: {taken:?}");
    }
    Ok(())
}

/// Tasks of all types and priorities.
pub(super) fn tasks(count: usize) -> Vec<NewTask> {
    let lanes: Vec<Lane> =
        Priority::ALL.into_iter().flat_map(|priority| KINDS.map(|kind| lane(priority, kind))).collect();
    let payload = format!("\"{}\"", "x".repeat(PAYLOAD_BYTES - 2));
    (0..count).map(|nth| task(lanes[nth % lanes.len()].clone(), payload.clone().into())).collect()
}

pub(super) fn lane(priority: Priority, kind: &str) -> Lane {
    // The names of this benchmark are names.
    let kind = kind.parse().unwrap_or_else(|_| unreachable!("{kind}"));
    Lane { priority, kind, group: None }
}

pub(super) fn task(lane: Lane, payload: bytes::Bytes) -> NewTask {
    let spec = Spec { attempts_limit: 5, timeout_ms: 60_000, deadline_ms: 0, trace: String::new(), payload };
    NewTask { id: TaskId::new(), lane, due: Due::Now, spec, key: None }
}

/// The types, for a worker.
pub(super) fn kinds() -> impl Iterator<Item = Name> {
    KINDS.into_iter().filter_map(|kind| kind.parse().ok())
}
