//! Server-sent events: one picture of a system, drawn once a tick for all who watch.
//!
//! ```text
//!   viewer ──> answer ──> first picture at once ──> one a tick, until it leaves or the server stops
//!                 └ the first viewer starts the ticker, the last one's leaving ends it
//! ```
//!
//! A viewer that reads slower than the ticks come misses some and gets the newest: what is kept for it
//! is one picture. A stream ends when the server begins to stop, so that it holds no drain up; the
//! browser then asks again, and finds the next server.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Problem;
use crate::shutdown::Shutdown;

/// Viewers of one picture at a time; one more is answered 503.
const VIEWERS_LIMIT: usize = 256;
/// How long a browser waits before it asks again, milliseconds.
const RETRY_MS: u32 = 2_000;

/// One event of a picture.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its name: what a page listens for.
    pub name: &'static str,
    /// Its data: text of any number of lines, JSON most of the time.
    pub data: String,
}

/// A picture that can be watched; cheap to clone.
#[derive(Clone)]
pub struct Events {
    shared: Arc<Shared>,
}

struct Shared {
    draw: Box<dyn Fn() -> Vec<Event> + Send + Sync>,
    interval: Duration,
    shutdown: Shutdown,
    seats: Arc<Semaphore>,
    /// The ticker's channel while there is one.
    ticks: Mutex<Option<watch::Sender<Bytes>>>,
}

impl Events {
    /// A picture drawn by `draw` every `interval` while somebody watches.
    pub fn new(
        interval: Duration,
        shutdown: Shutdown,
        draw: impl Fn() -> Vec<Event> + Send + Sync + 'static,
    ) -> Self {
        let seats = Arc::new(Semaphore::new(VIEWERS_LIMIT));
        Self {
            shared: Arc::new(Shared {
                draw: Box::new(draw),
                interval,
                shutdown,
                seats,
                ticks: Mutex::default(),
            }),
        }
    }

    /// Answers one viewer with `text/event-stream`, or 503 when all seats are taken. Must be called
    /// within a Tokio runtime.
    pub fn answer(&self) -> Response {
        let Ok(seat) = self.shared.seats.clone().try_acquire_owned() else {
            return Problem::of(StatusCode::SERVICE_UNAVAILABLE)
                .detail("too many viewers")
                .with("viewers_limit", VIEWERS_LIMIT)
                .into_response();
        };
        let viewer = Viewer { ticks: self.watch(), shutdown: self.shared.shutdown.clone(), _seat: seat };
        let rest = stream::unfold(viewer, |mut viewer| async {
            let bytes = viewer.next().await?;
            Some((Ok::<_, Infallible>(bytes), viewer))
        });
        let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
        (headers, Body::from_stream(rest)).into_response()
    }

    fn watch(&self) -> watch::Receiver<Bytes> {
        let mut ticks = self.shared.ticks.lock();
        let ticks = ticks.get_or_insert_with(|| {
            tokio::spawn(self.shared.clone().tick());
            watch::Sender::new(self.shared.picture())
        });
        let mut viewer = ticks.subscribe();
        viewer.mark_changed();
        viewer
    }
}

impl Shared {
    fn picture(&self) -> Bytes {
        let mut text = format!("retry: {RETRY_MS}\n");
        for event in (self.draw)() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "event: {}", event.name);
            for line in event.data.lines() {
                let _ = writeln!(text, "data: {line}");
            }
            text.push('\n');
        }
        Bytes::from(text)
    }

    async fn tick(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            // Looked at under the lock, so that a viewer who comes now finds a ticker or starts one.
            let mut sender = self.ticks.lock();
            if sender.as_ref().is_none_or(|sender| sender.is_closed()) {
                *sender = None;
                return;
            }
            drop(sender);
            let picture = self.picture();
            if let Some(sender) = &*self.ticks.lock() {
                sender.send_replace(picture);
            }
        }
    }
}

struct Viewer {
    ticks: watch::Receiver<Bytes>,
    shutdown: Shutdown,
    _seat: OwnedSemaphorePermit,
}

impl Viewer {
    async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased;
            () = self.shutdown.stopping().cancelled() => None,
            changed = self.ticks.changed() => {
                changed.ok()?;
                Some(self.ticks.borrow_and_update().clone())
            }
        }
    }
}
