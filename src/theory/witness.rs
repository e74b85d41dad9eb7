//! A simulation of the queue, against which the tests check the formulas.

use std::{cmp::Reverse, collections::BinaryHeap};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::scalability::Scalability;

/// The standard error comes from the means of this many parts of a run, because consecutive waits are correlated.
const BATCHES: usize = 20;
const WARM_UP: usize = 5_000;
const SEED: u64 = 7;

/// A mean with its standard error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mean {
    pub(super) value: f64,
    pub(super) error: f64,
}

impl Mean {
    fn of(batches: &[f64]) -> Self {
        let n = batches.len() as f64;
        let value = batches.iter().sum::<f64>() / n;
        let variance = batches.iter().map(|batch| (batch - value).powi(2)).sum::<f64>() / (n - 1.0);
        Self { value, error: (variance / n).sqrt() }
    }

    /// Whether `stated` differs by at most `margin` plus three standard errors.
    pub(super) fn agrees(self, stated: f64, margin: f64) -> bool {
        (stated - self.value).abs() <= margin + 3.0 * self.error
    }
}

/// The results of a simulation.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) lost_share: Mean,
    pub(super) waiting_share: Mean,
    /// Over all arrivals; a lost one has waited for its whole patience.
    pub(super) mean_wait: Mean,
    /// In order of arrival; infinite for a lost arrival.
    waits: Vec<f64>,
}

impl Shown {
    /// The wait within which a share of all arrivals are served.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let mut waits = self.waits.clone();
        let at = (waits.len() as f64 * share) as usize;
        *waits.select_nth_unstable_by(at, f64::total_cmp).1
    }

    /// The share of arrivals that waited longer than `time`.
    pub(super) fn share_longer(&self, time: f64) -> Mean {
        batches(&self.waits, |wait| f64::from(u8::from(wait > time)))
    }
}

/// The mean of `count` over all waits.
fn batches(waits: &[f64], count: impl Fn(f64) -> f64) -> Mean {
    let batch = |waits: &[f64]| waits.iter().map(|wait| count(*wait)).sum::<f64>() / waits.len() as f64;
    Mean::of(&waits.chunks(waits.len() / BATCHES).map(batch).collect::<Vec<_>>())
}

/// Simulates Poisson arrivals to `servers`; `offered` is the load in servers. `draw` maps a random number from 0 to 1
/// to a service time with mean 1. An arrival takes the first free server, or leaves after `patience`.
pub(super) fn queue(
    servers: u32,
    offered: f64,
    draw: impl Fn(f64) -> f64,
    patience: f64,
    arrivals: usize,
) -> Shown {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let ticks = |time: f64| (time * 1e9) as u64;
    let mut free_at: BinaryHeap<Reverse<u64>> = (0..servers).map(|_| Reverse(0)).collect();
    let mut now = 0;
    let mut waits = Vec::with_capacity(arrivals);
    for arrival in 0..WARM_UP + arrivals {
        now += ticks(-(1.0 - rng.random::<f64>()).ln() / offered);
        let work = ticks(draw(rng.random()));
        let mut first = free_at.peek_mut().expect("a server");
        let wait = first.0.saturating_sub(now) as f64 / 1e9;
        let served = wait <= patience;
        if served {
            *first = Reverse(first.0.max(now) + work);
        }
        drop(first);
        if arrival >= WARM_UP {
            waits.push(if served { wait } else { f64::INFINITY });
        }
    }
    let lost_share = batches(&waits, |wait| f64::from(u8::from(wait.is_infinite())));
    let waiting_share = batches(&waits, |wait| f64::from(u8::from(wait > 0.0)));
    let mean_wait = batches(&waits, |wait| wait.min(patience));
    Shown { lost_share, waiting_share, mean_wait, waits }
}

/// How long calls that share one pace are watched.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shared {
    /// Through so many arrivals, from none.
    Arrivals(usize),
    /// From so many calls, until so few or so many are in progress.
    From { calls: usize, seed: u64, until: [f64; 2] },
    /// From none, until so many are in progress.
    Until { calls: f64, seed: u64 },
}

/// What calls that share one pace showed.
#[derive(Debug)]
pub(super) struct Sharing {
    /// In progress, seen by arrivals.
    pub(super) mean_calls: Mean,
    /// Whether it ended with many in progress.
    pub(super) collapsed: bool,
    /// In mean service times.
    pub(super) time: f64,
}

/// Poisson arrivals, `offered` in servers, to a service whose calls all run at the pace that `law` leaves to each; `draw`
/// makes a service time of mean 1 out of a number from 0 to 1.
pub(super) fn sharing(law: Scalability, offered: f64, draw: impl Fn(f64) -> f64, watched: Shared) -> Sharing {
    let (calls, seed) = match watched {
        Shared::Arrivals(_) => (0, SEED),
        Shared::From { calls, seed, .. } => (calls, seed),
        Shared::Until { seed, .. } => (0, seed),
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let ticks = |work: f64| (work * 1e9) as u64;
    // Work done by a call that has been there since the start: all do the same, so a call ends at a known one.
    let mut done = 0.0;
    let mut ends: BinaryHeap<Reverse<u64>> = (0..calls).map(|_| Reverse(ticks(draw(rng.random())))).collect();
    let (mut time, mut seen) = (0.0, Vec::new());
    let arrival = |rng: &mut ChaCha8Rng| -(1.0 - rng.random::<f64>()).ln() / offered;
    let mut next = arrival(&mut rng);
    loop {
        let over = match watched {
            Shared::Arrivals(count) => (seen.len() == WARM_UP + count).then_some(false),
            Shared::From { until: [low, high], .. } => {
                let now = ends.len() as f64;
                if now <= low { Some(false) } else { (now >= high).then_some(true) }
            }
            Shared::Until { calls, .. } => (ends.len() as f64 > calls).then_some(true),
        };
        if let Some(collapsed) = over {
            let seen = &seen[WARM_UP.min(seen.len())..];
            let mean_calls = match watched {
                Shared::Arrivals(_) => batches(seen, |calls| calls),
                _ => Mean { value: f64::NAN, error: f64::NAN },
            };
            return Sharing { mean_calls, collapsed, time };
        }
        let stretch = law.time(ends.len() as f64, 1.0);
        let ending = ends.peek().map(|Reverse(end)| (*end as f64 / 1e9 - done).max(0.0) * stretch);
        match ending.filter(|ending| time + ending <= next) {
            Some(ending) => {
                time += ending;
                done += ending / stretch;
                ends.pop();
            }
            None => {
                done += (next - time) / stretch;
                time = next;
                seen.push(ends.len() as f64);
                ends.push(Reverse(ticks(done + draw(rng.random()))));
                next = time + arrival(&mut rng);
            }
        }
    }
}
