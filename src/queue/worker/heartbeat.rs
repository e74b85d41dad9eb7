//! The heartbeat: renews the lease on a thread and a connection of its own.
//!
//! A handler that blocks every thread of the runtime does not stop it, so a lease expires only when the process is
//! dead or stands still.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    queue::{
        broker::{Beat, Broker, Epoch, Handles},
        recent::Recent,
        task::TaskId,
    },
    storage::StoreError,
};

/// Beats within a lease: several may be lost before it expires.
const BEATS_A_LEASE: u32 = 6;
/// How long to wait after a beat that was lost. When the store is back its clock goes on, and the lease with it.
const AGAIN: Duration = Duration::from_millis(50);

/// How often the process says what it did.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// The running attempts, each with what cancels it.
pub(super) type Running = Arc<Mutex<HashMap<TaskId, CancellationToken>>>;

/// What the store said last that the process holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Holding {
    /// After this round.
    pub(super) round: u64,
    /// How many tasks.
    pub(super) held: u64,
}

/// A beating heart; it stops when it is dropped.
#[derive(Debug)]
pub(super) struct Heartbeat {
    expired: CancellationToken,
    holding: watch::Receiver<Holding>,
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
        report: Report,
    ) -> std::io::Result<Self> {
        let (say, holding) = watch::channel(Holding::default());
        let heart = Self { expired: CancellationToken::new(), holding, stop: CancellationToken::new() };
        let (expired, stop, broker) = (heart.expired.clone(), heart.stop.clone(), broker.apart());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let beat = async move {
            beat_until_expired(broker, &epoch, lease, &running, &say, report).await;
            expired.cancel();
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

    /// What the store says that the process holds, after the next beat. Cancel safe.
    pub(super) async fn holding(&mut self) -> Holding {
        if self.holding.changed().await.is_err() {
            // It beats no more: the lease has expired, and that is told apart.
            std::future::pending::<()>().await;
        }
        *self.holding.borrow_and_update()
    }

    /// Cancelled when the lease has expired.
    pub(super) fn expired(&self) -> &CancellationToken {
        &self.expired
    }
}

/// What the process says of itself beside its lease.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) handles: Handles,
    pub(super) recent: Arc<Mutex<Recent>>,
}

impl Report {
    /// Sends it, unless that was done a moment ago or nothing is new.
    async fn send(&self, broker: &Broker, epoch: &Epoch, sent: &mut Option<(Instant, String)>) {
        if sent.as_ref().is_some_and(|(at, _)| at.elapsed() < REPORT_EVERY) {
            return;
        }
        let account = self.recent.lock().text();
        let is_new = sent.as_ref().is_none_or(|(_, last)| *last != account);
        if !is_new || broker.report(epoch, &self.handles, &account).await.is_ok() {
            *sent = Some((Instant::now(), account));
        }
    }
}

/// Beats until the store says that the lease has expired.
async fn beat_until_expired(
    mut broker: Broker,
    epoch: &Epoch,
    lease: Duration,
    running: &Running,
    say: &watch::Sender<Holding>,
    report: Report,
) {
    let mut sent: Option<(Instant, String)> = None;
    let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
    let pause = lease / BEATS_A_LEASE;
    loop {
        // A connection may be silent for longer than a lease. A beat may be sent twice.
        let beat = timeout(2 * pause, broker.beat(epoch, lease_ms)).await.unwrap_or_else(|_| {
            broker = broker.apart();
            Err(StoreError::OutcomeUnknown("it says nothing".to_owned()))
        });
        match beat {
            Ok(Beat::Expired) => return,
            Ok(Beat::Alive { round, held, cancel }) => {
                say.send_replace(Holding { round, held });
                stop(running, &cancel);
                // The lease matters more: a report may be lost.
                let _ = timeout(pause, report.send(&broker, epoch, &mut sent)).await;
            }
            Err(error) => {
                tracing::debug!(%error, "a heartbeat was lost");
                sleep(AGAIN.min(pause)).await;
                continue;
            }
        }
        sleep(pause).await;
    }
}

/// Cancels those of `running` that are to end.
fn stop(running: &Running, ids: &[TaskId]) {
    let running = running.lock();
    ids.iter().filter_map(|id| running.get(id)).for_each(CancellationToken::cancel);
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
