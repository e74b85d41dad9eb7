//! The shipped worker, as fast as it can, with handlers that do nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::store::{Store, kinds, tasks};
use crate::{
    queue::{Worker, WorkerSettings, broker::Broker, settle::Verdict},
    shutdown::Shutdown,
};

/// Callers that enqueue one by one, each waiting for its answer.
const CALLERS: usize = 100;
/// Tasks in one request of a batch, and requests at a time.
const IN_ONE: usize = 500;
const BATCHES: usize = 4;

/// Works on what is pending, until `count` tasks are done or `length` is over. Returns how many were acknowledged a
/// second, and how many.
///
/// # Errors
/// When the store refuses, or the tasks do not end.
pub(super) async fn through_ack(
    store: &Store,
    concurrency: usize,
    count: u64,
    length: Duration,
) -> anyhow::Result<(f64, u64)> {
    let (done, stop) = (Arc::new(AtomicU64::new(0)), Shutdown::new(None, Duration::ZERO));
    let settings = WorkerSettings { concurrency, ..WorkerSettings::default() };
    let mut builder = Worker::builder(store.broker.apart()).settings(settings);
    for kind in kinds() {
        let (done, stop) = (done.clone(), stop.clone());
        builder = builder.on(kind.as_str(), move |_| {
            if done.fetch_add(1, Relaxed) + 1 >= count {
                stop.trigger();
            }
            std::future::ready(Verdict::Done)
        })?;
    }
    let started = Instant::now();
    let worker = builder.build();
    let work = worker.run(&stop);
    let limit = async {
        sleep(length).await;
        stop.trigger();
        std::future::pending::<()>().await;
    };
    let tally = tokio::select! {
        tally = work => tally?,
        () = limit => unreachable!(),
    };
    let per_second = tally.succeeded as f64 / started.elapsed().as_secs_f64();
    Ok((per_second, tally.succeeded))
}

/// Enqueues `count` tasks in batches. Returns tasks a second.
///
/// # Errors
/// When one is not taken.
pub(super) async fn enqueue_batches(store: &Store, count: usize) -> anyhow::Result<f64> {
    enqueue(&store.broker, count, IN_ONE, BATCHES).await
}

/// Enqueues `count` tasks one by one. Returns tasks a second.
///
/// # Errors
/// When one is not taken.
pub(super) async fn enqueue_one_by_one(store: &Store, count: usize) -> anyhow::Result<f64> {
    enqueue(&store.broker, count, 1, CALLERS).await
}

async fn enqueue(broker: &Broker, count: usize, in_one: usize, callers: usize) -> anyhow::Result<f64> {
    // Like another process, over a connection of its own.
    let broker = broker.apart();
    let tasks = tasks(count);
    let shares: Vec<_> = tasks.chunks(count.div_ceil(callers)).map(<[_]>::to_vec).collect();
    let started = Instant::now();
    let mut sending = JoinSet::new();
    for share in shares {
        let broker = broker.clone();
        sending.spawn(async move { super::store::enqueue(&broker, &share, in_one).await });
    }
    while let Some(sent) = sending.join_next().await {
        sent??;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}
