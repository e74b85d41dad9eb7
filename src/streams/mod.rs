//! The stream orchestrator: many streams, one bounded buffer, a pool of workers; every lost chunk is counted.
//!
//! ```text
//!   generated streams ┐                                   ┌ worker ┐
//!   TCP peers         ┼─ offer ─> Buffer (policy) ─ next ─┼ worker ┼─> sink: simulate, http, file
//!   HTTP posts        ┘             │                     └ worker ┘
//!                                   └ ledger ──> statistics, metrics, GET /streams, lab audit
//! ```
//!
//! Sources emit on schedules of their own and do not wait (unless the policy is `block`); a chunk that finds no
//! room is dropped by the [`Overload`] policy and counted. Latency counts from the intended emission.
//! The balance `generated = processed + dropped + queued + in_progress` holds whenever it is read,
//! because each of its moves is one critical section of the buffer.
//!
//! [`Streams`] is the handle: it starts, resizes, drains and shows one run at a time. It works under a
//! paused clock when the sink is simulated and nothing listens; then the same seed gives the same run.
//!
//! What it refuses: more peers than its limit, longer frames than theirs, and under `fair` more streams
//! than the buffer has places.

mod buffer;
mod change;
mod charts;
mod chunk;
mod config;
mod draw;
mod framing;
mod gateway;
mod ledger;
mod metrics;
mod orchestrator;
mod over_time;
mod overload;
mod page;
mod race;
mod ranges;
mod routes;
mod run;
mod sharded;
mod sink;
mod source;
mod stats;
mod status;
mod worker;

pub use change::{CannotStart, Overrides, Resize, ResizeError};
pub use config::{
    Args, Config, FrameLimitBytes, PeerIdleMs, PeersLimit, SinkRetries, SinkTimeoutMs, StreamsSloMs,
};
pub use framing::{Framing, LongLines};
pub use gateway::Received;
pub use ledger::{ChunkLedger, Dropped, Reason};
pub use orchestrator::{Runtime, Streams};
pub use overload::Overload;
pub use race::Race;
pub use ranges::{BufferSize, ChunkSize, NoisyFactor, StreamInterval, StreamsCount, WorkersCount};
pub use routes::system;
pub use sink::SinkSpec;
pub use stats::{RunReport, Statistics};
pub use status::Status;
pub use worker::{Observer, Processed};
