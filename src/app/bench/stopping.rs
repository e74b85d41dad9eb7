//! Ends a benchmark's work when it is stopped.

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

/// Awaits `work`, or drops it when `stop` is cancelled.
pub(super) async fn unless_stopped<T>(
    stop: &CancellationToken,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    stop.run_until_cancelled(work).await.context("interrupted")?
}
