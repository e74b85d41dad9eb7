//! What sees the worker's attempts.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{
    queue::{metrics::WorkerMetrics, recent::Recent},
    telemetry::Tracing,
};

/// What sees the worker's attempts.
#[derive(Debug, Clone, Default)]
pub(super) struct Watchers {
    pub(super) metrics: Option<Arc<WorkerMetrics>>,
    pub(super) tracing: Tracing,
    pub(super) recent: Arc<Mutex<Recent>>,
}
