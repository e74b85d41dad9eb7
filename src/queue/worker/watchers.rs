//! What sees the worker's attempts.

use std::sync::Arc;

use crate::{queue::metrics::WorkerMetrics, telemetry::Tracing};

/// What sees the worker's attempts.
#[derive(Debug, Clone, Default)]
pub(super) struct Watchers {
    pub(super) metrics: Option<Arc<WorkerMetrics>>,
    pub(super) tracing: Tracing,
}
