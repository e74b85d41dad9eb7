//! The readings of all arms, and the rows that are made of them.

use std::time::Duration;

use super::{
    bare,
    held::Held,
    held_up::HeldUp,
    http, limits,
    store::{PAYLOAD_BYTES, Store, Which},
    work,
};
use crate::app::bench::{
    report::{Aim, Figure, Quantity, Unit},
    stats::paired_ratios,
};

/// How much of a round the arms have that enqueue one by one.
const ONE_BY_ONE_SHARE: usize = 5;

/// How long the rest of a round may take.
const LEFT_LIMIT: Duration = Duration::from_secs(600);

const fn ratio(key: &'static str, text: &'static str) -> Quantity {
    Quantity { key, text, unit: Unit::Ratio, aim: None }
}

const fn rate(key: &'static str, text: &'static str) -> Quantity {
    Quantity { key, text, unit: Unit::PerSecond, aim: None }
}

const fn time(key: &'static str, text: &'static str) -> Quantity {
    Quantity { key, text, unit: Unit::Milliseconds, aim: None }
}

const BARE: Quantity = rate("bare_pairs_per_second", "bare push and pop");
/// Each arm: its ratio to the bare pairs, and its rate.
const ARMS: [[Quantity; 2]; 5] = [
    [
        ratio("acked_100_bare_ratio", "through the ack at 100 / bare"),
        rate("acked_100_per_second", "through the ack at 100"),
    ],
    [
        ratio("acked_5_bare_ratio", "through the ack at 5 / bare"),
        rate("acked_5_per_second", "through the ack at 5"),
    ],
    [
        ratio("enqueued_batches_bare_ratio", "enqueue, 500 a request / bare"),
        rate("enqueued_batches_per_second", "enqueue, 500 a request"),
    ],
    [
        ratio("enqueued_singly_bare_ratio", "enqueue, one a request / bare"),
        rate("enqueued_singly_per_second", "enqueue, one a request"),
    ],
    [ratio("posted_bare_ratio", "POST /task / bare"), rate("posted_per_second", "POST /task")],
];
const WHOLE: Quantity = ratio("whole_bare_ratio", "enqueue, then through the ack at 100 / bare");
const HIGHEST: Quantity = rate("highest_per_second", "highest rate, enqueue and work at once");
const STARTED: Quantity = Quantity {
    aim: Some(Aim::AtLeast(0.99)),
    ..ratio("half_rate_started_ratio", "half of it: started / due at the end")
};
const WAIT_P50: Quantity = time("half_rate_wait_p50_ms", "half of it: due to started, p50");
const WAIT_P99: Quantity = time("half_rate_wait_p99_ms", "half of it: due to started, p99");
const FDATASYNC: Quantity = time("fdatasync_p99_ms", "fdatasync of 4 KiB, p99");
const MEMORY: Quantity = Quantity {
    key: "pending_million_bytes",
    text: "memory, a million pending",
    unit: Unit::Bytes,
    aim: None,
};
const PAUSED: Quantity = Quantity {
    aim: Some(Aim::AtMost(100.0)),
    ..time("paused_backlog_delay_ms", "start beside a paused backlog, longest")
};
const UNHANDLED: Quantity = Quantity {
    aim: Some(Aim::AtMost(100.0)),
    ..time("unhandled_backlog_delay_ms", "start beside an unhandled backlog, longest")
};
const SCRIPT: Quantity =
    Quantity { aim: Some(Aim::AtMost(5.0)), ..time("script_longest_ms", "longest run at its limits") };

/// What each arm of a round has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) tasks: usize,
    /// How long it takes at most.
    pub(super) length: Duration,
}

/// What was read of one store, a reading a round.
#[derive(Default)]
pub(super) struct StoreReadings {
    bare: Vec<f64>,
    /// In the order of [`ARMS`].
    arms: [Vec<f64>; ARMS.len()],
    whole: Vec<f64>,
    pub(super) held: Option<Held>,
    pub(super) held_up: Option<HeldUp>,
}

