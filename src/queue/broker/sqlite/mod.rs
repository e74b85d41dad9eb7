//! The queue in a file that one process owns: each request is one job of the writer's group commit.

mod audit;
mod column;
mod enqueue;
mod exchange;
mod leases;
mod look;
mod moves;
mod state;
mod tasks;
mod unreadable;

use std::{fmt, path::Path, sync::Arc};

use tokio::sync::Notify;

use self::{moves::Moves, state::State};
use super::{
    audit::Scan,
    bell::Bell,
    contract::{
        Batch, Beat, Cancel, Caps, CrashRule, Enqueued, Epoch, Exchange, Exchanged, Handles, Looked,
        Promoted, Reaped, RunNow,
    },
    stats::{LaneStats, Listed, Stats, Which},
};
use crate::{
    queue::{
        lane::{Rule, RuleChange, Scope},
        task::{NewTask, TaskId},
    },
    storage::{
        Durability, StoreError,
        sqlite::{OpenError, Sqlite, Synchronous},
    },
};

/// The name of the file.
const FILE: &str = "queue";
/// The steps that made the file's tables, in order.
const SCHEMA: &[&str] = &[include_str!("schema.sql")];

/// Where the broker reads the time, in milliseconds since 1970.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// The machine's clock.
    pub fn wall() -> Self {
        Self::new(|| u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0))
    }

    /// A clock of the caller's.
    pub fn new(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ms))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The queue in SQLite; cheap to clone.
#[derive(Debug, Clone)]
pub struct SqliteBroker {
    file: Sqlite<State>,
    clock: Clock,
    /// Names this run of the process: leases of earlier runs are over.
    owner: Arc<str>,
    /// Rung when there may be something to claim.
    rung: Arc<Notify>,
}

impl SqliteBroker {
    /// Opens or makes the file in `folder`. `lease_ms` is how long a lease of this run still lasts after the writer
    /// had to read its state anew.
    ///
    /// # Errors
    /// When another process owns it, it is of a newer version, or it cannot be opened.
    pub fn open(
        folder: &Path,
        synchronous: Synchronous,
        lease_ms: u64,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let owner: Arc<str> = TaskId::new().to_string().into();
        let own = owner.clone();
        let load = move |db: &rusqlite::Connection| State::load(db, &own, lease_ms);
        Ok(Self {
            file: Sqlite::open(folder, FILE, synchronous, SCHEMA, load)?,
            clock,
            owner,
            rung: Arc::default(),
        })
    }

    /// Closes the file once what was submitted is committed.
    pub async fn close(&self) {
        self.file.close().await;
    }

    pub(super) fn bell(&self) -> Bell {
        Bell::of(self.rung.clone())
    }

    pub(super) fn durability(&self) -> Durability {
        self.file.durability()
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Moves<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let now_ms = (self.clock.0)();
        let job = move |db: &rusqlite::Connection, state: &mut State| {
            let before = state.counts.pending;
            let result = Moves { db, state, now_ms }.run(job)?;
            Ok((result, state.counts.pending > before))
        };
        let (result, has_more) = self.file.write(job).await?;
        if has_more {
            self.rung.notify_one();
        }
        Ok(result)
    }

    pub(super) async fn enqueue(
        &self,
        tasks: &[NewTask],
        batch: Batch,
        caps: &Caps,
    ) -> Result<Enqueued, StoreError> {
        let (tasks, caps) = (tasks.to_vec(), *caps);
        self.run(move |queue| queue.enqueue(&tasks, batch, &caps)).await
    }

    pub(super) async fn register(&self, secret: &str, lease_ms: u64, who: &str) -> Result<Epoch, StoreError> {
        let (owner, secret, who) = (self.owner.clone(), secret.to_owned(), who.to_owned());
        self.run(move |queue| queue.register(&owner, &secret, lease_ms, &who)).await
    }

    pub(super) async fn beat(&self, epoch: &Epoch, lease_ms: u64) -> Result<Beat, StoreError> {
        let epoch = epoch.clone();
        self.run(move |queue| Ok(queue.beat(&epoch, lease_ms))).await
    }

