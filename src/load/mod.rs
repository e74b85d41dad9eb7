//! Drives HTTP servers and counts what comes back.
//!
//! - [`closed`]: N keep-alive connections, each asking again when it has its answer. Good for
//!   capacity ("how many requests a second, at which CPU cost?") and for nothing else: a client that
//!   waits for answers sends less while the server is slow, and so hides the queue that users
//!   would stand in (coordinated omission).
//! - [`burst`]: N connections with one request each, all in flight at once. Good for "what does a
//!   request in flight cost?".
//!
//! Both speak plain HTTP/1.1 over a [`Connection`](connection::Connection), run on whatever Tokio
//! runtime they are awaited on (a current-thread one is the cheapest), are bounded in connections
//! and time, and keep nothing per answer. A [`Tally`] is what they count.

pub mod burst;
pub mod closed;
pub mod connection;
mod tally;
mod targets;

pub use tally::{ErrorCounts, Tally};
pub use targets::{NoTarget, Targets};
