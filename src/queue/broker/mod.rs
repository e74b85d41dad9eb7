//! The broker: where tasks are kept, and how they move.
//!
//! One contract ([`contract`](self)), two stores: Redis, for many hosts, and SQLite, which one process owns. Each
//! request is one script or one transaction: it happens as a whole or not at all. The conformance tests run the same
//! steps on both.

mod audit;
mod bell;
pub(super) mod contract;
mod redis;
mod sqlite;
mod stats;

pub use self::{
    audit::{Finding, Scan, Wrong},
    bell::Bell,
    contract::{
        Admission, BATCH_LIMIT, Batch, Beat, Cancel, Caps, Claimed, CrashRule, Enqueued, Epoch, Exchange,
        Exchanged, Handles, Known, Looked, MOVED_LIMIT, Promoted, RawElement, Reaped, RunNow, Settled,
        Settlement, Traded, Verdict,
    },
    redis::RedisBroker,
    sqlite::{Clock, SqliteBroker},
    stats::{Counts, LISTED_LIMIT, LaneStats, Listed, ProcessStats, Sizes, Stats, Which},
};
use super::{
    lane::{Rule, RuleChange, Scope},
    task::{NewTask, TaskId},
};
use crate::storage::{Durability, StoreError};

/// The queue's store; cheap to clone.
#[derive(Debug, Clone)]
pub enum Broker {
    /// Redis, which many processes share.
    Redis(RedisBroker),
    /// A file that this process owns.
    Sqlite(SqliteBroker),
}

/// Calls the same method of either broker.
macro_rules! either {
    ($self:ident, $broker:ident => $call:expr) => {
        match $self {
            Self::Redis($broker) => $call,
            Self::Sqlite($broker) => $call,
        }
    };
}

/// Every request fails with [`StoreError`]: then nothing was done, unless it is
/// [`OutcomeUnknown`](StoreError::OutcomeUnknown). A future that is dropped may still have been carried out.
#[allow(clippy::missing_errors_doc, reason = "stated once, above")]
impl Broker {
    /// What an accepted enqueue survives at least.
    pub fn durability(&self) -> Durability {
        either!(self, broker => broker.durability())
    }

    /// The same store over a connection of its own, for a runtime of its own.
    #[must_use]
    pub fn apart(&self) -> Self {
        match self {
            Self::Redis(broker) => Self::Redis(broker.apart()),
            Self::Sqlite(broker) => Self::Sqlite(broker.clone()),
        }
    }

    /// What wakes an idle worker.
    pub fn bell(&self) -> Bell {
        match self {
            Self::Redis(broker) => broker.bell(),
            Self::Sqlite(broker) => broker.bell(),
        }
    }

    /// Takes tasks into the queue, at most [`BATCH_LIMIT`]. It may be sent again: a task's id is taken once.
    pub async fn enqueue(
        &self,
        tasks: &[NewTask],
        batch: Batch,
        caps: &Caps,
    ) -> Result<Enqueued, StoreError> {
        self.enqueue_durably(tasks, batch, caps).await.map(|(enqueued, _)| enqueued)
    }

    /// The same, and what it survives: more than others, if this one had its replicas in time.
    pub async fn enqueue_durably(
        &self,
        tasks: &[NewTask],
        batch: Batch,
        caps: &Caps,
    ) -> Result<(Enqueued, Durability), StoreError> {
        match self {
            Self::Redis(broker) => broker.enqueue(tasks, batch, caps).await,
            Self::Sqlite(broker) => Ok((broker.enqueue(tasks, batch, caps).await?, broker.durability())),
        }
    }

    /// Reads the oldest elements of the raw list, at most [`MOVED_LIMIT`]; of each at most `preview_bytes`. Only Redis
    /// has one.
    pub async fn peek(&self, preview_bytes: u64) -> Result<Vec<RawElement>, StoreError> {
        match self {
            Self::Redis(broker) => broker.peek(preview_bytes).await,
            Self::Sqlite(_) => Ok(Vec::new()),
        }
    }

    /// Moves elements of the raw list into the queue, oldest first, as long as they are the ones that were read and
    /// there is room. Returns how many.
    pub async fn admit(&self, admissions: &[Admission], caps: &Caps) -> Result<u64, StoreError> {
        match self {
            Self::Redis(broker) => broker.admit(admissions, caps).await,
            Self::Sqlite(_) => Ok(0),
        }
    }

    /// Gives a worker process a lease of `lease_ms` of the lease clock. `who` is for people; `secret` is random.
    pub async fn register(&self, secret: &str, lease_ms: u64, who: &str) -> Result<Epoch, StoreError> {
        either!(self, broker => broker.register(secret, lease_ms, who).await)
    }

    /// Renews a lease.
    pub async fn beat(&self, epoch: &Epoch, lease_ms: u64) -> Result<Beat, StoreError> {
        either!(self, broker => broker.beat(epoch, lease_ms).await)
    }

