//! Enqueues jobs: at an interval that can be changed while it runs, or at the times of a trace.
//!
//! A job's arrival is its intended time, whether or not there was room. The supervisor counts these arrivals, so
//! that an overload does not look like a load that just fits.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{board::Board, lines::Line};

/// A producer that is further behind than this starts again from now.
const LATE_LIMIT: Duration = Duration::from_secs(1);

/// When jobs arrive.
#[derive(Debug)]
pub(super) enum Arrivals {
    /// At an interval. As with a ticker, ticks that pass while a job waits for room are skipped.
    Paced {
        /// The interval, which may change at any time.
        interval: watch::Receiver<Duration>,
        /// The last arrival, or the start.
        last: Instant,
    },
    /// At the times of a trace. All wait until there is room.
    Trace {
        /// The times since the start, in order.
        at: Arc<[Duration]>,
        /// The start.
        begun: Instant,
        /// When it ends, after its last arrival or later.
        length: Duration,
        /// Which is next.
        next: usize,
    },
}

impl Arrivals {
    /// Arrivals at `interval` from now on.
    pub(super) fn paced(interval: watch::Receiver<Duration>) -> Self {
        Self::Paced { interval, last: Instant::now() }
    }

    /// Arrivals `at` these times from now on, over `length`.
    pub(super) fn trace(at: Arc<[Duration]>, length: Duration) -> Self {
        Self::Trace { at, begun: Instant::now(), length, next: 0 }
    }

    /// Waits for the next arrival and says when it was meant to be; `None` at the end. Cancel safe.
    async fn next(&mut self) -> Option<Instant> {
        match self {
            Self::Paced { interval, last } => loop {
                let due = *last + *interval.borrow_and_update();
                tokio::select! {
                    biased;
                    changed = interval.changed() => if changed.is_err() {
                        return None;
                    },
                    () = tokio::time::sleep_until(due) => {
                        let now = Instant::now();
                        *last = if now.saturating_duration_since(due) > LATE_LIMIT { now } else { due };
                        return Some(*last);
                    }
                }
            },
            Self::Trace { at, begun, length, next } => {
                let Some(due) = at.get(*next).map(|at| *begun + *at) else {
                    tokio::time::sleep_until(*begun + *length).await;
                    return None;
                };
                tokio::time::sleep_until(due).await;
                *next += 1;
                Some(due)
            }
        }
    }

    fn all_wait(&self) -> bool {
        matches!(self, Self::Trace { .. })
    }
}

/// Enqueues arrivals until there are no more or `stop` says so. A job that waits for room then is not enqueued.
pub(super) async fn run(board: Board, mut arrivals: Arrivals, stop: CancellationToken) {
    let mut outside = VecDeque::new();
    let mut over = false;
    loop {
        while let Some(&offered_at) = outside.front()
            && board.push(offered_at, None).is_some()
        {
            outside.pop_front();
        }
        if over && outside.is_empty() {
            return;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = board.room(), if !outside.is_empty() => {}
            arrival = arrivals.next(), if !over => match arrival {
                Some(at) => {
                    board.offered();
                    if outside.is_empty() || arrivals.all_wait() {
                        outside.push_back(at);
                    } else {
                        board.held_back();
                    }
                }
                None => over = true,
            },
        }
    }
}

/// Enqueues lines until there are no more or `stop` says so. A line that waits for room then is not enqueued: it
/// has no result, and a later run takes it up.
pub(super) async fn run_lines(board: Board, mut lines: mpsc::Receiver<Line>, stop: CancellationToken) {
    loop {
        let line = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            line = lines.recv() => line,
        };
        let Some(line) = line.map(Arc::new) else {
            return;
        };
        let offered_at = Instant::now();
        board.offered();
        while board.push(offered_at, Some(line.clone())).is_none() {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = board.room() => {}
            }
        }
    }
}
