//! Latency over time: percentiles over all chunks that were generated, second by second since the run's start.
//!
//! A chunk belongs to the second in which it was to be emitted. What was dropped is never processed, and so is slower
//! than any that was: nothing else needs to be told of it.

use std::time::Duration;

use tokio::time::Instant;

use crate::latency::{Known, Quantile, Recent};

/// The most seconds that a point covers.
const COVERED_S: u64 = 60;

/// The last minutes of a run, as they were when this was made.
#[derive(Debug)]
pub(super) struct OverTime {
    pub(super) begun: Instant,
    pub(super) recent: Recent,
}

impl OverTime {
    /// The time within which a share `q` was processed of the chunks generated before second `end` of the run, as known
    /// `now`; it covers as many seconds as that needs. None while it can still change, and if it was not reached.
    pub(super) fn percentile(&self, q: f64, end: u64, now: Instant) -> Option<Duration> {
        let age = now.checked_duration_since(self.begun + Duration::from_secs(end))?;
        let start = self.recent.start_for(q, end, end.saturating_sub(COVERED_S));
        match self.recent.window(start..end, age).percentile(q) {
            Known::Settled(Quantile::Value(time)) => Some(time),
            Known::Settled(Quantile::NotReached | Quantile::TooFew { .. }) | Known::LongerThan(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Outcome;

    #[tokio::test(start_paused = true)]
    async fn a_percentile_is_over_all_that_were_generated_in_its_second() {
        let ms = Duration::from_millis;
        let begun = Instant::now();
        // Two threads, each with its share.
        let [mut one, mut other] = [Recent::new(ms(100)), Recent::new(ms(100))];
        let at = |second: u64| begun + Duration::from_secs(second);
        for second in 0..3 {
            (0..50).for_each(|_| one.offer(second));
            (0..50).for_each(|_| other.offer(second));
        }
        let mut processed = |second, chunks: u64, took| {
            (0..chunks).for_each(|_| one.end(second, Outcome::Ok, ms(took)));
        };
        processed(0, 100, 30);
        processed(1, 60, 40);
        processed(2, 10, 20);
        let mut recent = Recent::new(ms(100));
        [other, one].iter().for_each(|part| recent.add(part));
        let over_time = OverTime { begun, recent };
        let now = at(10);
        let told = |q, second: u64| {
            over_time.percentile(q, second + 1, now).map(|time| time.as_millis().div_ceil(2) * 2)
        };
        assert_eq!(told(0.5, 0), Some(30));
        assert_eq!(told(0.5, 1), Some(40));
        assert_eq!(told(0.9, 1), None, "four in ten were dropped");
        assert_eq!(told(0.5, 2), None);
        assert_eq!(over_time.percentile(0.5, 1, begun), None, "the second is not over");
    }
}