    /// Keeps beside a lease which types its process handles, and its account of what it did of late.
    pub async fn report(&self, epoch: &Epoch, handles: &Handles, account: &str) -> Result<(), StoreError> {
        either!(self, broker => broker.report(epoch, handles, account).await)
    }

    /// The accounts of processes with a lease, at most [`MOVED_LIMIT`].
    pub async fn reports(&self) -> Result<Vec<String>, StoreError> {
        either!(self, broker => broker.reports().await)
    }

    /// Settles attempts that ended and claims tasks.
    pub async fn exchange(&self, epoch: &Epoch, exchange: &Exchange) -> Result<Exchanged, StoreError> {
        either!(self, broker => broker.exchange(epoch, exchange).await)
    }

    /// Ends a lease. Tasks that it still holds are returned by [`reap`](Self::reap).
    pub async fn leave(&self, epoch: &Epoch) -> Result<(), StoreError> {
        either!(self, broker => broker.leave(epoch).await)
    }

    /// Moves delayed tasks that are due to their lanes, at most [`MOVED_LIMIT`].
    pub async fn promote(&self) -> Result<Promoted, StoreError> {
        either!(self, broker => broker.promote().await)
    }

    /// Returns tasks of one process whose lease has expired, at most [`MOVED_LIMIT`].
    pub async fn reap(&self, rule: CrashRule) -> Result<Reaped, StoreError> {
        either!(self, broker => broker.reap(rule).await)
    }

    /// Forgets records, dead letters and keys that were kept long enough. Returns how many.
    pub async fn sweep(&self, caps: &Caps) -> Result<u64, StoreError> {
        either!(self, broker => broker.sweep(caps).await)
    }

    /// Cancels a task: at once if it waits, through its worker's heartbeat if it runs.
    pub async fn cancel(&self, id: TaskId) -> Result<Cancel, StoreError> {
        either!(self, broker => broker.cancel(id).await)
    }

    /// Moves a delayed task to its lane.
    pub async fn run_now(&self, id: TaskId) -> Result<RunNow, StoreError> {
        either!(self, broker => broker.run_now(id).await)
    }

    /// Starts dead letters anew, at most [`MOVED_LIMIT`]. Returns how many were dead letters.
    pub async fn replay(&self, ids: &[TaskId]) -> Result<u64, StoreError> {
        either!(self, broker => broker.unbury(true, ids).await)
    }

    /// Ends dead letters as discarded, at most [`MOVED_LIMIT`]. Returns how many were dead letters.
    pub async fn discard(&self, ids: &[TaskId]) -> Result<u64, StoreError> {
        either!(self, broker => broker.unbury(false, ids).await)
    }

    /// Sets what a scope allows. For the whole queue only a pause counts.
    pub async fn set_rule(&self, scope: &Scope, rule: Rule) -> Result<(), StoreError> {
        self.change_rule(scope, rule.into()).await.map(drop)
    }

    /// Changes a part of what a scope allows. Returns the rule in force; `None` for a burst without a rate: then nothing
    /// was changed.
    pub async fn change_rule(&self, scope: &Scope, change: RuleChange) -> Result<Option<Rule>, StoreError> {
        either!(self, broker => broker.change_rule(scope, change).await)
    }

    /// Reads a task.
    pub async fn get(&self, id: TaskId) -> Result<Looked, StoreError> {
        either!(self, broker => broker.get(id).await)
    }

    /// Reads counts and sizes of one moment.
    pub async fn stats(&self) -> Result<Stats, StoreError> {
        either!(self, broker => broker.stats().await)
    }

    /// Reads tasks, at most [`LISTED_LIMIT`], from the one at `offset` of their order.
    pub async fn list(&self, which: Which, offset: usize) -> Result<Vec<Listed>, StoreError> {
        either!(self, broker => broker.list(which, offset).await)
    }

    /// Reads what the store's settings make of an accepted enqueue. A store whose settings would lose tasks refuses, and
    /// one that a newer program has written to.
    pub async fn check_settings(&self) -> Result<(), StoreError> {
        match self {
            Self::Redis(broker) => broker.check_settings().await,
            // Its settings are this process's own.
            Self::Sqlite(_) => Ok(()),
        }
    }

    /// Looks whether each task is in one place and each count is what there is, page by page; with `mends`, puts right
    /// what is not. What a page needs, it reads at one moment.
    pub async fn audit(&self, mends: bool) -> Result<Scan, StoreError> {
        either!(self, broker => broker.audit(mends).await)
    }

    /// Closes a file once what was submitted is committed. A connection needs no end.
    pub async fn close(&self) {
        if let Self::Sqlite(broker) = self {
            broker.close().await;
        }
    }

    /// Reads the lanes in which something waits. Each is of its own moment.
    pub async fn lanes(&self) -> Result<Vec<LaneStats>, StoreError> {
        either!(self, broker => broker.lanes().await)
    }
}
