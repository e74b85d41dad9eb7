//! Reads the backlog every check interval, asks the policy, and adds or removes workers.
//!
//! The loop reads the full state each time and repeats safely: if a worker is missing it is replaced. A
//! worker that is busy finishes its job before it goes; if the pool is to grow again before that, it stays,
//! so there are never more than `max_workers`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    config::Settings,
    generator::Controls,
    scaling::{self, Observation, Past},
    worker::{self, WorkerContext},
};

/// Workers by their numbers, which are never used again.
#[derive(Debug)]
struct Pool {
    context: WorkerContext,
    tasks: JoinSet<()>,
    members: BTreeMap<u64, Member>,
    next_id: u64,
}

#[derive(Debug)]
struct Member {
    task: tokio::task::Id,
    retiring: watch::Sender<bool>,
    busy: Arc<AtomicBool>,
}

impl Member {
    fn is_retiring(&self) -> bool {
        *self.retiring.borrow()
    }

    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }
}

impl Pool {
    fn active(&self) -> u32 {
        let active = self.members.values().filter(|member| !member.is_retiring()).count();
        u32::try_from(active).unwrap_or(u32::MAX)
    }

    /// Keeps a worker that was about to end if it is still busy; otherwise starts a new one.
    fn add(&mut self) {
        if let Some(member) = self.members.values().find(|member| member.is_retiring() && member.is_busy()) {
            member.retiring.send_replace(false);
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        let (retiring, told) = watch::channel(false);
        let busy = Arc::new(AtomicBool::new(false));
        let work = worker::run(self.context.clone(), id, told, busy.clone());
        let task = self.tasks.spawn(work).id();
        self.members.insert(id, Member { task, retiring, busy });
    }

    /// Ends the youngest idle worker, or the youngest if none is idle.
    fn remove(&mut self) {
        let active = || self.members.values().rev().filter(|member| !member.is_retiring());
        if let Some(member) = active().find(|member| !member.is_busy()).or_else(|| active().next()) {
            member.retiring.send_replace(true);
        }
    }

    /// Waits for the end of a worker.
    async fn ended(&mut self) {
        let (task, broke) = match self.tasks.join_next_with_id().await {
            Some(Ok((task, ()))) => (task, None),
            Some(Err(error)) => (error.id(), Some(error)),
            None => std::future::pending().await,
        };
        let ids = self.members.iter().find(|(_, member)| member.task == task).map(|(id, _)| *id);
        let member = ids.and_then(|id| self.members.remove(&id));
        if let Some(error) = broke {
            tracing::error!(%error, "a worker broke");
            // No other task ends the job that it had.
            if member.is_some_and(|member| member.is_busy()) {
                self.context.board.end(false);
            }
        }
    }
}

/// What a supervisor needs.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// What workers share; dropped when the last one has ended.
    pub(super) context: WorkerContext,
    /// The bounds and the policies' targets.
    pub(super) settings: Settings,
    /// Which policy.
    pub(super) controls: watch::Receiver<Controls>,
    /// The number that the first worker gets.
    pub(super) first_id: u64,
    /// The queue is closed: wait for the workers and end.
    pub(super) closing: CancellationToken,
}

impl Supervisor {
    /// Supervises until the queue is closed and all workers have ended; says the next worker's number.
    pub(super) async fn run(self) -> u64 {
        let Self { context, settings, controls, first_id, closing } = self;
        let (board, journal, metrics) =
            (context.board.clone(), context.journal.clone(), context.metrics.clone());
        let (min, max) = (settings.min_workers.get(), settings.max_workers.get());
        let expected_service = context.work.expected();
        let interval = settings.check_interval.get();
        let mut pool = Pool { context, tasks: JoinSet::new(), members: BTreeMap::new(), next_id: first_id };
        (0..min).for_each(|_| pool.add());
        board.set_workers(min);
        let mut past = Past::default();
        let mut policy = *controls.borrow();
        let mut next = Instant::now() + interval;
        loop {
            tokio::select! {
                biased;
                () = closing.cancelled() => break,
                () = pool.ended() => continue,
                () = tokio::time::sleep_until(next) => {}
            }
            next = later(next, interval);
            let wanted = *controls.borrow();
            if wanted.policy != policy.policy {
                // What another policy remembered does not apply to this one.
                past = Past::default();
            }
            policy = wanted;
            let now = board.reading();
            let seen = Observation { now, past: &past, min, max, expected_service };
            let decision = scaling::decide(policy.policy, &settings, &seen);
            journal.line(format_args!("backlog size: {}", seen.backlog()));
            past.remember(now, decision);
            let (mut up, mut down) = (0, 0);
            // A worker that broke is replaced here too.
            for total in pool.active() + 1..=decision.workers {
                pool.add();
                up += 1;
                journal.line(format_args!("↑ added worker (total {total})"));
            }
            for total in (decision.workers..pool.active()).rev() {
                pool.remove();
                down += 1;
                journal.line(format_args!("↓ removed worker (total {total})"));
            }
            board.scale(decision.workers);
            metrics.scaled(up, down);
        }
        while !pool.tasks.is_empty() {
            pool.ended().await;
        }
        board.set_workers(0);
        pool.next_id
    }
}

/// The next check; checks that are long past are skipped.
fn later(last: Instant, interval: Duration) -> Instant {
    (last + interval).max(Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{config::Config, worker::tests::context};

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_broke_is_gone_and_its_job_has_failed() {
        let settings = Config::embedded().settings().expect("good settings");
        let (context, _ended) = context(&settings);
        let board = context.board.clone();
        let mut pool = Pool { context, tasks: JoinSet::new(), members: BTreeMap::new(), next_id: 1 };
        pool.add();
        pool.add();
        assert!(board.push(Instant::now(), None).is_some());
        // Virtual time: one of them takes the job, which needs a second at least.
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!((pool.active(), board.ledger().in_progress), (2, 1));
        pool.tasks.abort_all();
        pool.ended().await;
        pool.ended().await;
        let ledger = board.ledger();
        assert_eq!((pool.active(), pool.members.len()), (0, 0));
        assert!(ledger.balances() && ledger.backlog == 0 && ledger.permanently_failed == 1, "{ledger:?}");
    }
}
