//! A first-in-first-out semaphore whose limit can be changed while it is in use.
//!
//! Tokio's semaphore can take back only permits that are free. When the limit shrinks below what is
//! in use, the rest is owed: a permit that comes back pays a debt before it serves the next waiter.
//! So the limit that was set last always applies, and no call is interrupted.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use super::{
    answer::WaitedTooLong,
    metrics::{LimitNow, WaitMetrics, WaitOutcome},
};
use crate::sim::nearest_tick;

/// A resizable limit on calls in progress.
#[derive(Debug)]
pub(super) struct Limiter {
    semaphore: Semaphore,
    state: Mutex<State>,
    waiters: AtomicUsize,
    metrics: WaitMetrics,
}

#[derive(Debug)]
struct State {
    limit: usize,
    /// Permits in use beyond the limit, to be taken out of circulation as they come back.
    owed: usize,
}

impl Limiter {
    pub(super) fn new(limit: u32, metrics: WaitMetrics) -> Self {
        let limit = limit as usize;
        Self {
            semaphore: Semaphore::new(limit),
            state: Mutex::new(State { limit, owed: 0 }),
            waiters: AtomicUsize::new(0),
            metrics,
        }
    }

    /// Waits for a permit in order of arrival, at most `max_wait` (`None`: without bound).
    ///
    /// Cancel-safe: a waiter that is dropped gives up its place. Every wait is recorded with its
    /// outcome, refusals and cancellations too.
    pub(super) async fn acquire(&self, max_wait: Option<Duration>) -> Result<Permit<'_>, WaitedTooLong> {
        let waiting = Waiting::new(self);
        let acquired = match max_wait {
            None => self.semaphore.acquire().await,
            Some(max_wait) => {
                match timeout_at(nearest_tick(waiting.since + max_wait), self.semaphore.acquire()).await {
                    Ok(acquired) => acquired,
                    Err(_) => return Err(WaitedTooLong(waiting.end(WaitOutcome::Shed))),
                }
            }
        };
        match acquired {
            Ok(permit) => {
                Ok(Permit { limiter: self, waited: waiting.end(WaitOutcome::Acquired), permit: Some(permit) })
            }
            // The semaphore is never closed; if it were, no call could get a permit.
            Err(_) => Err(WaitedTooLong(waiting.end(WaitOutcome::Shed))),
        }
    }

    /// Sets the limit. Takes effect at once for waiters, and as permits come back when it shrinks.
    pub(super) fn resize(&self, limit: u32) {
        let limit = limit as usize;
        let mut state = self.state.lock();
        if limit > state.limit {
            let grown = limit - state.limit;
            let paid = grown.min(state.owed);
            state.owed -= paid;
            self.semaphore.add_permits(grown - paid);
        } else {
            let shrunk = state.limit - limit;
            state.owed += shrunk - self.semaphore.forget_permits(shrunk);
        }
        state.limit = limit;
    }

    /// The limit and its use.
    pub(super) fn look(&self) -> LimitNow {
        let waiters = self.waiters.load(Ordering::Relaxed);
        let state = self.state.lock();
        let in_use = (state.limit + state.owed).saturating_sub(self.semaphore.available_permits());
        LimitNow { limit: state.limit, waiters, in_use }
    }
}

/// A permit for one call. Dropping it lets the next waiter in.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    limiter: &'a Limiter,
    /// How long the call waited for it.
    pub(super) waited: Duration,
    permit: Option<SemaphorePermit<'a>>,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.state.lock();
        if let Some(permit) = self.permit.take()
            && state.owed > 0
        {
            state.owed -= 1;
            permit.forget();
        }
    }
}

/// One waiter; if it is dropped before its end, it counts as cancelled.
struct Waiting<'a> {
    limiter: &'a Limiter,
    since: Instant,
    ended: bool,
}

impl<'a> Waiting<'a> {
    fn new(limiter: &'a Limiter) -> Self {
        limiter.waiters.fetch_add(1, Ordering::Relaxed);
        Self { limiter, since: Instant::now(), ended: false }
    }

    fn end(mut self, outcome: WaitOutcome) -> Duration {
        self.ended = true;
        self.record(outcome)
    }

    fn record(&self, outcome: WaitOutcome) -> Duration {
        let waited = self.since.elapsed();
        self.limiter.metrics.record(outcome, waited);
        waited
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.limiter.waiters.fetch_sub(1, Ordering::Relaxed);
        if !self.ended {
            self.record(WaitOutcome::Cancelled);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Instruments;

    fn limiter(limit: u32) -> Limiter {
        Limiter::new(limit, WaitMetrics::new(&Instruments::silent()))
    }

    /// Its limit, and how many permits are in use.
    fn limit_and_use(limiter: &Limiter) -> (usize, usize) {
        let LimitNow { limit, in_use, .. } = limiter.look();
        (limit, in_use)
    }

    #[tokio::test(start_paused = true)]
    async fn a_bounded_wait_ends_and_an_unbounded_one_does_not() {
        let limiter = limiter(1);
        let held = limiter.acquire(None).await.expect("free");
        let start = Instant::now();
        let refused = limiter.acquire(Some(Duration::from_millis(250))).await.expect_err("taken");
        assert_eq!(refused.0, Duration::from_millis(250));
        let (second, ()) = tokio::join!(limiter.acquire(None), async {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            drop(held);
        });
        assert_eq!(start.elapsed().as_secs(), 3600);
        assert_eq!(second.expect("free").waited.as_secs(), 3600);
        assert_eq!((limiter.look().waiters, limiter.look().in_use), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_set_last_applies() {
        let limiter = limiter(4);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(limiter.acquire(None).await.expect("free"));
        }
        limiter.resize(1);
        assert_eq!(limit_and_use(&limiter), (1, 4));
        let soon = Some(Duration::from_millis(5));
        for _ in 0..3 {
            held.pop();
            assert!(limiter.acquire(soon).await.is_err(), "owed permits go to no waiter");
        }
        held.pop();
        let one = limiter.acquire(soon).await.expect("free");
        limiter.resize(0);
        limiter.resize(3);
        let two = limiter.acquire(soon).await.expect("free");
        let three = limiter.acquire(soon).await.expect("free");
        assert!(limiter.acquire(soon).await.is_err());
        drop((one, two, three));
        assert_eq!(limit_and_use(&limiter), (3, 0));
    }
}
