//! Server-sent events: a snapshot of a system, rendered once per tick for all viewers.
//!
//! ```text
//!   viewer ──> answer ──> first snapshot at once ──> one per tick, until the viewer leaves or the server stops
//!                 └ the ticker runs while there are viewers
//! ```
//!
//! A viewer that reads too slowly skips snapshots and gets the newest, so at most one snapshot is kept for it. A
//! stream ends when the server begins to stop, so that it does not delay the drain. The browser then reconnects and
//! reaches the next server.

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

/// The most viewers at a time; further ones get a 503.
const VIEWERS_LIMIT: usize = 256;
/// How long a browser waits before it reconnects.
const RETRY_MS: u32 = 2_000;

/// One event of a snapshot.
#[derive(Clone, Debug)]
pub struct Event {
    /// The name that a page listens for.
    pub name: &'static str,
    /// The data: a text of any number of lines, usually JSON.
    pub data: String,
}

/// A snapshot that can be watched. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    shared: Arc<Shared>,
}

struct Shared {
    draw: Box<dyn Fn() -> Vec<Event> + Send + Sync>,
    interval: Duration,
    shutdown: Shutdown,
    permits: Arc<Semaphore>,
    /// The ticker's channel, while the ticker runs.
    ticks: Mutex<Option<watch::Sender<Bytes>>>,
}

impl Events {
    /// A snapshot that `draw` renders every `interval` while there are viewers.
    pub fn new(
        interval: Duration,
        shutdown: Shutdown,
        draw: impl Fn() -> Vec<Event> + Send + Sync + 'static,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(VIEWERS_LIMIT));
        Self {
            shared: Arc::new(Shared {
                draw: Box::new(draw),
                interval,
                shutdown,
                permits,
                ticks: Mutex::default(),
            }),
        }
    }

    /// Responds to one viewer with `text/event-stream`, or with a 503 if there are too many. Must be called within a
    /// Tokio runtime.
    pub fn answer(&self) -> Response {
        let Ok(permit) = self.shared.permits.clone().try_acquire_owned() else {
            return Problem::of(StatusCode::SERVICE_UNAVAILABLE)
                .detail("too many viewers")
                .with("viewers_limit", VIEWERS_LIMIT)
                .into_response();
        };
        let viewer = Viewer { ticks: self.watch(), shutdown: self.shared.shutdown.clone(), _permit: permit };
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
            watch::Sender::new(self.shared.snapshot())
        });
        let mut viewer = ticks.subscribe();
        viewer.mark_changed();
        viewer
    }
}

impl Shared {
    fn snapshot(&self) -> Bytes {
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
            // Checked while the lock is held, so that a new viewer either finds this ticker or starts another.
            let mut sender = self.ticks.lock();
            if sender.as_ref().is_none_or(|sender| sender.is_closed()) {
                *sender = None;
                return;
            }
            drop(sender);
            let snapshot = self.snapshot();
            if let Some(sender) = &*self.ticks.lock() {
                sender.send_replace(snapshot);
            }
        }
    }
}

struct Viewer {
    ticks: watch::Receiver<Bytes>,
    shutdown: Shutdown,
    _permit: OwnedSemaphorePermit,
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
