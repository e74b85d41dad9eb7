//! The worker's loop under one lease.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    attempt::{Ends, attempt},
    handler::Handlers,
    heartbeat::{Heartbeat, Holding, Report, Running},
    settings::WorkerSettings,
    watchers::Watchers,
};
use crate::{
    queue::{
        broker::{
            Bell, Broker, Claimed, Epoch, Exchange, Exchanged, Handles, LISTED_LIMIT, Listed, MOVED_LIMIT,
            Settlement, Traded, Which,
        },
        ended::Ended,
        settle::{DeathReason, Settle, Verdict, settle},
        task::TaskId,
    },
    shutdown::Shutdown,
    storage::StoreError,
};

/// How long to wait before a store that is away is asked again.
const AWAY: Duration = Duration::from_millis(200);

/// The most characters of an error that are logged.
const LOGGED_LIMIT_CHARS: usize = 200;

/// Rounds whose account is remembered: more than pass between two beats matter to none.
const ROUNDS_REMEMBERED: usize = 64;

/// What a worker did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Attempts that were started.
    pub started: u64,
    /// Tasks that ended well.
    pub succeeded: u64,
    /// Attempts that failed, the last of a task included.
    pub failed: u64,
    /// Tasks that were handed back.
    pub handed_back: u64,
    /// Attempts whose lease expired before they were settled: their tasks are started again.
    pub lost: u64,
}

/// A pool of attempts under one lease.
pub(super) struct Pool<'a> {
    broker: &'a Broker,
    handlers: &'a Handlers,
    handles: Handles,
    settings: &'a WorkerSettings,
    seen: &'a Watchers,
    epoch: Epoch,
    heart: Heartbeat,
    bell: Bell,
    /// What cancels each running attempt.
    running: Running,
    attempts: JoinSet<Verdict>,
    /// What runs, and since when.
    tasks: HashMap<Id, (Claimed, Instant)>,
    given_up: CancellationToken,
    /// What ended and is not settled yet.
    ended: Vec<Settlement>,
    round: u64,
    /// How many tasks it held after the last rounds, by its own account.
    held: VecDeque<Holding>,
    draws: ChaCha8Rng,
}

impl<'a> Pool<'a> {
    /// Takes a lease; waits for a store that is away. `None` if `stop` begins before.
    ///
    /// # Errors
    /// When the store refuses, or the heartbeat cannot be started.
    pub(super) async fn register(
        broker: &'a Broker,
        handlers: &'a Handlers,
        settings: &'a WorkerSettings,
        seen: &'a Watchers,
        stop: &Shutdown,
    ) -> Result<Option<Self>, StoreError> {
        let secret = getrandom::u64().and_then(|one| Ok(format!("{one:016x}{:016x}", getrandom::u64()?)));
        let secret = secret.map_err(|error| StoreError::Refused(format!("no random number: {error}")))?;
        let lease_ms = u64::try_from(settings.lease.as_millis()).unwrap_or(u64::MAX);
        let mut was_away = false;
        let epoch = loop {
            if stop.is_stopping() {
                return Ok(None);
            }
            match broker.register(&secret, lease_ms, &settings.who).await {
                Ok(epoch) => break epoch,
                Err(StoreError::Refused(why)) => return Err(StoreError::Refused(why)),
                // A registration whose answer was lost holds nothing, and expires.
                Err(error) => {
                    if !std::mem::replace(&mut was_away, true) {
                        tracing::warn!(%error, "no lease until the store answers");
                    }
                    tokio::select! {
                        biased;
                        () = stop.stopping().cancelled() => return Ok(None),
                        () = tokio::time::sleep(AWAY) => {}
                    }
                }
            }
        };
        let running = Running::default();
        let report = Report { handles: handlers.handles(), recent: seen.recent.clone() };
        let heart = Heartbeat::start(broker, epoch.clone(), settings.lease, running.clone(), report)
            .map_err(|error| StoreError::Refused(format!("no thread for the heartbeat: {error}")))?;
        Ok(Some(Self {
            broker,
            handlers,
            handles: handlers.handles(),
            settings,
            seen,
            epoch,
            heart,
            bell: broker.bell(),
            running,
            attempts: JoinSet::new(),
            tasks: HashMap::new(),
            given_up: CancellationToken::new(),
            ended: Vec::new(),
            round: 0,
            held: VecDeque::new(),
            draws: ChaCha8Rng::seed_from_u64(settings.seed),
        }))
    }

