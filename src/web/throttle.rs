//! A token bucket: how often something may fail before nobody is heard for a while. Pure.

use tokio::time::Instant;

/// Failures a second, and at once.
const FAILURES_PER_SECOND: f64 = 10.0;

#[derive(Debug)]
pub(super) struct Throttle {
    tokens: f64,
    filled_at: Instant,
}

impl Throttle {
    pub(super) fn new(now: Instant) -> Self {
        Self { tokens: FAILURES_PER_SECOND, filled_at: now }
    }

    /// Whether one more try may be made at `now`.
    pub(super) fn is_open(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * FAILURES_PER_SECOND).min(FAILURES_PER_SECOND);
        self.filled_at = now;
        self.tokens >= 1.0
    }

    /// Takes a failed try out of the bucket.
    pub(super) fn failed(&mut self) {
        self.tokens -= 1.0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_failures_close_it_and_a_tenth_of_a_second_opens_it_for_one() {
        let now = Instant::now();
        let mut throttle = Throttle::new(now);
        for _ in 0..10 {
            assert!(throttle.is_open(now));
            throttle.failed();
        }
        assert!(!throttle.is_open(now));
        assert!(!throttle.is_open(now + Duration::from_millis(90)));
        assert!(throttle.is_open(now + Duration::from_millis(110)));
        throttle.failed();
        assert!(!throttle.is_open(now + Duration::from_millis(120)));
    }
}
