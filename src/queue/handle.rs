//! The queue as this process uses it: the store, what the settings allow, and what was seen of it last.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    broker::{Batch, Broker, Caps, Enqueued, Stats, Which},
    config::Config,
    metrics,
    recent::Accounts,
    seen::{Details, Seen},
    task::NewTask,
};
use crate::{
    storage::{Durability, StoreError},
    telemetry::Instruments,
};

/// How often the store is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A look that is younger than this is as good as a new one.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How many looks pass between two readings of the store's settings.
const LOOKS_A_SETTING: u64 = 10;
/// Lists of tasks are read while somebody has looked at them within this time.
const VIEWED: Duration = Duration::from_secs(5);
/// Processes whose tasks are listed, and tasks of a list.
const PROCESSES_LISTED: usize = 20;
const TASKS_LISTED: usize = 20;
/// How long to wait before an enqueue whose reply was lost is sent again, each time.
const SEND_AGAIN: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(800)];
/// No more is sent this long after the reply was lost. A store that stands still takes as long to connect to, once.
const SEND_AGAIN_LIMIT: Duration = Duration::from_secs(2);

/// The queue; cheap to clone.
#[derive(Debug, Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    broker: Broker,
    config: Config,
    caps: Caps,
    seen: Mutex<Seen>,
    /// When a viewer looked last.
    viewed: Mutex<Option<Instant>>,
    /// Locked while every task is looked at.
    scanning: tokio::sync::Mutex<()>,
}

impl Queue {
    /// The queue in `broker`, with its metrics in `instruments`.
    pub fn new(broker: Broker, config: Config, instruments: &Instruments) -> Self {
        let caps = config.caps();
        let shared = Arc::new(Shared {
            broker,
            config,
            caps,
            seen: Mutex::default(),
            viewed: Mutex::default(),
            scanning: tokio::sync::Mutex::default(),
        });
        let weak: Weak<Shared> = Arc::downgrade(&shared);
        metrics::observe(instruments, caps, move || Some(weak.upgrade()?.seen.lock().clone()));
        Self { shared }
    }

    /// Its store.
    pub fn broker(&self) -> &Broker {
        &self.shared.broker
    }

    /// The right to look at every task; `None` while somebody else has it.
    pub(super) fn scan_alone(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        self.shared.scanning.try_lock().ok()
    }

    pub(super) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(super) fn caps(&self) -> &Caps {
        &self.shared.caps
    }

    /// What was seen of the store last.
    pub fn seen(&self) -> Seen {
        self.shared.seen.lock().clone()
    }

    /// Looks at the store for a viewer who has just come.
    pub(super) async fn look_for_viewer(&self) {
        let has_viewers = self.is_viewed();
        *self.shared.viewed.lock() = Some(Instant::now());
        if !has_viewers {
            self.look().await;
        }
    }

    fn is_viewed(&self) -> bool {
        self.shared.viewed.lock().is_some_and(|at| at.elapsed() < VIEWED)
    }

    /// The same for a viewer, to whom tasks are listed by name.
    pub(super) fn seen_by_viewer(&self) -> Seen {
        *self.shared.viewed.lock() = Some(Instant::now());
        self.seen()
    }

    /// Takes tasks into the queue, and says what that survives. One whose reply was lost is sent again: the store takes an id once.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn enqueue(
        &self,
        tasks: &[NewTask],
        batch: Batch,
    ) -> Result<(Enqueued, Durability), StoreError> {
        let send = || self.broker().enqueue_durably(tasks, batch, self.caps());
        let mut answer = send().await;
        let first = Instant::now();
        for pause in SEND_AGAIN {
            let Err(StoreError::OutcomeUnknown(_)) = &answer else { break };
            if first.elapsed() >= SEND_AGAIN_LIMIT {
                break;
            }
            tokio::time::sleep(pause).await;
            answer = match send().await {
                // The first one may have been carried out all the same.
                Err(StoreError::Away(why)) => Err(StoreError::OutcomeUnknown(why)),
                next => next,
            };
        }
        answer
    }

    /// Watches the store until `stop`.
    pub(super) async fn watch(&self, stop: &CancellationToken) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for look in 0.. {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = looks.tick() => {}
            }
            if look % LOOKS_A_SETTING == 0
                && let Err(StoreError::Refused(why)) = self.broker().check_settings().await
            {
                tracing::error!(why, "the settings of the queue's store lose tasks");
            }
            self.look().await;
        }
    }

    /// Looks at the store, unless that was done a moment ago.
    pub async fn look_again(&self) {
        let is_new = self.shared.seen.lock().last.as_ref().is_some_and(|(at, _)| at.elapsed() < LOOK_AGAIN);
        if !is_new {
            self.look().await;
        }
    }

    /// Looks at the store now.
    pub async fn look(&self) {
        let broker = self.broker();
        let is_viewed = self.is_viewed();
        let looked = async {
            let (stats, lanes) = (broker.stats().await?, broker.lanes().await?);
            let details = if is_viewed { list(broker, &stats).await? } else { Details::default() };
            Ok::<_, StoreError>((stats, lanes, details))
        };
        match looked.await {
            Ok((stats, lanes, details)) => self.shared.seen.lock().look(stats, lanes, details),
            Err(error) => self.shared.seen.lock().away = Some(error.to_string()),
        }
    }
}

async fn list(broker: &Broker, stats: &Stats) -> Result<Details, StoreError> {
    let first = async |which| {
        let mut listed = broker.list(which, 0).await?;
        listed.truncate(TASKS_LISTED);
        Ok::<_, StoreError>(listed)
    };
    let mut held = Vec::new();
    for process in stats.processes.iter().filter(|process| process.held > 0).take(PROCESSES_LISTED) {
        held.push((process.epoch, first(Which::HeldBy(process.epoch)).await?));
    }
    let accounts = Accounts::sum(&broker.reports().await?);
    Ok(Details { dead: first(Which::Dead).await?, delayed: first(Which::Delayed).await?, held, accounts })
}
