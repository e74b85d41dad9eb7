//! The queue as tasks share it: who waits for what, and what the supervisor sees.
//!
//! A cheap handle. The lock is held for single steps and never across an `.await`; each step changes the
//! ledger as a whole, so any look at it is a consistent one.

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
    /// A job can be handed in.
    room: Notify,
    /// The backlog is zero, or will not become so.
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

    /// Pays for the time since the last change.
    fn account(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.accounted_until);
        self.busy += passed * u32::try_from(self.queue.running()).unwrap_or(u32::MAX);
        self.paid += passed * self.workers.present;
        self.accounted_until = now;
    }
}

/// Sums since the start that are no part of the balance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Jobs that the producer wanted to hand in.
    pub(super) offered: u64,
    /// Those of them that were left out because one was already waiting for room.
    pub(super) held_back: u64,
    /// Retries.
    pub(super) retried: u64,
}

/// How many workers there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Workers {
    /// Those that are to be there.
    pub(super) wanted: u32,
    /// Those that are there, ones that finish a last job among them.
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

    /// Gives the board for as long as somebody else keeps it.
    pub(super) fn look(&self) -> impl Fn() -> Option<Self> + Send + Sync + use<> {
        let shared = Arc::downgrade(&self.shared);
        move || shared.upgrade().map(|shared| Self { shared })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.shared.state.lock();
        debug_assert!(state.queue.ledger().balances());
        state
    }

    /// Counts a job that is to be handed in, whether or not there is room.
    pub(super) fn offered(&self) {
        self.state().counts.offered += 1;
    }

    /// Counts an offered job that is left out.
    pub(super) fn held_back(&self) {
        self.state().counts.held_back += 1;
    }

    /// Hands in a job, if there is room, and says its number.
    pub(super) fn push(&self, offered_at: Instant, line: Option<Arc<Line>>) -> Option<u64> {
        let id = self.state().queue.push(Instant::now(), offered_at, line)?;
        self.shared.ready.notify_one();
        Some(id)
    }

    /// Waits until a job can be handed in. Cancel safe.
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

    /// Takes back a job that could not be begun.
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

    /// Counts an attempt that took `service`, whatever came of it.
    pub(super) fn attempted(&self, service: Duration) {
        let mut state = self.state();
        state.attempts += 1;
        state.service += service;
    }

    /// Hands a failed job back, to be taken again after `wait`. Never waits.
    pub(super) fn retry(&self, job: Job, wait: Duration) {
        let now = Instant::now();
        {
            let mut state = self.state();
            state.account(now);
            state.counts.retried += 1;
            state.queue.retry(job, now + wait);
        }
        // A waiting worker must learn of the new due time.
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

    /// Admits nothing any more; workers that find nothing end.
    pub(super) fn close(&self) {
        self.state().queue.close();
        self.shared.ready.notify_waiters();
    }

    /// Admits and hands out again, for another run.
    pub(super) fn open(&self) {
        let mut state = self.state();
        state.halted = None;
        state.queue.open();
    }

    /// Says how many workers there are to be.
    pub(super) fn set_workers(&self, workers: u32) {
        self.state().workers.wanted = workers;
    }

    /// Says the same after a check, and counts a change.
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

    /// Counts a worker in until the returned guard is dropped.
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

    /// What the producer and the retries came to.
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

/// A worker's presence, which is paid for.
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
