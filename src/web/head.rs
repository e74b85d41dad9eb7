//! How long a connection waits for a request's head.
//!
//! hyper's own bound makes a timer anew for each head. Here a connection has one timer, and a note of when its
//! wait began: the timer looks at the note when it fires, and is set again to what is left. So a request costs a
//! reading of the clock, and the bound is as exact.

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
/// The client does not take its answer; that wait has a bound of its own.
const STALLED: u8 = 2;
/// The connection is closing, which is bounded too.
const CLOSING: u8 = 4;

/// A connection's wait for a head, as those see it who know of it. Cloning shares it; all of it is changed on the
/// connection's task.
#[derive(Clone, Debug)]
pub(super) struct HeadWait(Arc<Note>);

#[derive(Debug)]
struct Note {
    opened: Instant,
    /// When the wait began, counted from `opened`.
    since_ns: AtomicU64,
    /// What else the connection does.
    busy_with: AtomicU8,
}

impl HeadWait {
    /// Begins with the connection.
    pub(super) fn begin() -> Self {
        let note = Note { opened: Instant::now(), since_ns: AtomicU64::new(0), busy_with: AtomicU8::new(0) };
        Self(Arc::new(note))
    }

    /// A head has come: there is no wait until what is returned is dropped.
    pub(super) fn serving(&self) -> Serving {
        self.begins(SERVING);
        Serving(self.clone())
    }

    /// A write makes no progress.
    pub(super) fn write_stalls(&self) {
        self.begins(STALLED);
    }

    /// A stalled write makes progress again.
    pub(super) fn write_goes_on(&self) {
        self.ends(STALLED);
    }

    /// No head will be read any more.
    pub(super) fn closes(&self) {
        self.begins(CLOSING);
    }

    fn begins(&self, what: u8) {
        self.0.busy_with.store(self.0.busy_with.load(Relaxed) | what, Relaxed);
    }

    /// What is left is a wait, from now on.
    fn ends(&self, what: u8) {
        let since_ns = u64::try_from(self.0.opened.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.since_ns.store(since_ns, Relaxed);
        self.0.busy_with.store(self.0.busy_with.load(Relaxed) & !what, Relaxed);
    }

    /// When the wait began, if the connection waits.
    fn since(&self) -> Option<Instant> {
        let waits = self.0.busy_with.load(Relaxed) == 0;
        waits.then(|| self.0.opened + Duration::from_nanos(self.0.since_ns.load(Relaxed)))
    }

    /// Returns when a wait has lasted for `limit`.
    pub(super) async fn exceeds(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            // A wait that begins later also ends later.
            let due = self.since().unwrap_or(now) + limit;
            if due <= now {
                return;
            }
            sleep_until(due).await;
        }
    }
}

/// A request is being served, until this is dropped.
#[derive(Debug)]
pub(super) struct Serving(HeadWait);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.ends(SERVING);
    }
}

impl Serving {
    /// The body of the answer; one that is not whole yet is served until its end.
    pub(super) fn until_the_end_of(self, body: Body) -> Body {
        match body.size_hint().exact() {
            Some(_) => body,
            None => Body::new(Streamed { body, _serving: self }),
        }
    }
}

/// A body that comes piece by piece.
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
    async fn a_wait_is_exceeded_to_the_millisecond_and_begins_anew_with_the_end_of_each_request() {
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
    async fn neither_service_nor_a_slow_reader_nor_the_close_is_a_wait() {
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
    fn a_body_that_is_whole_is_no_longer_served() {
        let head = HeadWait::begin();
        let _body = head.serving().until_the_end_of(Body::from("whole"));
        assert!(head.since().is_some());
    }
}
