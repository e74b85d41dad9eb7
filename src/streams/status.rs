//! What `GET /streams` shows.

use std::net::SocketAddr;

use serde::Serialize;
use utoipa::ToSchema;

use super::{overload::Overload, stats::RunReport};
use crate::{document, web::RunState};

/// The streams now: what `GET /streams` answers.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = streams::Status)]
pub struct Status {
    /// The state of its lifecycle.
    pub state: RunState,
    /// Workers wanted in the pool.
    pub workers_count: usize,
    /// Generated streams.
    pub streams_count: usize,
    /// Streams from outside that are connected.
    pub peers: usize,
    /// Places in the buffer.
    pub buffer_size: usize,
    /// The longest pause of a generated stream, milliseconds.
    pub stream_interval: u64,
    /// The longest generated chunk, bytes.
    pub chunk_size: usize,
    /// What happens when the buffer is full.
    pub overload: Overload,
    /// How often the first generated stream emits for each time another one does; 1: none is noisy.
    pub noisy_factor: u32,
    /// The sink.
    pub sink: String,
    /// The address for TCP streams; `null` if it does not listen.
    #[schema(value_type = Option<String>, required)]
    pub listening: Option<SocketAddr>,
    /// What was measured in this run, or in the last one; `null` before the first.
    #[schema(required)]
    pub run: Option<RunReport>,
}

document!(Status as "lab/streams-status/1");
