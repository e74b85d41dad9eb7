//! How long tasks wait at half of the highest rate: a producer and a worker at the same time, on connections of their
//! own.
//!
//! The highest rate is the one at which the worker starts tasks while the producer keeps a few thousand of them
//! pending. Then tasks are enqueued on a schedule at half of it, those that are due in one request each millisecond;
//! a task's wait counts from its scheduled time to the start of its handler.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::store::{KINDS, PAYLOAD_BYTES, Store, enqueue, kinds, lane, task};
use crate::{
    latency::Histogram,
    queue::{NewTask, Priority, Worker, WorkerSettings, settle::Verdict},
    shutdown::Shutdown,
};

const CONCURRENCY: usize = 100;
/// Tasks that are pending at the highest rate, and those in one request.
const BACKLOG: u64 = 5_000;
const IN_ONE: usize = 500;
/// Requests without an answer at most.
const REQUESTS_LIMIT: usize = 1_000;
const TICK: Duration = Duration::from_millis(1);
/// How long the tasks of a schedule may take after it has ended.
const END_LIMIT: Duration = Duration::from_secs(30);

/// What was found at half of the highest rate.
pub(super) struct Held {
    /// The highest rate, tasks a second.
    pub(super) highest_per_second: f64,
    /// The share of the tasks that was started when the schedule ended: near 1 if the backlog does not grow.
    pub(super) started_ratio: f64,
    pub(super) wait_p50_ms: Option<f64>,
    pub(super) wait_p99_ms: Option<f64>,
}

/// What handlers write down.
struct Meter {
    origin: Instant,
    started: AtomicU64,
    waits: Mutex<Histogram>,
}

/// Finds the highest rate within `length`, and holds half of it for `held`.
///
/// # Errors
/// When the store refuses.
pub(super) async fn measure(store: &Store, length: Duration, held: Duration) -> anyhow::Result<Held> {
    let highest_per_second = saturate(store, length).await?;
    let meter = Arc::new(Meter::new());
    let worker = Running::start(store, &meter)?;
    let offered = offer(store, &meter, highest_per_second / 2.0, held).await?;
    let started_ratio = meter.started.load(Relaxed) as f64 / offered.max(1) as f64;
    let ended = async {
        while meter.started.load(Relaxed) < offered {
            sleep(TICK).await;
        }
    };
    // What has not started by then is left to the next arm; its wait has no end.
    let _ = timeout(END_LIMIT, ended).await;
    worker.stop().await?;
    let mut waits = meter.waits.lock().clone();
    waits.add_infinitely_slow(offered.saturating_sub(waits.offered()));
    let percentile = |q| waits.percentile(q).ms();
    Ok(Held {
        highest_per_second,
        started_ratio,
        wait_p50_ms: percentile(0.5),
        wait_p99_ms: percentile(0.99),
    })
}

/// The highest rate: tasks started a second while some are always pending.
async fn saturate(store: &Store, length: Duration) -> anyhow::Result<f64> {
    let meter = Arc::new(Meter::new());
    let worker = Running::start(store, &meter)?;
    let broker = store.broker.apart();
    let mut sent = 0;
    while meter.origin.elapsed() < length {
        if sent < meter.started.load(Relaxed) + BACKLOG {
            enqueue(&broker, &tasks_at(0, IN_ONE as u64, f64::INFINITY), IN_ONE).await?;
            sent += IN_ONE as u64;
        } else {
            sleep(TICK).await;
        }
    }
    let per_second = meter.started.load(Relaxed) as f64 / meter.origin.elapsed().as_secs_f64();
    while meter.started.load(Relaxed) < sent {
        sleep(TICK).await;
    }
    worker.stop().await?;
    Ok(per_second)
}

/// Enqueues on schedule. Returns how many tasks.
async fn offer(store: &Store, meter: &Meter, rate: f64, length: Duration) -> anyhow::Result<u64> {
    let broker = store.broker.apart();
    let mut sending = JoinSet::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut sent = 0;
    let end = (length.as_secs_f64() * rate) as u64;
    while sent < end {
        ticks.tick().await;
        let due = ((meter.origin.elapsed().as_secs_f64() * rate) as u64).min(end);
        let tasks = tasks_at(sent, due - sent, rate);
        sent = due;
        if !tasks.is_empty() {
            let broker = broker.clone();
            sending.spawn(async move { enqueue(&broker, &tasks, IN_ONE).await });
        }
        while sending.len() > REQUESTS_LIMIT
            && let Some(sent) = sending.join_next().await
        {
            sent??;
        }
        while let Some(sent) = sending.try_join_next() {
            sent??;
        }
    }
    while let Some(sent) = sending.join_next().await {
        sent??;
    }
    Ok(sent)
}

/// The tasks from number `first` of a schedule. Each has its scheduled time as its payload, in microseconds.
fn tasks_at(first: u64, count: u64, rate: f64) -> Vec<NewTask> {
    let one = |nth: u64| {
        let at_us = (nth as f64 * 1e6 / rate) as u64;
        let payload = format!("\"{at_us:0width$}\"", width = PAYLOAD_BYTES - 2);
        let place = usize::try_from(nth).unwrap_or_default();
        let priority = Priority::ALL[place / KINDS.len() % Priority::ALL.len()];
        task(lane(priority, KINDS[place % KINDS.len()]), payload.into())
    };
    (first..first + count).map(one).collect()
}

impl Meter {
    fn new() -> Self {
        Self { origin: Instant::now(), started: AtomicU64::new(0), waits: Mutex::new(Histogram::new()) }
    }

    fn start(&self, payload: &[u8]) {
        self.started.fetch_add(1, Relaxed);
        let scheduled = str::from_utf8(payload).ok().and_then(|text| text.trim_matches('"').parse().ok());
        let scheduled = self.origin + Duration::from_micros(scheduled.unwrap_or(0));
        self.waits.lock().record(Instant::now().saturating_duration_since(scheduled));
    }
}

/// A worker that runs beside the producer.
struct Running {
    stop: Shutdown,
    work: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    fn start(store: &Store, meter: &Arc<Meter>) -> anyhow::Result<Self> {
        let settings = WorkerSettings { concurrency: CONCURRENCY, ..WorkerSettings::default() };
        let mut builder = Worker::builder(store.broker.apart()).settings(settings);
        for kind in kinds() {
            let meter = meter.clone();
            builder = builder.on(kind.as_str(), move |task| {
                meter.start(&task.spec.payload);
                std::future::ready(Verdict::Done)
            })?;
        }
        let stop = Shutdown::new(None, Duration::ZERO);
        let work = tokio::spawn({
            let (worker, stop) = (builder.build(), stop.clone());
            async move {
                worker.run(&stop).await?;
                Ok(())
            }
        });
        Ok(Self { stop, work })
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.trigger();
        self.work.await?
    }
}