    /// Works until the drain has ended (`true`) or the lease has expired (`false`).
    ///
    /// # Errors
    /// When the store refuses an exchange.
    pub(super) async fn work(mut self, stop: &Shutdown, tally: &mut Tally) -> Result<bool, StoreError> {
        let mut is_idle = false;
        // Heartbeats end the wait below more often than this: it goes on where it was.
        let mut poll_at = Instant::now();
        let expired = self.heart.expired().clone();
        loop {
            while let Some(ended) = self.attempts.try_join_next_with_id() {
                self.take_verdict(ended, tally);
            }
            let stopping = stop.is_stopping();
            let want = if stopping { 0 } else { self.settings.concurrency.saturating_sub(self.tasks.len()) };
            if stopping && self.tasks.is_empty() && self.ended.is_empty() {
                // What it holds no more needs no lease. If the store is away, the lease expires by itself.
                let _ = self.broker.leave(&self.epoch).await;
                return Ok(true);
            }
            if !self.ended.is_empty() || (want > 0 && !is_idle) {
                let Some(traded) = self.exchange(want, stop).await? else {
                    self.give_up(tally).await;
                    return Ok(false);
                };
                is_idle = traded.claimed.len() < want.min(MOVED_LIMIT);
                // A rate that is used up says when it allows the next start.
                let next_start = traded.next_start_in_ms.map_or(self.settings.poll, Duration::from_millis);
                poll_at = Instant::now() + self.settings.poll.min(next_start);
                for (id, delivery) in traded.unreadable {
                    tracing::warn!(%id, "a task cannot be read: it becomes a dead letter");
                    let error = "its record cannot be read".to_owned();
                    let settle = Settle::Bury { reason: DeathReason::Malformed, error };
                    self.ended.push(Settlement { id, delivery, settle });
                }
                for task in traded.claimed {
                    tally.started += 1;
                    self.start(task);
                }
                self.account((self.tasks.len() + self.ended.len()) as u64);
                continue;
            }
            tokio::select! {
                biased;
                () = expired.cancelled() => {
                    self.give_up(tally).await;
                    return Ok(false);
                }
                () = stop.stopping().cancelled(), if !stopping => {}
                () = stop.drain_over(), if stopping && !self.given_up.is_cancelled() => self.given_up.cancel(),
                Some(ended) = self.attempts.join_next_with_id(), if !self.attempts.is_empty() => {
                    self.take_verdict(ended, tally);
                }
                holding = self.heart.holding() => self.compare(holding).await,
                () = self.bell.wait(poll_at.saturating_duration_since(Instant::now())), if want > 0 => is_idle = false,
            }
        }
    }

    /// Settles and claims, until the store has answered. `None`: the lease has expired.
    async fn exchange(&mut self, want: usize, stop: &Shutdown) -> Result<Option<Traded>, StoreError> {
        self.round += 1;
        let settled: Vec<Settlement> = self.ended.drain(..self.ended.len().min(MOVED_LIMIT)).collect();
        let want = u32::try_from(want.min(MOVED_LIMIT)).unwrap_or(u32::MAX);
        let exchange = Exchange { round: self.round, settled, want, handles: self.handles.clone() };
        let mut was_away = false;
        loop {
            match self.broker.exchange(&self.epoch, &exchange).await {
                Ok(Exchanged::Done(traded)) => return Ok(Some(traded)),
                Ok(Exchanged::Expired | Exchanged::Late) => return Ok(None),
                Err(StoreError::Refused(why)) => return Err(StoreError::Refused(why)),
                // The same round is asked again: it is carried out once, and its answer is kept. Said once.
                Err(error) => {
                    if !std::mem::replace(&mut was_away, true) {
                        tracing::warn!(%error, "the exchange is asked again until the store answers");
                    }
                }
            }
            tokio::select! {
                biased;
                () = self.heart.expired().cancelled() => return Ok(None),
                () = stop.drain_over() => {
                    return Err(StoreError::Away("the drain ended before the store came back".to_owned()));
                }
                () = tokio::time::sleep(AWAY) => {}
            }
        }
    }

    /// Remembers how many tasks it holds after this round.
    fn account(&mut self, held: u64) {
        self.held.retain(|own| own.round != self.round);
        self.held.push_back(Holding { round: self.round, held });
        if self.held.len() > ROUNDS_REMEMBERED {
            self.held.pop_front();
        }
    }

