//! The processes: this test program, started again as a producer or as a worker; or the program itself.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use lab::{
    queue::{
        Due, Handler, IdempotencyKey, Lane, NewTask, Spec, TaskId, Worker, WorkerSettings,
        broker::{
            Batch, Broker, Caps, Claimed, Clock, CrashRule, Enqueued, RedisBroker, SqliteBroker,
            Verdict as Taken,
        },
        keeper::keep,
        settle::{RetryPolicy, Verdict},
    },
    shutdown::Shutdown,
    storage::{Durability, StoreError, redis::Copies, sqlite::Synchronous},
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::watcher::observe;
use crate::history::{History, What, now_us};

/// The variable that says what the started program is.
const ROLE: &str = "CHAOS_ROLE";
/// A worker's lease: long against what a busy machine does to a process, short against a test.
pub(crate) const LEASE: Duration = Duration::from_secs(2);
/// The same of the program, which cannot say that it was not run.
const PROGRAM_LEASE: Duration = Duration::from_secs(5);
/// A process that was not run for longer may have lost its lease.
const STALL: Duration = Duration::from_millis(500);
/// Tasks of a batch.
const BATCH_TASKS: u64 = 8;
/// Between two batches of a producer.
const BATCH_PAUSE: Duration = Duration::from_millis(120);
/// How long a batch waits for a replica.
const REPLICATED_WITHIN: Duration = Duration::from_millis(500);
/// Before a store that is away is asked again.
const AWAY: Duration = Duration::from_millis(50);

/// What a process does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Role {
    pub(crate) act: Act,
    /// Its name, which no other start of a process has.
    pub(crate) who: String,
    pub(crate) history: PathBuf,
    pub(crate) store: Store,
    pub(crate) seed: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    /// Enqueues batches from this number on. The first may have been sent before, by a process that died.
    Produce { from: u64 },
    /// Handles tasks, this many at a time.
    Work { concurrency: usize },
    /// Does both, and notes what is done: the store is a file that nobody else can ask.
    Own { concurrency: usize, from: u64 },
    /// Is `lab queue api`.
    Serve,
    /// Is `lab queue worker`, which posts its tasks to this address.
    Post { receiver: SocketAddr },
}

/// Where the queue is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Store {
    /// In the Redis at this URL.
    Redis(String),
    /// The same; a batch is sent again until a replica has it.
    Replicated(String),
    /// In a file of this folder. `full`: a commit is synced before it is answered.
    File { folder: PathBuf, full: bool },
}

impl Role {
    /// Starts a process with further variables. What it prints goes to a file beside the history.
    pub(crate) fn start(&self, environment: &[(String, String)]) -> Child {
        let log = self.history.with_file_name(format!("{}.log", self.who));
        let log = std::fs::File::create(log).expect("a log");
        let mut command = match self.act {
            Act::Serve => self.program("api", &[("QUEUE_API_ADDR", "127.0.0.1:0")]),
            Act::Post { receiver } => {
                let url = format!("http://{receiver}/{}", self.who);
                let to = ["a", "b", "c"].map(|kind| format!("{kind}={url}")).join(",");
                let lease_ms = PROGRAM_LEASE.as_millis().to_string();
                let handled = [("QUEUE_HTTP", to.as_str()), ("QUEUE_HTTP_PRIVATE", "127.0.0.1")];
                let quick = [("QUEUE_BACKOFF_MS", "50"), ("QUEUE_BACKOFF_LIMIT_MS", "200")];
                self.program("worker", &[&handled[..], &quick, &[("QUEUE_LEASE_MS", &lease_ms)]].concat())
            }
            _ => {
                let mut command = Command::new(std::env::current_exe().expect("this program"));
                command.args(["--exact", "queue::role::process", "--ignored", "--nocapture"]);
                command.env(ROLE, serde_json::to_string(self).expect("JSON"));
                command
            }
        };
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a log")).stderr(log).spawn().expect("this program starts")
    }

    /// `lab queue COMMAND`, with nothing of this process's environment.
    fn program(&self, command: &str, environment: &[(&str, &str)]) -> Command {
        let Store::Redis(url) = &self.store else { panic!("{:?}", self.store) };
        let mut program = Command::new(env!("CARGO_BIN_EXE_lab"));
        program.args(["queue", command]).env_clear().env("REDIS_URL", url);
        program.envs(environment.iter().copied()).current_dir(self.history.parent().expect("a folder"));
        program
    }