/// What was read.
pub(super) struct Readings {
    fdatasync_p99_ms: f64,
    /// In the order of [`Which::ALL`].
    pub(super) stores: Vec<StoreReadings>,
    /// The scripts' times, a list a round.
    pub(super) limits: Vec<Vec<(&'static str, f64)>>,
}

/// Measures every arm of one store.
///
/// # Errors
/// When an arm fails.
pub(super) async fn measure_round(
    stores: &[Store],
    at: usize,
    share: Share,
    what: &str,
    readings: &mut Readings,
) -> anyhow::Result<()> {
    let (store, Share { length, tasks: count }) = (&stores[at], share);
    // A file has no push and pop: it is compared with the Redis without persistence.
    let redis = store.redis.as_ref().or(stores[0].redis.as_ref());
    let Some(redis) = redis else { anyhow::bail!("the first store is a Redis") };
    let pairs = bare::pairs_per_second(redis.addr(), PAYLOAD_BYTES, length).await?;
    let batches = work::enqueue_batches(store, count).await?;
    let (acked_100, _) = work::through_ack(store, 100, store.pending().await?, length).await?;
    let singly = work::enqueue_one_by_one(store, count / ONE_BY_ONE_SHARE).await?;
    let (posted, _) = http::posts_per_second(store, length, what).await?;
    let (acked_5, _) = work::through_ack(store, 5, store.pending().await?, length).await?;
    let left = store.pending().await?;
    if left > 0 {
        work::through_ack(store, 500, left, LEFT_LIMIT).await?;
    }
    let found = &mut readings.stores[at];
    found.bare.push(pairs);
    for (arm, reading) in found.arms.iter_mut().zip([acked_100, acked_5, batches, singly, posted]) {
        arm.push(reading);
    }
    // A task takes the time of both.
    found.whole.push(1.0 / (1.0 / batches + 1.0 / acked_100));
    Ok(())
}

impl Readings {
    pub(super) fn new(fdatasync_p99_ms: f64) -> Self {
        let stores = Which::ALL.into_iter().map(|_| StoreReadings::default()).collect();
        Self { fdatasync_p99_ms, stores, limits: Vec::new() }
    }

    pub(super) fn figures(&self) -> Vec<Figure> {
        let stores = Which::ALL.into_iter().zip(&self.stores);
        let mut figures: Vec<Option<Figure>> =
            stores.flat_map(|(which, readings)| readings.figures(which, self.fdatasync_p99_ms)).collect();
        figures.push(Figure::of("the disk", FDATASYNC, [self.fdatasync_p99_ms]));
        for name in limits::SCRIPTS {
            let of_script = self.limits.iter().flatten().filter(|(script, _)| *script == name);
            figures.push(Figure::of(name, SCRIPT, of_script.map(|(_, ms)| *ms)));
        }
        figures.into_iter().flatten().collect()
    }
}

impl StoreReadings {
    fn figures(&self, which: Which, fdatasync_p99_ms: f64) -> Vec<Option<Figure>> {
        let name = which.name();
        let mut figures = vec![Figure::of(name, BARE, self.bare.iter().copied())];
        for (nth, ([ratio, rate], readings)) in ARMS.into_iter().zip(&self.arms).enumerate() {
            let has_aim = nth == 0 && which == Which::Memory;
            let aim = has_aim.then_some(Aim::AtLeast(0.25));
            figures.push(Figure::of(name, Quantity { aim, ..ratio }, paired_ratios(readings, &self.bare)));
            figures.push(Figure::of(name, rate, readings.iter().copied()));
        }
        figures.push(Figure::of(name, WHOLE, paired_ratios(&self.whole, &self.bare)));
        if let Some(held) = &self.held {
            let wait_limit_ms = match which {
                Which::Memory => Some(5.0),
                Which::Always => Some(10_f64.max(5.0 * fdatasync_p99_ms)),
                Which::File => None,
            };
            let p99 = Quantity { aim: wait_limit_ms.map(Aim::AtMost), ..WAIT_P99 };
            figures.push(Figure::of(name, HIGHEST, [held.highest_per_second]));
            figures.push(Figure::of(name, STARTED, [held.started_ratio]));
            figures.push(Figure::of(name, WAIT_P50, held.wait_p50_ms));
            figures.push(Figure::of(name, p99, held.wait_p99_ms));
        }
        if let Some(held_up) = &self.held_up {
            figures.push(Figure::of(name, MEMORY, held_up.bytes_per_million));
            figures.push(Figure::of(name, PAUSED, [held_up.paused_ms]));
            figures.push(Figure::of(name, UNHANDLED, [held_up.unhandled_ms]));
        }
        figures
    }
}
