//! Drives a [`Transport`]: an open loop by a schedule, or a closed loop for comparison.
//!
//! In the open loop each arrival is a task of its own, handed over at its intended time whether or not
//! earlier ones have been answered. Intended times are exact; the driver sleeps until the next one, hands
//! over all that is due, and sleeps again, so that a late wake-up delays nobody twice. What is above the
//! limit of requests in flight is not sent, counted, and infinitely slow.
//!
//! In the closed loop a few users ask again when they have their answer. With a schedule they take their
//! intended times from it and wait for them: the same arrivals as an open loop's, offered by too few
//! users, measured from both starts.
//!
//! The first signal ends the schedule, and what is in flight is waited for as its time limits allow; the
//! second gives that up and counts it as unfinished. Both come in as [`CancellationToken`]s.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::measured::Ended;
use super::metrics::LoadMetrics;
use super::schedule::Arrivals;
use super::{Cause, Measured, Schedule, Trace, Transport};

/// How many arrivals are handed over before answers get a turn.
const BATCH: u32 = 32;

/// Who asks, and when.
#[derive(Clone, Debug)]
pub enum Pace {
    /// Arrivals by a schedule, whatever the server does.
    Open {
        /// When.
        schedule: Schedule,
        /// Requests in flight at a time; one more is not sent.
        max_in_flight: NonZeroU32,
    },
    /// Users who wait for their answer before they ask again.
    Closed {
        /// How many.
        users: NonZeroU32,
        /// How long they ask.
        length: Duration,
        /// When they would have asked; without it as soon as they can.
        schedule: Option<Schedule>,
    },
}

/// A run to make.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who asks, and when.
    pub pace: Pace,
    /// How long after its intended start (in a closed loop: its send) a request is given up.
    pub timeout: Duration,
    /// A success within this is good.
    pub slo: Duration,
}

/// How a run is ended early.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// No more requests; those in flight are waited for.
    pub stopping: CancellationToken,
    /// Those in flight are given up too.
    pub aborted: CancellationToken,
}

/// What a run shows while it runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Live {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    measured: Mutex<Measured>,
    in_flight: AtomicU64,
    metrics: Option<LoadMetrics>,
}

impl Live {
    /// A view on a run of `plan` that is about to start; `metrics` are recorded as it goes.
    #[must_use]
    pub fn new(plan: &Plan, metrics: Option<LoadMetrics>) -> Self {
        let measured = Mutex::new(Measured::new(plan.slo));
        Self { shared: Arc::new(Shared { measured, in_flight: AtomicU64::new(0), metrics }) }
    }

    /// Requests that are in flight now.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.shared.in_flight.load(Relaxed)
    }

    /// Reads what has been measured so far. The run stands still meanwhile: be brief.
    pub fn look<T>(&self, read: impl FnOnce(&Measured) -> T) -> T {
        read(&self.shared.measured())
    }
}

impl Shared {
    fn measured(&self) -> MutexGuard<'_, Measured> {
        // Each count is one step, so they are true even after a panic elsewhere.
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    /// Makes the run, watched through `live`, and returns what it measured. Runs on the runtime it is
    /// awaited on; a current-thread one is the cheapest, and works in virtual time. Dropping the future
    /// gives all requests up.
    pub async fn run<T: Transport>(&self, transport: Arc<T>, control: &Control, live: &Live) -> Measured {
        let run =
            Run { transport, shared: Arc::clone(&live.shared), timeout: self.timeout, start: Instant::now() };
        let mut tasks = JoinSet::new();
        let scheduled = match &self.pace {
            Pace::Open { schedule, max_in_flight } => {
                run.open(schedule, *max_in_flight, &mut tasks, control).await;
                schedule.length()
            }
            Pace::Closed { users, length, schedule } => {
                run.closed(*users, *length, schedule.as_ref(), &mut tasks, control);
                *length
            }
        };
        let ended = async { while tasks.join_next().await.is_some() {} };
        tokio::select! {
            biased;
            () = control.aborted.cancelled() => {}
            () = ended => {}
        }
        // What is left counts itself as unfinished when it is dropped.
        tasks.shutdown().await;
        let mut measured = std::mem::take(&mut *run.shared.measured());
        measured.series.close_all();
        measured.interrupted = control.stopping.is_cancelled();
        let length = if measured.interrupted { scheduled.min(run.start.elapsed()) } else { scheduled };
        measured.scheduled_s = length.as_secs_f64();
        measured
    }
}

/// What the tasks of a run share.
#[derive(Debug)]
struct Run<T> {
    transport: Arc<T>,
    shared: Arc<Shared>,
    timeout: Duration,
    start: Instant,
}

impl<T> Clone for Run<T> {
    fn clone(&self) -> Self {
        Self { transport: Arc::clone(&self.transport), shared: Arc::clone(&self.shared), ..*self }
    }
}