    /// What the store calls the lease of the process with this id.
    pub(crate) fn leased_as(&self, id: u32) -> String {
        match self.act {
            Act::Post { .. } => {
                let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
                format!("{}:{id}", host.trim())
            }
            _ => self.who.clone(),
        }
    }
}

/// What a process of the tests runs; started by hand it does nothing.
#[test]
#[ignore = "a process that the tests start"]
fn process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let role: Role = serde_json::from_str(&role).expect("a role");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let stop = Shutdown::new(None, Duration::ZERO);
        stop.listen_for_signals().expect("signals");
        let history = History::at(&role.history, &role.who);
        watch(history.clone());
        let Some(broker) = open(&role.store, &stop).await else { return };
        let history = &history;
        match role.act {
            Act::Produce { from } => produce(&broker, &role, from, history, &stop).await,
            Act::Work { concurrency } => work(&broker, &role, concurrency, history, &stop).await,
            Act::Serve | Act::Post { .. } => unreachable!("another program"),
            Act::Own { concurrency, from } => {
                let over = stop.intake_closed().clone();
                tokio::join!(
                    produce(&broker, &role, from, history, &stop),
                    work(&broker, &role, concurrency, history, &stop),
                    observe(broker.clone(), history.of("observer"), over),
                );
            }
        }
    });
}

/// The store; `None` if it is away until `stop`.
async fn open(store: &Store, stop: &Shutdown) -> Option<Broker> {
    let (url, copies) = match store {
        Store::Redis(url) => (url, None),
        Store::Replicated(url) => (url, Some(Copies { replicas: 1, within: REPLICATED_WITHIN })),
        Store::File { folder, full } => {
            let synchronous = if *full { Synchronous::Full } else { Synchronous::Normal };
            let opened = SqliteBroker::open(folder, synchronous, LEASE.as_millis() as u64, Clock::wall());
            return Some(Broker::Sqlite(opened.expect("the file opens")));
        }
    };
    let url = url.parse().expect("a URL");
    loop {
        match RedisBroker::connect(&url).await {
            Ok(broker) => {
                return Some(Broker::Redis(match copies {
                    Some(copies) => broker.with_copies(copies),
                    None => broker,
                }));
            }
            Err(_) if stop.is_stopping() => return None,
            // It has no sign of coming back.
            Err(_) => tokio::time::sleep(AWAY).await,
        }
    }
}

/// Notes when the machine does not run this process, on a thread of its own: its lease may be lost without a fault.
pub(crate) fn watch(history: History) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let watch = async move {
        let mut last = now_us();
        loop {
            // A watch of the time itself.
            tokio::time::sleep(STALL / 10).await;
            let now = now_us();
            if now - last > STALL.as_micros() as u64 {
                history.note("", What::Stalled { from_us: last });
            }
            last = now;
        }
    };
    std::thread::spawn(move || runtime.block_on(watch));
}

/// The log of the last start of the process called `name`.
pub(crate) fn last_log(folder: &Path, name: &str) -> PathBuf {
    let log = |start: usize| folder.join(format!("{name}.{start}.log"));
    log((1..).find(|start| !log(*start).exists()).expect("a start") - 1)
}

/// What a process is called at each of its starts.
pub(crate) fn name(who: &str) -> &str {
    who.split_once('.').map_or(who, |(name, _)| name)
}

