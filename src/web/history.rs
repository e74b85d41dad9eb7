//! The last points of a run, for charts: one per second, bounded in number.

use std::{collections::VecDeque, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::lifecycle::Lifecycle;

/// How many points are kept: those of five minutes, both ends included.
const HISTORY_LIMIT_POINTS: usize = 301;
/// The time between two points.
const INTERVAL: Duration = Duration::from_secs(1);

/// A snapshot at one moment of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point<T> {
    /// The time since the run's start.
    pub at: Duration,
    /// The snapshot.
    pub seen: T,
}

/// The points of the current run, or of the last one.
#[derive(Debug)]
pub struct History<T> {
    points: Mutex<VecDeque<Point<T>>>,
}

impl<T> Default for History<T> {
    fn default() -> Self {
        Self { points: Mutex::default() }
    }
}

impl<T: Clone> History<T> {
    /// Records a snapshot from `look` every second until the current run of `lifecycle` ends. Call it when a run
    /// starts; it removes the points of the previous run.
    pub async fn record(&self, lifecycle: &Lifecycle, look: impl Fn() -> T) {
        self.points.lock().clear();
        let begun = Instant::now();
        let mut ticks = interval(INTERVAL);
        // A late look does not move the next one: each second has its own.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                () = lifecycle.ended() => break,
                _ = ticks.tick() => self.push(Point { at: begun.elapsed(), seen: look() }),
            }
        }
        self.push(Point { at: begun.elapsed(), seen: look() });
    }

    fn push(&self, point: Point<T>) {
        let mut points = self.points.lock();
        if points.len() >= HISTORY_LIMIT_POINTS {
            points.pop_front();
        }
        points.push_back(point);
    }

    /// The points, oldest first.
    pub fn points(&self) -> Vec<Point<T>> {
        self.points.lock().iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering::Relaxed},
        },
    };

    use super::*;
    use crate::shutdown::Shutdown;

    #[tokio::test(start_paused = true)]
    async fn the_last_points_of_the_current_run_are_kept() {
        let lifecycle = Lifecycle::new("test", Shutdown::new(None, Duration::ZERO));
        let history = Arc::new(History::default());
        let looks = AtomicU64::new(0);
        for _ in 0..2 {
            let run = |stop: Shutdown| async move {
                Ok::<_, Infallible>(async move { stop.stopping().cancelled().await })
            };
            lifecycle.start(run).await.expect("idle");
            let stop = async {
                tokio::time::sleep(Duration::from_millis(400_500)).await;
                lifecycle.stop().expect("it runs");
            };
            let look = || looks.fetch_add(1, Relaxed);
            tokio::join!(history.record(&lifecycle, look), stop);
            let points = history.points();
            assert_eq!(points.len(), HISTORY_LIMIT_POINTS);
            let last = points[HISTORY_LIMIT_POINTS - 1];
            assert_eq!(last.at, Duration::from_millis(400_500), "time runs from the run's start");
            assert!(points.is_sorted_by(|a, b| a.at < b.at && a.seen < b.seen));
        }
    }
}
