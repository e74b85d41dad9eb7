//! The last points of a run, for charts: one a second, bounded, from the run's start.

use std::{collections::VecDeque, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::lifecycle::Lifecycle;

/// Points that are kept: five minutes.
const HISTORY_LIMIT_POINTS: usize = 300;
/// The time between two points.
const INTERVAL: Duration = Duration::from_secs(1);

/// What was seen at one moment of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point<T> {
    /// Since the run's start.
    pub at: Duration,
    /// What was seen.
    pub seen: T,
}

/// The points of the run in progress, or of the last one.
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
    /// Records what `look` sees, each second until the run that `lifecycle` has just started ends. The points
    /// of an earlier run go.
    pub async fn record(&self, lifecycle: &Lifecycle, look: impl Fn() -> T) {
        self.points.lock().clear();
        let begun = Instant::now();
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
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
    async fn the_last_points_are_kept_from_the_runs_start() {
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