/// The tasks of a batch: drawn from its number, so that who repeats it sends the same under the same keys.
fn batch(role: &Role, number: u64) -> Vec<NewTask> {
    let producer = name(&role.who);
    let mut draws = ChaCha8Rng::seed_from_u64(role.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let tasks = (0..BATCH_TASKS).map(|index| {
        let work_ms: u64 =
            if draws.random_bool(0.1) { draws.random_range(100..400) } else { draws.random_range(0..20) };
        let fails = draws.random_bool(0.1);
        let due = if draws.random_bool(0.2) { Due::InMs(draws.random_range(1..300)) } else { Due::Now };
        let payload = format!("{work_ms} {}", if fails { "fails" } else { "works" });
        let lane = ["1|a|", "2|a|", "2|b|x", "2|b|y", "3|c|"][draws.random_range(0..5)];
        let key = IdempotencyKey {
            key: format!("{producer}/{number}/{index}"),
            fingerprint: payload.replace(' ', "-"),
        };
        task(lane.parse().expect("a lane"), due, payload, Some(key))
    });
    tasks.collect()
}

/// A task whose payload is `MS works`, `MS fails` (once) or `MS aborts`.
pub(crate) fn task(lane: Lane, due: Due, payload: String, key: Option<IdempotencyKey>) -> NewTask {
    let spec = Spec {
        attempts_limit: 5,
        timeout_ms: 60_000,
        deadline_ms: 0,
        trace: String::new(),
        payload: payload.into(),
    };
    NewTask { id: TaskId::new(), lane, due, spec, key }
}

/// Enqueues batches until `stop`; the last one is answered.
async fn produce(broker: &Broker, role: &Role, from: u64, history: &History, stop: &Shutdown) {
    for number in from.. {
        let wanted = matches!(role.store, Store::Replicated(_)).then_some(Durability::Replicated);
        offer(broker, &format!("{}/{number}", role.who), &batch(role, number), wanted, history).await;
        if stop.is_stopping() {
            return;
        }
        // The pace of the load.
        tokio::time::sleep(BATCH_PAUSE).await;
    }
}

/// Sends a batch until it is answered, and survives what is wanted.
pub(crate) async fn offer(
    broker: &Broker,
    name: &str,
    tasks: &[NewTask],
    wanted: Option<Durability>,
    history: &History,
) {
    history.write(tasks.iter().map(|task| (task.id, What::Offered { batch: name.to_owned() })));
    let verdicts = loop {
        match broker.enqueue_durably(tasks, Batch::Whole, &Caps::default()).await {
            Ok((Enqueued::Taken(verdicts), durability))
                if wanted.is_none_or(|wanted| wanted == durability) =>
            {
                break verdicts;
            }
            Ok((Enqueued::Taken(_), _)) => {}
            Ok((refused, _)) => panic!("{name}: {refused:?}"),
            Err(StoreError::Refused(why)) => panic!("{name}: {why}"),
            // It has no sign of coming back.
            Err(_) => tokio::time::sleep(AWAY).await,
        }
    };
    let of = |(task, verdict): (&NewTask, &Taken)| match verdict {
        Taken::Queued | Taken::Known => task.id,
        Taken::Same(id) => *id,
        other => panic!("{name}: {other:?}"),
    };
    let is_same = |verdict: &Taken| matches!(verdict, Taken::Same(_));
    let same = verdicts.iter().filter(|verdict| is_same(verdict)).count();
    assert!(same == 0 || same == tasks.len(), "{name}: a part of it was known: {verdicts:?}");
    history.write(tasks.iter().zip(&verdicts).map(of).map(|id| (id, What::Accepted)));
}

/// Handles tasks until `stop`, and keeps the queue.
pub(crate) async fn work(
    broker: &Broker,
    role: &Role,
    concurrency: usize,
    history: &History,
    stop: &Shutdown,
) {
    let settings = WorkerSettings {
        concurrency,
        lease: LEASE,
        retry: RetryPolicy { backoff_ms: 50, backoff_limit_ms: 200 },
        who: role.who.clone(),
        seed: role.seed,
        ..WorkerSettings::default()
    };
    let handler = Arc::new(Work { history: history.clone() });
    let worker = Worker::builder(broker.clone()).otherwise(handler).settings(settings).build();
    let (apart, caps) = (broker.apart(), Caps::default());
    tokio::select! {
        () = keep(&apart, &caps, CrashRule::default(), stop.aborted()) => {}
        tally = worker.run(stop) => println!("{:?}", tally.expect("the store does not refuse")),
    }
}

/// Does what the payload says.
struct Work {
    history: History,
}

#[async_trait]
impl Handler for Work {
    async fn handle(&self, task: &Claimed) -> Verdict {
        let delivery = task.delivery;
        self.history.note(task.id, What::Started { delivery });
        let payload = String::from_utf8_lossy(&task.spec.payload);
        let (ms, what) = payload.split_once(' ').expect("a payload");
        // The work of the task.
        tokio::time::sleep(Duration::from_millis(ms.parse().expect("a number"))).await;
        match what {
            "aborts" => std::process::abort(),
            "fails" if task.failures == 0 => {
                self.history.note(task.id, What::Failed { delivery });
                Verdict::Failed { error: "on purpose".to_owned(), retry_after_ms: None }
            }
            _ => {
                self.history.note(task.id, What::Effect { delivery });
                Verdict::Done
            }
        }
    }
}
