//! Waits until replicas have what a connection wrote. Those that wait together send one `WAIT`.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use redis::cmd;
use tokio::sync::Mutex;

use super::link::Made;

/// How many replicas are to have a write, and within which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copies {
    /// How many.
    pub replicas: u32,
    /// Less than the limit of a reply, which is five seconds.
    pub within: Duration,
}

/// The `WAIT`s of a handle.
#[derive(Default)]
pub(super) struct Replicas {
    /// How many were sent.
    sent: AtomicU64,
    /// Locked by who sends one; holds how the last one ended.
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    number: u64,
    /// The connection that it was sent over.
    made: u64,
    has_copies: bool,
}

impl Replicas {
    /// Whether the copies of what `made` wrote until now were there in time. The server counts what the connection
    /// wrote that asks: over another one it would say yes to a write that it knows nothing of.
    pub(super) async fn have(&self, made: &Made, copies: Copies) -> bool {
        let sent = self.sent.load(SeqCst);
        let mut last = self.last.lock().await;
        // One that was sent since then speaks of this write too.
        if last.number > sent && last.made == made.number {
            return last.has_copies;
        }
        let number = self.sent.fetch_add(1, SeqCst) + 1;
        let mut wait = cmd("WAIT");
        wait.arg(copies.replicas).arg(copies.within.as_millis().max(1) as u64);
        let answer = wait.query_async::<u32>(&mut made.connection.clone()).await;
        let has_copies = answer.is_ok_and(|have| have >= copies.replicas);
        *last = Last { number, made: made.number, has_copies };
        has_copies
    }
}
