//! The worker's loop under one lease.

use std::{collections::HashMap, time::Duration};

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
    heartbeat::{Heartbeat, Running},
    settings::WorkerSettings,
    watchers::Watchers,
};
use crate::{
    queue::{
        broker::{
            Bell, Broker, Claimed, Epoch, Exchange, Exchanged, Handles, MOVED_LIMIT, Settlement, Traded,
        },
        metrics::Ended,
        settle::{Settle, Verdict, settle},
    },
    shutdown::Shutdown,
    storage::StoreError,
};

/// How long to wait before a store that is away is asked again.
const AWAY: Duration = Duration::from_millis(200);

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
        let heart = Heartbeat::start(broker, epoch.clone(), settings.lease, running.clone())
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
            draws: ChaCha8Rng::seed_from_u64(settings.seed),
        }))
    }

    /// Works until the drain has ended (`true`) or the lease has expired (`false`).
    ///
    /// # Errors
    /// When the store refuses an exchange.
    pub(super) async fn work(mut self, stop: &Shutdown, tally: &mut Tally) -> Result<bool, StoreError> {
        let mut is_idle = false;
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
                    self.give_up().await;
                    return Ok(false);
                };
                is_idle = traded.claimed.len() < want;
                for task in traded.claimed {
                    tally.started += 1;
                    self.start(task);
                }
                continue;
            }
            tokio::select! {
                biased;
                () = self.heart.expired().cancelled() => {
                    self.give_up().await;
                    return Ok(false);
                }
                () = stop.stopping().cancelled(), if !stopping => {}
                () = stop.drain_over(), if stopping && !self.given_up.is_cancelled() => self.given_up.cancel(),
                Some(ended) = self.attempts.join_next_with_id(), if !self.attempts.is_empty() => {
                    self.take_verdict(ended, tally);
                }
                () = self.bell.wait(self.settings.poll), if want > 0 => is_idle = false,
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

    fn start(&mut self, task: Claimed) {
        let cancelled = CancellationToken::new();
        self.running.lock().insert(task.id, cancelled.clone());
        let ends = Ends { cancelled, given_up: self.given_up.clone() };
        let handler = self.handlers.find(&task.lane.kind);
        if let Some(metrics) = &self.seen.metrics {
            metrics.waited(Duration::from_millis(task.started_ms.saturating_sub(task.ready_ms)));
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
        if let Some(metrics) = &self.seen.metrics {
            metrics.ended(&task.lane.kind, Ended::of(&verdict), since.elapsed());
        }
        let limits = (task.failures, task.spec.attempts_limit);
        let settle = settle(verdict, limits, self.settings.retry, self.draws.random());
        match settle {
            Settle::Succeeded => tally.succeeded += 1,
            Settle::Retry { .. } | Settle::Bury { .. } => tally.failed += 1,
            Settle::HandBack => tally.handed_back += 1,
            Settle::Snooze { .. } | Settle::Cancelled => {}
        }
        self.ended.push(Settlement { id: task.id, delivery: task.delivery, settle });
    }

    /// Cancels what runs, and waits until it has ended. The store gives those tasks to others, so how they ended here
    /// is not counted.
    async fn give_up(&mut self) {
        self.given_up.cancel();
        while let Some(ended) = self.attempts.join_next_with_id().await {
            self.take_verdict(ended, &mut Tally::default());
        }
    }
}