    pub(super) async fn report(
        &self,
        epoch: &Epoch,
        handles: &Handles,
        account: &str,
    ) -> Result<(), StoreError> {
        let (epoch, handles, account) = (epoch.clone(), handles.clone(), account.to_owned());
        self.run(move |queue| {
            queue.report(&epoch, handles, account);
            Ok(())
        })
        .await
    }

    pub(super) async fn reports(&self) -> Result<Vec<String>, StoreError> {
        self.run(|queue| Ok(queue.reports())).await
    }

    pub(super) async fn exchange(&self, epoch: &Epoch, exchange: &Exchange) -> Result<Exchanged, StoreError> {
        let (epoch, exchange) = (epoch.clone(), exchange.clone());
        self.run(move |queue| queue.exchange(&epoch, &exchange)).await
    }

    pub(super) async fn leave(&self, epoch: &Epoch) -> Result<(), StoreError> {
        let epoch = epoch.clone();
        self.run(move |queue| queue.leave(&epoch)).await
    }

    pub(super) async fn promote(&self) -> Result<Promoted, StoreError> {
        self.run(|queue| queue.promote()).await
    }

    pub(super) async fn reap(&self, rule: CrashRule) -> Result<Reaped, StoreError> {
        self.run(move |queue| queue.reap(rule)).await
    }

    pub(super) async fn sweep(&self, caps: &Caps) -> Result<u64, StoreError> {
        let caps = *caps;
        self.run(move |queue| queue.sweep(&caps)).await
    }

    pub(super) async fn cancel(&self, id: TaskId) -> Result<Cancel, StoreError> {
        self.run(move |queue| queue.cancel(id)).await
    }

    pub(super) async fn run_now(&self, id: TaskId) -> Result<RunNow, StoreError> {
        self.run(move |queue| queue.run_now(id)).await
    }

    pub(super) async fn unbury(&self, replay: bool, ids: &[TaskId]) -> Result<u64, StoreError> {
        let ids = ids.to_vec();
        self.run(move |queue| queue.unbury(replay, &ids)).await
    }

    pub(super) async fn change_rule(
        &self,
        scope: &Scope,
        change: RuleChange,
    ) -> Result<Option<Rule>, StoreError> {
        let scope = scope.clone();
        self.run(move |queue| queue.change_rule(&scope, change)).await
    }

    pub(super) async fn get(&self, id: TaskId) -> Result<Looked, StoreError> {
        self.run(move |queue| queue.get(id)).await
    }

    pub(super) async fn stats(&self) -> Result<Stats, StoreError> {
        self.run(|queue| queue.stats()).await
    }

    pub(super) async fn list(&self, which: Which, offset: usize) -> Result<Vec<Listed>, StoreError> {
        self.run(move |queue| queue.list(which, offset)).await
    }

    pub(super) async fn audit(&self, mends: bool) -> Result<Scan, StoreError> {
        let mut scan = Scan::default();
        let mut before = self.run(|queue| Ok(queue.state.counts)).await?;
        let mut bytes = self.audit_rows(mends, &mut scan).await?;
        if mends && scan.found > 0 {
            // What there is to count has changed.
            before = self.run(|queue| Ok(queue.state.counts)).await?;
            bytes = self.audit_rows(false, &mut Scan::default()).await?;
        }
        let (findings, left_out) = self.run(move |queue| queue.audit_counts(before, bytes, mends)).await?;
        scan.add(findings);
        scan.left_out.extend(left_out.map(str::to_owned));
        Ok(scan)
    }

    /// Looks at all rows. Returns the bytes of their payloads.
    async fn audit_rows(&self, mends: bool, scan: &mut Scan) -> Result<u64, StoreError> {
        let (mut at, mut bytes) = (0, 0);
        loop {
            let page = self.run(move |queue| queue.audit_rows(at, mends)).await?;
            scan.records += page.rows as u64;
            scan.add(page.findings);
            bytes += page.bytes;
            at = page.last;
            if page.rows < audit::PAGE {
                return Ok(bytes);
            }
        }
    }

    pub(super) async fn lanes(&self) -> Result<Vec<LaneStats>, StoreError> {
        self.run(|queue| queue.lanes()).await
    }
}
