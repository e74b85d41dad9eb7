//! The heartbeat: renews the lease on a thread and a connection of its own.
//!
//! A handler that blocks every thread of the runtime does not stop it, so a lease expires only when the process is
//! dead or stands still.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::queue::{
    broker::{Beat, Broker, Epoch},
    task::TaskId,
};

/// Beats within a lease: several may be lost before it expires.
const BEATS_A_LEASE: u32 = 6;

/// The running attempts, each with what cancels it.
pub(super) type Running = Arc<Mutex<HashMap<TaskId, CancellationToken>>>;

/// A beating heart; it stops when it is dropped.
#[derive(Debug)]
pub(super) struct Heartbeat {
    expired: CancellationToken,
    stop: CancellationToken,
}

impl Heartbeat {
    /// Renews `epoch`, whose lease is `lease`, and cancels those of `running` that the store says are to end.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be made.
    pub(super) fn start(
        broker: &Broker,
        epoch: Epoch,
        lease: Duration,
        running: Running,
    ) -> std::io::Result<Self> {
        let heart = Self { expired: CancellationToken::new(), stop: CancellationToken::new() };
        let (expired, stop, broker) = (heart.expired.clone(), heart.stop.clone(), broker.apart());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let beat = async move {
            let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
            let mut beats = interval(lease / BEATS_A_LEASE);
            // After a standstill one beat is enough to learn whether it was too long.
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                beats.tick().await;
                match broker.beat(&epoch, lease_ms).await {
                    Ok(Beat::Expired) => {
                        expired.cancel();
                        return;
                    }
                    Ok(Beat::Alive { cancel, .. }) => {
                        let running = running.lock();
                        cancel.iter().filter_map(|id| running.get(id)).for_each(CancellationToken::cancel);
                    }
                    // Without the store no lease expires: its clock stands still.
                    Err(error) => tracing::debug!(%error, "a heartbeat was lost"),
                }
            }
        };
        let run = move || {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = beat => {}
                }
            });
        };
        std::thread::Builder::new().name("queue-heartbeat".to_owned()).spawn(run)?;
        Ok(heart)
    }

    /// Cancelled when the lease has expired.
    pub(super) fn expired(&self) -> &CancellationToken {
        &self.expired
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
