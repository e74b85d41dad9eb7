//! One attempt of a task: its handler, within its time.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::handler::Handler;
use crate::{
    config::TimeText,
    queue::{broker::Claimed, settle::Verdict},
};

/// Why an attempt ends before its handler does.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    /// The task is cancelled.
    pub(super) cancelled: CancellationToken,
    /// The worker gives up its drain, or has lost its lease.
    pub(super) given_up: CancellationToken,
}

/// Runs one attempt. The handler is dropped when the attempt ends before it.
pub(super) async fn attempt(task: &Claimed, handler: Option<Arc<dyn Handler>>, ends: Ends) -> Verdict {
    let Some(handler) = handler else {
        // It was claimed for a handler that this worker does not have.
        return Verdict::HandedBack;
    };
    let limit = Duration::from_millis(task.spec.timeout_ms);
    tokio::select! {
        biased;
        () = ends.given_up.cancelled() => Verdict::HandedBack,
        () = ends.cancelled.cancelled() => Verdict::Cancelled,
        ended = tokio::time::timeout(limit, handler.handle(task)) => ended.unwrap_or_else(|_| Verdict::Failed {
            error: format!("timed out after {}", TimeText(limit)),
            retry_after_ms: None,
        }),
    }
}
