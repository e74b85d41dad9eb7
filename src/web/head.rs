//! The time limit for receiving a request's head.
//!
//! hyper's own limit creates a new timer for each head. Here a connection has one timer, and records when its wait
//! began. When the timer fires, it is reset to the remaining time. So a request costs only one reading of the clock,
//! and the limit is just as exact.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

/// A request is being served.
const SERVING: u8 = 1;
/// A write is stalled, which has its own time limit.
const STALLED: u8 = 2;
/// The connection is closing, which has its own time limit too.
const CLOSING: u8 = 4;

/// A connection's wait for a head. Clones share it. Only the connection's task changes it.
#[derive(Clone, Debug)]
pub(super) struct HeadWait(Arc<State>);

#[derive(Debug)]
struct State {
    opened: Instant,
    /// When the wait began, relative to `opened`.
    since_ns: AtomicU64,
    /// What the connection does instead of waiting: a set of the flags above.
    busy_with: AtomicU8,
}

impl HeadWait {
    /// A wait that begins now, with the connection.
    pub(super) fn begin() -> Self {
        let state =
            State { opened: Instant::now(), since_ns: AtomicU64::new(0), busy_with: AtomicU8::new(0) };
        Self(Arc::new(state))
    }

    /// A head has arrived: the connection does not wait until the returned value is dropped.
    pub(super) fn serving(&self) -> Serving {
        self.begins(SERVING);
        Serving(self.clone())
    }

    /// A write has stalled.
    pub(super) fn write_stalls(&self) {
        self.begins(STALLED);
    }

    /// A stalled write has made progress.
    pub(super) fn write_goes_on(&self) {
        self.ends(STALLED);
    }

    /// The connection is closing and reads no further head.
    pub(super) fn closes(&self) {
        self.begins(CLOSING);
    }

    fn begins(&self, what: u8) {
        self.0.busy_with.store(self.0.busy_with.load(Relaxed) | what, Relaxed);
    }

    /// Clears a flag. If no flag is set any more, a new wait begins now.
    fn ends(&self, what: u8) {
        let since_ns = u64::try_from(self.0.opened.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.since_ns.store(since_ns, Relaxed);
        self.0.busy_with.store(self.0.busy_with.load(Relaxed) & !what, Relaxed);
    }

    /// When the wait began, if the connection is waiting.
    fn since(&self) -> Option<Instant> {
        let waits = self.0.busy_with.load(Relaxed) == 0;
        waits.then(|| self.0.opened + Duration::from_nanos(self.0.since_ns.load(Relaxed)))
    }

    /// Returns when a wait has lasted for `limit`.
    pub(super) async fn exceeds(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            // If there is no wait now, none can exceed the limit before `now + limit`.
            let due = self.since().unwrap_or(now) + limit;
            if due <= now {
                return;
            }
            sleep_until(due).await;
        }
    }
}

/// Marks a request as being served until this is dropped.
#[derive(Debug)]
pub(super) struct Serving(HeadWait);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.ends(SERVING);
    }
}

impl Serving {
    /// Returns the response's body. If it is streamed, the request counts as being served until the body ends.
    pub(super) fn until_the_end_of(self, body: Body) -> Body {
        match body.size_hint().exact() {
            Some(_) => body,
            None => Body::new(Streamed { body, _serving: self }),
        }
    }
}

/// A streamed body.
struct Streamed {
    body: Body,
    _serving: Serving,
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tokio::sync::Notify;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_limited_to_the_millisecond_and_restarts_after_each_request() {
        let head = HeadWait::begin();
        let opened = Instant::now();
        for _ in 0..3 {
            let waits = tokio::time::timeout(Duration::from_secs(7), head.exceeds(LIMIT)).await;
            assert!(waits.is_err(), "less than the limit since the last one");
            drop(head.serving());
        }
        head.exceeds(LIMIT).await;
        assert_eq!(opened.elapsed(), Duration::from_secs(3 * 7) + LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn serving_a_stalled_write_and_closing_are_not_waits() {
        let head = HeadWait::begin();
        let exceeded = Arc::new(Notify::new());
        tokio::spawn({
            let (head, exceeded) = (head.clone(), exceeded.clone());
            async move {
                head.exceeds(LIMIT).await;
                exceeded.notify_one();
            }
        });
        let within = async |span| tokio::time::timeout(span, exceeded.notified()).await.is_ok();
        let serving = head.serving();
        assert!(!within(3 * LIMIT).await);
        let events = Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>());
        let events = serving.until_the_end_of(events);
        assert!(!within(3 * LIMIT).await, "its body has not ended");
        head.write_stalls();
        drop(events);
        assert!(!within(3 * LIMIT).await, "what was written is not taken");
        head.write_goes_on();
        assert!(!within(LIMIT - Duration::from_millis(1)).await);
        assert!(within(Duration::from_millis(2)).await);

        let closing = HeadWait::begin();
        closing.closes();
        assert!(tokio::time::timeout(3 * LIMIT, closing.exceeds(LIMIT)).await.is_err());
    }

    #[test]
    fn with_a_complete_body_the_request_is_no_longer_served() {
        let head = HeadWait::begin();
        let _body = head.serving().until_the_end_of(Body::from("whole"));
        assert!(head.since().is_some());
    }
}
