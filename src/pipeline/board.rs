//! The queue that tasks share: producers and workers wait here, and the supervisor reads it.
//!
//! A cheap handle. The lock is held for single steps and never across an `.await`; each step changes the
//! ledger as a whole, so every reading is consistent.

use std::{cmp::Ordering, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::Notify, time::Instant};

use super::{
    job::Job,
    lines::Line,
    queue::{JobLedger, Queue, Taken},
    scaling::Reading,
};

/// A handle on the queue and the counts around it.
#[derive(Debug, Clone)]
pub(super) struct Board {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    begun: Instant,
    state: Mutex<State>,
    /// A job can be taken, or the queue is closed.
    ready: Notify,
    /// The queue has room.
    room: Notify,
    /// The backlog is zero, or can no longer become zero.
    empty: Notify,
    /// No more jobs are handed out.
    halted: Notify,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    counts: Counts,
    attempts: u64,
    service: Duration,
    busy: Duration,
    paid: Duration,
    accounted_until: Instant,
    workers: Workers,
    scalings: Scalings,
    last_change: Option<Ordering>,
    /// Why no more jobs are handed out.
    halted: Option<String>,
}

impl State {
    fn is_drained(&self) -> bool {
        match self.halted {
            Some(_) => self.queue.running() == 0,
            None => self.queue.ledger().backlog == 0,
        }
    }

    /// Adds the worker time since the last change.
    fn account(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.accounted_until);
        self.busy += passed * u32::try_from(self.queue.running()).unwrap_or(u32::MAX);
        self.paid += passed * self.workers.present;
        self.accounted_until = now;
    }
}

/// Sums since the start that are not terms of the balance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Jobs that the producer wanted to enqueue.
    pub(super) offered: u64,
    /// Those of them that were skipped because another one was already waiting for room.
    pub(super) held_back: u64,
    /// Retries.
    pub(super) retried: u64,
}

/// How many workers there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Workers {
    /// The wanted number.
    pub(super) wanted: u32,
    /// The number running, including those that finish their last job.
    pub(super) present: u32,
}

/// How often the number of workers was changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Scalings {
    /// Checks that changed it.
    pub(super) changes: u64,
    /// Those of them that changed it in the other direction than the one before.
    pub(super) turns: u64,
}

impl Board {
    /// A board with an empty queue. Its time starts now.
    pub(super) fn new(capacity: usize) -> Self {
        let now = Instant::now();
        let state = State {
            queue: Queue::new(capacity),
            counts: Counts::default(),
            attempts: 0,
            service: Duration::ZERO,
            busy: Duration::ZERO,
            paid: Duration::ZERO,
            accounted_until: now,
            workers: Workers::default(),
            scalings: Scalings::default(),
            last_change: None,
            halted: None,
        };
        let [ready, room, empty, halted] = std::array::from_fn(|_| Notify::new());
        let state = Mutex::new(state);
        Self { shared: Arc::new(Shared { begun: now, state, ready, room, empty, halted }) }
    }

    /// A reader that does not keep the board alive.
    pub(super) fn look(&self) -> impl Fn() -> Option<Self> + Send + Sync + use<> {
        let shared = Arc::downgrade(&self.shared);
        move || shared.upgrade().map(|shared| Self { shared })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.shared.state.lock();
        debug_assert!(state.queue.ledger().balances());
        state
    }

    /// Counts an offered job, whether or not there is room.
    pub(super) fn offered(&self) {
        self.state().counts.offered += 1;
    }

    /// Counts an offered job that is skipped.
    pub(super) fn held_back(&self) {
        self.state().counts.held_back += 1;
    }

    /// Enqueues a job, if there is room, and returns its number.
    pub(super) fn push(&self, offered_at: Instant, line: Option<Arc<Line>>) -> Option<u64> {
        let id = self.state().queue.push(Instant::now(), offered_at, line)?;
        self.shared.ready.notify_one();
        Some(id)
    }

    /// Waits for room in the queue. Cancel safe.
    pub(super) async fn room(&self) {
        self.wait_for(&self.shared.room, |state| state.queue.has_room()).await;
    }

    /// Waits until no job is queued, in progress or waiting for a retry; once no more are handed out, until
    /// none is in progress. Cancel safe.
    pub(super) async fn empty(&self) {
        self.wait_for(&self.shared.empty, State::is_drained).await;
    }

    /// Hands out no more jobs: those in progress are the last. The first reason is kept.
    pub(super) fn halt(&self, why: String) {
        let is_drained = {
            let mut state = self.state();
            state.halted.get_or_insert(why);
            state.is_drained()
        };
        self.shared.halted.notify_waiters();
        self.shared.ready.notify_waiters();
        if is_drained {
            self.shared.empty.notify_waiters();
        }
    }

