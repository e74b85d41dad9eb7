//! What every process of the queue does beside its own work.

use tokio_util::sync::CancellationToken;

use super::{broker::CrashRule, handle::Queue, inbox::admit, keeper::keep};

/// Keeps the queue, admits what other programs push, and watches the store, until `stop`.
pub async fn tend(queue: &Queue, stop: &CancellationToken) {
    tokio::join!(
        keep(queue.broker(), queue.caps(), CrashRule::default(), stop),
        admit(queue, stop),
        queue.watch(stop)
    );
}
