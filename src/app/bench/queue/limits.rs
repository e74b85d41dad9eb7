//! How long each script runs at its limits: 500 tasks and 1 MiB for an enqueue, 100 for
//! all others. Redis serves nobody else meanwhile.
//!
//! The server's own slow log tells the time of each script; a script's row is the longest of its runs in a round.

use std::path::Path;

use anyhow::bail;
use redis::{Value, cmd};

use super::{
    redis_server::RedisServer,
    store::{KINDS, lane, task},
};
use crate::queue::{
    Due, IdempotencyKey, Lane, NewTask, Priority, Rule, Scope, TaskId,
    broker::{
        Admission, BATCH_LIMIT, Broker, Caps, Claimed, CrashRule, Epoch, Exchange, Exchanged, Handles,
        MOVED_LIMIT, RedisBroker, Settlement, Which,
    },
    settle::{DeathReason, Settle},
};

/// A payload such that a batch is nearly 1 MiB.
const PAYLOAD_BYTES: usize = 2_000;
/// A lease that no round outlasts.
const LEASE_MS: u64 = 600_000;
/// The longest error that is kept.
const ERROR_BYTES: usize = 2_000;
/// Types of the lanes of one group.
const GROUP_KINDS: usize = 200;

/// Commands that take longer are in the slow log. It also has those that scripts run: to log them all would slow a
/// script down.
const LOGGED_US: u64 = 100;

/// The rows, in the order in which they are measured.
pub(super) const SCRIPTS: [&str; 21] = [
    "enqueue, 500 tasks",
    "enqueue, 500 lanes",
    "exchange, claim 100",
    "exchange, claim 100 of 500 lanes",
    "exchange, settle and claim 100",
    "exchange, 100 retries",
    "exchange, 100 burials",
    "promote, 100",
    "reap, 100",
    "unbury, replay 100",
    "unbury, discard 100",
    "sweep, 100",
    "peek, 512 KiB",
    "admit, 100",
    "list, 100 dead letters",
    "lanes, 200 a page",
    "rule of a group of 600 lanes",
    "stats",
    "get",
    "run_now",
    "cancel",
];

/// A queue on a Redis of its own.
struct Probe {
    broker: Broker,
    redis: RedisBroker,
    caps: Caps,
    epoch: Epoch,
    round: u64,
    found: Vec<(&'static str, f64)>,
    _server: RedisServer,
}

/// The milliseconds of each of [`SCRIPTS`], in one round.
///
/// # Errors
/// When Redis does not start or refuses a script.
pub(super) async fn measure(redis_server: &Path, folder: &Path) -> anyhow::Result<Vec<(&'static str, f64)>> {
    let mut probe = Probe::start(redis_server, folder).await?;
    probe.tasks().await?;
    probe.dead_letters().await?;
    probe.crash().await?;
    probe.raw_list().await?;
    probe.many_lanes().await?;
    probe.small_ones().await?;
    Ok(probe.found)
}

impl Probe {
    async fn start(redis_server: &Path, folder: &Path) -> anyhow::Result<Self> {
        let logged = LOGGED_US.to_string();
        let options = ["--slowlog-log-slower-than", &logged, "--slowlog-max-len", "1000"];
        let server = RedisServer::start(redis_server, folder, &options).await?;
        let redis = RedisBroker::connect(&server.url()?).await?;
        let broker = Broker::Redis(redis.clone());
        let epoch = broker.register("secret", LEASE_MS, "bench").await?;
        Ok(Self { broker, redis, caps: Caps::default(), epoch, round: 0, found: Vec::new(), _server: server })
    }