impl<T: Transport> Run<T> {
    async fn open(
        &self,
        schedule: &Schedule,
        max_in_flight: NonZeroU32,
        tasks: &mut JoinSet<()>,
        control: &Control,
    ) {
        let mut now = self.start;
        let mut in_batch = 0;
        for (request, at) in (0..).zip(schedule.arrivals()) {
            let intended = self.start + at;
            if intended > now {
                now = Instant::now();
                if intended > now {
                    tokio::select! {
                        biased;
                        () = control.stopping.cancelled() => return,
                        () = self.transport.wait_until(intended) => {}
                    }
                    now = Instant::now();
                    in_batch = 0;
                    self.shared.measured().series.close_until(now - self.start, self.timeout);
                }
            }
            if in_batch == BATCH {
                yield_now().await;
                in_batch = 0;
                now = Instant::now();
                if control.stopping.is_cancelled() {
                    return;
                }
            }
            in_batch += 1;
            while tasks.try_join_next().is_some() {}
            self.shared.measured().own_lag.record(now.saturating_duration_since(intended));
            let mut pending = self.pending(intended);
            if self.shared.in_flight.load(Relaxed) > u64::from(max_in_flight.get()) {
                pending.end(Err(Cause::NotSent));
                continue;
            }
            let run = self.clone();
            tasks.spawn(async move { run.exchange(request, pending, intended + run.timeout).await });
        }
        let end = self.start + schedule.length();
        tokio::select! {
            biased;
            () = control.stopping.cancelled() => {}
            () = sleep_until(end) => {}
        }
    }

    fn closed(
        &self,
        users: NonZeroU32,
        length: Duration,
        schedule: Option<&Schedule>,
        tasks: &mut JoinSet<()>,
        control: &Control,
    ) {
        let turns = Arc::new(Mutex::new(Turns { arrivals: schedule.map(Schedule::arrivals), request: 0 }));
        let end = self.start + length;
        for _ in 0..users.get() {
            let (run, turns, stopping) = (self.clone(), Arc::clone(&turns), control.stopping.clone());
            tasks.spawn(async move {
                while !stopping.is_cancelled() {
                    let turn = turns.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((request, at)) = turn else { break };
                    let intended = match at {
                        Some(at) => run.start + at,
                        None => Instant::now(),
                    };
                    if intended >= end {
                        break;
                    }
                    if at.is_some() {
                        tokio::select! {
                            biased;
                            () = stopping.cancelled() => break,
                            () = sleep_until(intended) => {}
                        }
                    }
                    let deadline = Instant::now() + run.timeout;
                    run.exchange(request, run.pending(intended), deadline).await;
                }
            });
        }
    }

    fn pending(&self, intended: Instant) -> Pending {
        self.shared.in_flight.fetch_add(1, Relaxed);
        if let Some(metrics) = &self.shared.metrics {
            metrics.begins();
        }
        Pending {
            shared: Arc::clone(&self.shared),
            start: self.start,
            intended,
            trace: Trace::default(),
            over: false,
        }
    }

    async fn exchange(&self, request: u64, mut pending: Pending, deadline: Instant) {
        let exchange = self.transport.exchange(request, &mut pending.trace);
        let result = match timeout_at(deadline, exchange).await {
            Ok(result) => result,
            Err(_) => Err(pending.trace.stage.out_of_time()),
        };
        pending.end(result);
    }
}

/// Whose turn it is in a closed loop.
#[derive(Debug)]
struct Turns {
    arrivals: Option<Arrivals>,
    request: u64,
}

impl Turns {
    /// The number of the next request, and when it was to start if there is a schedule.
    fn next(&mut self) -> Option<(u64, Option<Duration>)> {
        let at = match &mut self.arrivals {
            Some(arrivals) => Some(arrivals.next()?),
            None => None,
        };
        self.request += 1;
        Some((self.request - 1, at))
    }
}

/// A request on its way; dropped before its end it counts as unfinished.
#[derive(Debug)]
struct Pending {
    shared: Arc<Shared>,
    start: Instant,
    intended: Instant,
    trace: Trace,
    over: bool,
}

impl Pending {
    fn end(&mut self, result: Result<super::Answer, Cause>) {
        self.count(Some(result));
        self.over = true;
    }

    fn count(&self, result: Option<Result<super::Answer, Cause>>) {
        let finished = self.trace.finished.unwrap_or_else(Instant::now);
        let ended = Ended { start: self.start, intended: self.intended, finished, trace: self.trace, result };
        let outcome = self.shared.measured().record(&ended);
        self.shared.in_flight.fetch_sub(1, Relaxed);
        if let Some(metrics) = &self.shared.metrics {
            let sent = self.trace.sent.map(|sent| sent.saturating_duration_since(self.intended));
            metrics.ends(outcome, finished.saturating_duration_since(self.intended), sent);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.over {
            self.count(None);
        }
    }
}