    /// Compares its own account with the store's. On a difference it reads its own set: what it does not know it hands
    /// back, and what it no longer holds it cancels.
    async fn compare(&mut self, store: Holding) {
        let differs = self.held.iter().any(|own| own.round == store.round && own.held != store.held);
        // After a later exchange the next beat tells.
        if !differs || store.round != self.round {
            return;
        }
        let Ok(listed) = self.listed().await else { return };
        let known = |id: &TaskId| {
            self.tasks.values().any(|(task, _)| task.id == *id)
                || self.ended.iter().any(|ended| ended.id == *id)
        };
        let (unknown, ids): (Vec<Listed>, HashSet<TaskId>) = {
            let ids = listed.iter().map(|listed| listed.id).collect();
            (listed.into_iter().filter(|listed| !known(&listed.id)).collect(), ids)
        };
        let lost: Vec<TaskId> =
            self.tasks.values().map(|(task, _)| task.id).filter(|id| !ids.contains(id)).collect();
        tracing::warn!(
            unknown = unknown.len(),
            lost = lost.len(),
            "the store has another account of what this worker holds: unknown tasks are handed back, lost ones cancelled"
        );
        for Listed { id, known } in unknown {
            self.ended.push(Settlement { id, delivery: known.run.delivery, settle: Settle::HandBack });
        }
        let running = self.running.lock();
        lost.iter().filter_map(|id| running.get(id)).for_each(CancellationToken::cancel);
        drop(running);
        self.account(store.held);
    }

    /// The tasks that the store says it holds.
    async fn listed(&self) -> Result<Vec<Listed>, StoreError> {
        let mut all = Vec::new();
        loop {
            let page = self.broker.list(Which::HeldBy(self.epoch.number), all.len()).await?;
            let is_last = page.len() < LISTED_LIMIT;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    fn start(&mut self, task: Claimed) {
        let cancelled = CancellationToken::new();
        self.running.lock().insert(task.id, cancelled.clone());
        let ends = Ends { cancelled, given_up: self.given_up.clone() };
        let handler = self.handlers.find(&task.lane.kind);
        let waited = Duration::from_millis(task.started_ms.saturating_sub(task.ready_ms));
        self.seen.recent.lock().waited(&task.lane.kind, waited);
        if let Some(metrics) = &self.seen.metrics {
            metrics.waited(waited);
        }
        let trace = self.seen.tracing.task(&task.spec.trace, task.lane.kind.as_str());
        let own = task.clone();
        let run = async move {
            let verdict = trace.enter(attempt(&own, handler, ends)).await;
            if matches!(verdict, Verdict::Failed { .. } | Verdict::FailedForGood { .. }) {
                trace.failed("the attempt failed");
            }
            verdict
        };
        let spawned = self.attempts.spawn(run);
        self.tasks.insert(spawned.id(), (task, Instant::now()));
    }

    fn take_verdict(&mut self, ended: Result<(Id, Verdict), JoinError>, tally: &mut Tally) {
        let (id, verdict) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                let failed =
                    Verdict::Failed { error: "the handler panicked".to_owned(), retry_after_ms: None };
                (error.id(), failed)
            }
        };
        let Some((task, since)) = self.tasks.remove(&id) else { return };
        self.running.lock().remove(&task.id);
        let (ended, took) = (Ended::of(&verdict), since.elapsed());
        self.seen.recent.lock().ended(&task.lane.kind, ended, took);
        if let Some(metrics) = &self.seen.metrics {
            metrics.ended(&task.lane.kind, ended, took);
        }
        let limits = (task.failures, task.spec.attempts_limit);
        let settle = settle(verdict, limits, self.settings.retry, self.draws.random());
        match &settle {
            Settle::Succeeded => tally.succeeded += 1,
            Settle::Retry { .. } | Settle::Bury { .. } => tally.failed += 1,
            Settle::HandBack => tally.handed_back += 1,
            Settle::Snooze { .. } | Settle::Cancelled => {}
        }
        tell(&task, &settle);
        self.ended.push(Settlement { id: task.id, delivery: task.delivery, settle });
    }

    /// Cancels what runs, and waits until it has ended. The store gives those tasks to others, so however they ended
    /// here, they are lost.
    async fn give_up(&mut self, tally: &mut Tally) {
        self.given_up.cancel();
        tally.lost += (self.attempts.len() + self.ended.len()) as u64;
        while let Some(ended) = self.attempts.join_next_with_id().await {
            self.take_verdict(ended, &mut Tally::default());
        }
    }
}

/// Logs an attempt that failed.
fn tell(task: &Claimed, settle: &Settle) {
    let (id, kind, attempt) = (task.id, &task.lane.kind, task.failures + 1);
    match settle {
        Settle::Retry { delay_ms, error } => {
            tracing::info!(%id, r#type = %kind, attempt, delay_ms, error = brief(error), "an attempt failed and is tried again");
        }
        Settle::Bury { reason, error } => {
            let reason = reason.label();
            tracing::warn!(%id, r#type = %kind, attempt, reason, error = brief(error), "a task failed and is a dead letter");
        }
        Settle::Succeeded | Settle::HandBack | Settle::Snooze { .. } | Settle::Cancelled => {}
    }
}

/// The beginning of an error, as one line.
fn brief(error: &str) -> String {
    error.chars().take(LOGGED_LIMIT_CHARS).map(|char| if char.is_control() { ' ' } else { char }).collect()
}
