//! What a backlog costs that nobody works on: memory, and the time that it holds up tasks of another type.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use super::store::{PAYLOAD_BYTES, Store, enqueue, lane, task};
use crate::{
    queue::{
        Priority, Rule, Scope, Worker, WorkerSettings,
        broker::{Broker, Caps},
        settle::Verdict,
    },
    shutdown::Shutdown,
};

/// The type of the backlog, and another one.
const HELD: &str = "held";
const OTHER: &str = "a";
/// Tasks of the other type, one after another.
const PROBES: usize = 100;
/// Pauses between them, after which the worker is idle.
const PAUSE: Duration = Duration::from_millis(5);
/// How long one may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What was found.
pub(super) struct HeldUp {
    /// Memory of the store, bytes for a million pending tasks. Only Redis tells it.
    pub(super) bytes_per_million: Option<f64>,
    /// From before the enqueue of a task of another type to its start, the longest, while the backlog is paused.
    pub(super) paused_ms: f64,
    /// The same while no worker handles the backlog's type.
    pub(super) unhandled_ms: f64,
}

/// Makes a backlog of `count` tasks, and measures. The backlog stays.
///
/// # Errors
/// When the store refuses, or a task does not start.
pub(super) async fn measure(store: &Store, count: usize) -> anyhow::Result<HeldUp> {
    let scope = Scope::Kind(HELD.parse()?);
    let paused = Rule { paused: true, ..Rule::default() };
    store.broker.set_rule(&scope, paused).await?;
    let before = used_memory(&store.broker).await?;
    let payload = format!("\"{}\"", "x".repeat(PAYLOAD_BYTES - 2));
    let backlog: Vec<_> =
        (0..count).map(|_| task(lane(Priority::High, HELD), payload.clone().into())).collect();
    store.enqueue(&backlog, 500).await?;
    let after = used_memory(&store.broker).await?;
    let bytes_per_million = before.zip(after).map(|(before, after)| (after - before) * 1e6 / count as f64);
    let paused_ms = probe(store, true).await?;
    store.broker.set_rule(&scope, Rule::default()).await?;
    let unhandled_ms = probe(store, false).await?;
    Ok(HeldUp { bytes_per_million, paused_ms, unhandled_ms })
}

/// The longest time from before an enqueue to the start of the task.
async fn probe(store: &Store, handles_backlog: bool) -> anyhow::Result<f64> {
    let (tell, mut told) = mpsc::channel(1);
    let tell = Arc::new(tell);
    let mut builder = Worker::builder(store.broker.apart()).settings(WorkerSettings::default());
    builder = builder.on(OTHER, move |_| {
        let tell = tell.clone();
        async move {
            // The probe may have given up.
            let _ = tell.send(Instant::now()).await;
            Verdict::Done
        }
    })?;
    if handles_backlog {
        builder = builder.on(HELD, |_| std::future::ready(Verdict::Done))?;
    }
    let stop = Shutdown::new(None, Duration::ZERO);
    let work = tokio::spawn({
        let (worker, stop) = (builder.build(), stop.clone());
        async move { worker.run(&stop).await }
    });
    let broker = store.broker.apart();
    let mut longest = Duration::ZERO;
    for _ in 0..PROBES {
        sleep(PAUSE).await;
        let enqueued = Instant::now();
        enqueue(&broker, &[task(lane(Priority::Low, OTHER), "1".into())], 1).await?;
        let started = timeout(LIMIT, told.recv()).await.context("a task of another type was not started")?;
        longest = longest.max(started.context("the worker has ended")?.duration_since(enqueued));
    }
    stop.trigger();
    work.await??;
    Ok(longest.as_secs_f64() * 1e3)
}

/// What Redis says that it uses, in bytes.
async fn used_memory(broker: &Broker) -> anyhow::Result<Option<f64>> {
    let Broker::Redis(broker) = broker else { return Ok(None) };
    let mut ask = redis::cmd("INFO");
    ask.arg("memory");
    let text: String = broker.redis().command(&ask).await?;
    let used = text.lines().find_map(|line| line.strip_prefix("used_memory:"));
    Ok(Some(used.context("Redis does not tell its memory")?.trim().parse()?))
}

/// Ends what is kept of tasks that have ended, so that only the backlog is measured.
///
/// # Errors
/// When the store does not answer.
pub(super) async fn forget_ended(store: &Store) -> anyhow::Result<()> {
    let caps = Caps { done: 0, ..Caps::default() };
    while store.broker.sweep(&caps).await? > 0 {}
    Ok(())
}
