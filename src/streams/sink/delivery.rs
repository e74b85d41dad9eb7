//! How chunks are handed to a sink.

use std::time::Duration;

use crate::{streams::Framing, telemetry::Counter};

/// What deliveries need beside the chunk.
#[derive(Debug, Clone)]
pub(in crate::streams) struct Delivery {
    pub(in crate::streams) seed: u64,
    pub(in crate::streams) timeout: Duration,
    pub(in crate::streams) retries: u32,
    pub(in crate::streams) framing: Framing,
    pub(in crate::streams) retried: Counter,
}