    /// Waits until no more jobs are handed out. Cancel safe.
    pub(super) async fn halted(&self) -> String {
        self.wait_for(&self.shared.halted, |state| state.halted.is_some()).await;
        self.state().halted.clone().unwrap_or_default()
    }

    /// Why no more jobs are handed out, if so.
    pub(super) fn why_halted(&self) -> Option<String> {
        self.state().halted.clone()
    }

    /// Takes back a job that could not be started.
    pub(super) fn put_back(&self, job: Job) {
        let mut state = self.state();
        state.account(Instant::now());
        state.queue.put_back(job);
    }

    async fn wait_for(&self, sign: &Notify, holds: impl Fn(&State) -> bool) {
        loop {
            let changed = sign.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if holds(&self.state()) {
                return;
            }
            changed.await;
        }
    }

    /// Takes the next job; `None` once the queue is closed and empty. Cancel safe: a job is taken in the
    /// same step that returns it.
    pub(super) async fn take(&self) -> Option<Job> {
        loop {
            let ready = self.shared.ready.notified();
            tokio::pin!(ready);
            ready.as_mut().enable();
            let taken = {
                let now = Instant::now();
                let mut state = self.state();
                state.account(now);
                if state.halted.is_some() { Taken::Closed } else { state.queue.take(now) }
            };
            match taken {
                Taken::Job(job) => {
                    self.shared.room.notify_waiters();
                    return Some(job);
                }
                Taken::Closed => return None,
                Taken::Nothing => ready.await,
                Taken::NotBefore(due) => {
                    tokio::select! {
                        biased;
                        () = ready => {}
                        () = tokio::time::sleep_until(due) => {}
                    }
                }
            }
        }
    }

    /// Counts an attempt that took `service`, whatever its result.
    pub(super) fn attempted(&self, service: Duration) {
        let mut state = self.state();
        state.attempts += 1;
        state.service += service;
    }

    /// Returns a failed job to the queue, to be taken again after `wait`. Never blocks.
    pub(super) fn retry(&self, job: Job, wait: Duration) {
        let now = Instant::now();
        {
            let mut state = self.state();
            state.account(now);
            state.counts.retried += 1;
            state.queue.retry(job, now + wait);
        }
        // A waiting worker is woken to see the new due time.
        self.shared.ready.notify_one();
    }

    /// Counts the end of a running job.
    pub(super) fn end(&self, succeeded: bool) {
        let empty = {
            let mut state = self.state();
            state.account(Instant::now());
            state.queue.end(succeeded);
            state.is_drained()
        };
        if empty {
            self.shared.empty.notify_waiters();
        }
    }

    /// Closes the queue; workers end when it is empty.
    pub(super) fn close(&self) {
        self.state().queue.close();
        self.shared.ready.notify_waiters();
    }

    /// Opens the queue again, for another run.
    pub(super) fn open(&self) {
        let mut state = self.state();
        state.halted = None;
        state.queue.open();
    }

    /// Sets the wanted number of workers.
    pub(super) fn set_workers(&self, workers: u32) {
        self.state().workers.wanted = workers;
    }

    /// Sets it after a check, and counts a change.
    pub(super) fn scale(&self, workers: u32) {
        let mut state = self.state();
        let change = workers.cmp(&state.workers.wanted);
        if change.is_ne() {
            state.scalings.changes += 1;
            state.scalings.turns += u64::from(state.last_change.is_some_and(|last| last != change));
            state.last_change = Some(change);
        }
        state.workers.wanted = workers;
    }

    /// How often the number of workers was changed.
    pub(super) fn scalings(&self) -> Scalings {
        self.state().scalings
    }

    /// Counts a worker as running until the returned guard is dropped.
    pub(super) fn worker(&self) -> Present {
        let mut state = self.state();
        state.account(Instant::now());
        state.workers.present += 1;
        drop(state);
        Present(self.clone())
    }

    /// The balance now.
    pub(super) fn ledger(&self) -> JobLedger {
        self.state().queue.ledger()
    }

    /// The counts of offered jobs and retries.
    pub(super) fn counts(&self) -> Counts {
        self.state().counts
    }

    /// How many workers there are.
    pub(super) fn workers(&self) -> Workers {
        self.state().workers
    }

    /// What the supervisor sees.
    pub(super) fn reading(&self) -> Reading {
        let now = Instant::now();
        let mut state = self.state();
        state.account(now);
        Reading {
            at: now.saturating_duration_since(self.shared.begun),
            workers: state.workers.wanted,
            waiting: state.queue.waiting(),
            running: state.queue.running(),
            offered: state.counts.offered,
            retried: state.counts.retried,
            attempts: state.attempts,
            service: state.service,
            busy: state.busy,
            paid: state.paid,
        }
    }
}

/// A running worker; its time is counted until this is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Present(Board);

impl Drop for Present {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.account(Instant::now());
        state.workers.present -= 1;
    }
}