    /// Runs `step`, and takes down the longest script that it ran.
    async fn time<T>(
        &mut self,
        name: &'static str,
        step: impl AsyncFnOnce(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut reset = cmd("SLOWLOG");
        reset.arg("RESET");
        self.redis.redis().command::<()>(&reset).await?;
        let result = step(self).await?;
        let mut get = cmd("SLOWLOG");
        get.arg("GET").arg(1_000);
        let log: Vec<(u64, u64, u64, Vec<Value>)> = {
            let entries: Vec<Vec<Value>> = self.redis.redis().command(&get).await?;
            entries.into_iter().filter_map(entry).collect()
        };
        let scripts = log.into_iter().filter(|(.., words)| is_script(words));
        // Scripts that are not logged took less.
        let longest_us = scripts.map(|(_, _, us, _)| us).max().unwrap_or(LOGGED_US);
        self.found.push((name, longest_us as f64 / 1e3));
        Ok(result)
    }

    async fn enqueue(&self, tasks: &[NewTask]) -> anyhow::Result<()> {
        super::store::enqueue(&self.broker, tasks, BATCH_LIMIT).await
    }

    async fn exchange(&mut self, settled: Vec<Settlement>, want: usize) -> anyhow::Result<Vec<Claimed>> {
        self.round += 1;
        let exchange =
            Exchange { round: self.round, settled, want: u32::try_from(want)?, handles: Handles::Any };
        match self.broker.exchange(&self.epoch, &exchange).await? {
            Exchanged::Done(traded) => Ok(traded.claimed),
            other => bail!("the lease of the benchmark is gone: {other:?}"),
        }
    }

    /// Ends all that is pending.
    async fn drain(&mut self) -> anyhow::Result<()> {
        loop {
            let claimed = self.exchange(Vec::new(), MOVED_LIMIT).await?;
            if claimed.is_empty() {
                return Ok(());
            }
            self.exchange(settled(&claimed, &Settle::Succeeded), 0).await?;
        }
    }

    async fn tasks(&mut self) -> anyhow::Result<()> {
        let batch = tasks(BATCH_LIMIT, |_| None);
        self.time(SCRIPTS[0], async |probe| probe.enqueue(&batch).await).await?;
        self.drain().await?;
        self.enqueue(&tasks(MOVED_LIMIT, |_| None)).await?;
        let claimed =
            self.time(SCRIPTS[2], async |probe| probe.exchange(Vec::new(), MOVED_LIMIT).await).await?;
        let error = "x".repeat(ERROR_BYTES);
        let retries = settled(&claimed, &Settle::Retry { delay_ms: 0, error });
        self.time(SCRIPTS[5], async |probe| probe.exchange(retries, 0).await).await?;
        let mut moved = 0;
        self.time(SCRIPTS[7], async |probe| {
            // Those that were retried are due in the next millisecond.
            while moved < MOVED_LIMIT as u64 {
                moved += probe.broker.promote().await?.moved;
            }
            Ok(())
        })
        .await?;
        let claimed = self.exchange(Vec::new(), MOVED_LIMIT).await?;
        self.enqueue(&tasks(MOVED_LIMIT, |_| None)).await?;
        let done = settled(&claimed, &Settle::Succeeded);
        let claimed = self.time(SCRIPTS[4], async |probe| probe.exchange(done, MOVED_LIMIT).await).await?;
        self.exchange(settled(&claimed, &Settle::Succeeded), 0).await?;
        let forgets = Caps { done: 0, ..self.caps };
        self.time(SCRIPTS[11], async |probe| Ok(probe.broker.sweep(&forgets).await?)).await?;
        Ok(())
    }

    async fn dead_letters(&mut self) -> anyhow::Result<()> {
        self.enqueue(&tasks(MOVED_LIMIT, |_| None)).await?;
        let bury = || Settle::Bury { reason: DeathReason::Final, error: "x".repeat(ERROR_BYTES) };
        let claimed = self.exchange(Vec::new(), MOVED_LIMIT).await?;
        let ids: Vec<TaskId> = claimed.iter().map(|task| task.id).collect();
        let buried = settled(&claimed, &bury());
        self.time(SCRIPTS[6], async |probe| probe.exchange(buried, 0).await).await?;
        self.time(SCRIPTS[14], async |probe| Ok(probe.broker.list(Which::Dead, 0).await?)).await?;
        self.time(SCRIPTS[9], async |probe| Ok(probe.broker.replay(&ids).await?)).await?;
        let claimed = self.exchange(Vec::new(), MOVED_LIMIT).await?;
        self.exchange(settled(&claimed, &bury()), 0).await?;
        self.time(SCRIPTS[10], async |probe| Ok(probe.broker.discard(&ids).await?)).await?;
        Ok(())
    }

    async fn crash(&mut self) -> anyhow::Result<()> {
        self.enqueue(&tasks(MOVED_LIMIT, |_| None)).await?;
        self.exchange(Vec::new(), MOVED_LIMIT).await?;
        // A lease that is renewed for no time at all has expired.
        self.broker.beat(&self.epoch, 0).await?;
        self.time(SCRIPTS[8], async |probe| Ok(probe.broker.reap(CrashRule::default()).await?)).await?;
        self.epoch = self.broker.register("another", LEASE_MS, "bench").await?;
        self.round = 0;
        let claimed = self.exchange(Vec::new(), MOVED_LIMIT).await?;
        self.exchange(settled(&claimed, &Settle::Succeeded), 0).await?;
        Ok(())
    }

    async fn raw_list(&mut self) -> anyhow::Result<()> {
        let mut push = cmd("LPUSH");
        push.arg("tasks:pending");
        // Half of the limit, which is what one look reads.
        for _ in 0..MOVED_LIMIT {
            push.arg(format!("{{\"type\": \"a\", \"payload\": \"{}\"}}", "x".repeat(PAYLOAD_BYTES / 2)));
        }
        self.redis.redis().command::<()>(&push).await?;
        let limit = PAYLOAD_BYTES as u64 * 2;
        let elements = self.time(SCRIPTS[12], async |probe| Ok(probe.broker.peek(limit).await?)).await?;
        let new = tasks(elements.len(), |_| None);
        let admissions: Vec<Admission> = elements
            .into_iter()
            .zip(new)
            .map(|(element, task)| Admission { element, task, malformed: None })
            .collect();
        let caps = self.caps;
        self.time(SCRIPTS[13], async |probe| Ok(probe.broker.admit(&admissions, &caps).await?)).await?;
        let claimed = self.exchange(Vec::new(), MOVED_LIMIT).await?;
        self.exchange(settled(&claimed, &Settle::Succeeded), 0).await?;
        Ok(())
    }

    /// Each task in a lane of its own.
    async fn many_lanes(&mut self) -> anyhow::Result<()> {
        let each = tasks(BATCH_LIMIT, |nth| Some(format!("g{nth}")));
        self.time(SCRIPTS[1], async |probe| probe.enqueue(&each).await).await?;
        self.time(SCRIPTS[15], async |probe| Ok(probe.broker.lanes().await?)).await?;
        let claimed =
            self.time(SCRIPTS[3], async |probe| probe.exchange(Vec::new(), MOVED_LIMIT).await).await?;
        self.exchange(settled(&claimed, &Settle::Succeeded), 0).await?;
        self.drain().await?;
        let of_group: Vec<NewTask> = (0..GROUP_KINDS)
            .flat_map(|kind| Priority::ALL.map(|priority| lane(priority, &format!("k{kind}"))))
            .map(|lane| task(Lane { group: "tenant".parse().ok(), ..lane }, "1".into()))
            .collect();
        self.enqueue(&of_group).await?;
        let scope = Scope::Group("tenant".parse()?);
        let paused = Rule { paused: true, ..Rule::default() };
        self.time(SCRIPTS[16], async |probe| Ok(probe.broker.set_rule(&scope, paused).await?)).await?;
        Ok(())
    }

    async fn small_ones(&mut self) -> anyhow::Result<()> {
        self.time(SCRIPTS[17], async |probe| Ok(probe.broker.stats().await?)).await?;
        let delayed = NewTask { due: Due::InMs(LEASE_MS), ..task(lane(Priority::Normal, "a"), payload()) };
        self.enqueue(std::slice::from_ref(&delayed)).await?;
        let id = delayed.id;
        self.time(SCRIPTS[18], async |probe| Ok(probe.broker.get(id).await?)).await?;
        self.time(SCRIPTS[19], async |probe| Ok(probe.broker.run_now(id).await?)).await?;
        self.time(SCRIPTS[20], async |probe| Ok(probe.broker.cancel(id).await?)).await?;
        Ok(())
    }
}

fn payload() -> bytes::Bytes {
    format!("\"{}\"", "x".repeat(PAYLOAD_BYTES)).into()
}

/// Tasks of all types and priorities, with keys.
fn tasks(count: usize, group: impl Fn(usize) -> Option<String>) -> Vec<NewTask> {
    let one = |nth: usize| {
        let lane = lane(Priority::ALL[nth % 3], KINDS[nth % KINDS.len()]);
        let lane = Lane { group: group(nth).and_then(|group| group.parse().ok()), ..lane };
        let new = task(lane, payload());
        let key = IdempotencyKey { key: new.id.to_string(), fingerprint: "f".repeat(43) };
        NewTask { key: Some(key), ..new }
    };
    (0..count).map(one).collect()
}

fn settled(claimed: &[Claimed], settle: &Settle) -> Vec<Settlement> {
    let one = |task: &Claimed| Settlement { id: task.id, delivery: task.delivery, settle: settle.clone() };
    claimed.iter().map(one).collect()
}

/// Number, time, microseconds and words of an entry of the slow log.
fn entry(values: Vec<Value>) -> Option<(u64, u64, u64, Vec<Value>)> {
    let mut values = values.into_iter();
    let mut number = || match values.next()? {
        Value::Int(number) => u64::try_from(number).ok(),
        _ => None,
    };
    let (id, at, took_us) = (number()?, number()?, number()?);
    match values.next()? {
        Value::Array(words) => Some((id, at, took_us, words)),
        _ => None,
    }
}

fn is_script(words: &[Value]) -> bool {
    matches!(words.first(), Some(Value::BulkString(name)) if name.eq_ignore_ascii_case(b"EVALSHA"))
}
