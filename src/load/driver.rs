//! Drives a [`Transport`]: an open loop by a schedule, or a closed loop for comparison.
//!
//! In the open loop each arrival is a separate task, started at its intended time whether or not
//! earlier ones have been answered. Intended times are exact; the driver sleeps until the next one, hands
//! over all that are due, and sleeps again, so that a late wake-up does not delay later arrivals. An arrival above the
//! limit of requests in flight is not sent; it is counted as infinitely slow.
//!
//! In the closed loop a few users send the next request when they have their answer. With a schedule they take their
//! intended times from it and wait for them: the same arrivals as an open loop's, offered by too few
//! users, measured from both starts.
//!
//! A user of the closed loop who is refused again and again pauses, so that a server that is away is not hammered;
//! and a run whose requests get no connection at all ends after a few seconds, as nothing will be measured.
//!
//! The first signal ends the schedule, and what is in flight is waited for as its time limits allow; the
//! second gives that up and counts it as unfinished. Both come in as [`CancellationToken`]s.

use std::num::NonZeroU32;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::live::Pending;
use super::part::Part;
use super::schedule::Arrivals;
use crate::latency::{Outcome, milliseconds};

use super::{Cause, Live, Measured, Pace, Schedule, Transport};

/// How many arrivals are started before answers are processed again.
const BATCH: u32 = 32;

/// A run ends when it has had no connection for this long.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);
/// The longest pause of a user whose requests fail one after another: it doubles from a millisecond up to this.
const BROKEN_PAUSE_LIMIT: Duration = Duration::from_secs(1);

/// A run to make.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The kind of load, with its schedule.
    pub pace: Pace,
    /// How long after its intended start (in a closed loop: its send) a request is given up.
    pub timeout: Duration,
    /// A success within this is good.
    pub slo: Duration,
}

/// How a run is ended early.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// Start no more requests; wait for those in flight.
    pub stopping: CancellationToken,
    /// Give up those in flight too.
    pub aborted: CancellationToken,
}

impl Control {
    /// A child: it ends with this one, and can be ended alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { stopping: self.stopping.child_token(), aborted: self.aborted.child_token() }
    }
}

impl Plan {
    /// How long requests are offered.
    #[must_use]
    pub fn length(&self) -> Duration {
        match &self.pace {
            Pace::Open { schedule, .. } => schedule.length(),
            Pace::Closed { length, .. } => *length,
        }
    }

    /// Runs the plan, reports its progress through `live`, and returns the measurement. Runs on the runtime it is
    /// awaited on; a current-thread one is the cheapest, and works in virtual time. Dropping the future
    /// gives all requests up.
    pub async fn run<T: Transport>(&self, transport: Arc<T>, control: &Control, live: &Live) -> Measured {
        self.run_from(Instant::now(), transport, control, live).await
    }

    /// The same for a run whose times count from `start`: several of one start ask at the same times.
    pub async fn run_from<T: Transport>(
        &self,
        start: Instant,
        transport: Arc<T>,
        control: &Control,
        live: &Live,
    ) -> Measured {
        live.measured().parts = transport.targets().into_iter().map(Part::of).collect();
        let run = Run { transport, live: live.clone(), timeout: self.timeout, start };
        let mut tasks = JoinSet::new();
        let offered_and_ended = async {
            match &self.pace {
                Pace::Open { schedule, max_in_flight } => {
                    run.open(schedule, *max_in_flight, &mut tasks, control).await;
                }
                Pace::Closed { users, length, requests, schedule } => {
                    let turns = Turns {
                        arrivals: schedule.as_ref().map(Schedule::arrivals),
                        request: 0,
                        limit: *requests,
                    };
                    run.closed(*users, *length, turns, &mut tasks, control);
                }
            }
            while tasks.join_next().await.is_some() {}
        };
        let gave_up = tokio::select! {
            biased;
            () = control.aborted.cancelled() => false,
            () = offered_and_ended => false,
            () = run.close_seconds() => true,
        };
        // A request that is dropped counts itself as unfinished.
        tasks.shutdown().await;
        let mut measured = std::mem::take(&mut *live.measured());
        measured.series.close_all();
        measured.interrupted = gave_up || control.stopping.is_cancelled();
        let scheduled = self.length();
        let is_counted = matches!(self.pace, Pace::Closed { requests: Some(_), .. });
        let length =
            if measured.interrupted || is_counted { scheduled.min(run.start.elapsed()) } else { scheduled };
        measured.scheduled_ms = milliseconds(length);
        measured
    }
}

/// What the tasks of a run share.
#[derive(Debug)]
struct Run<T> {
    transport: Arc<T>,
    live: Live,
    timeout: Duration,
    start: Instant,
}

impl<T> Clone for Run<T> {
    fn clone(&self) -> Self {
        Self { transport: Arc::clone(&self.transport), live: self.live.clone(), ..*self }
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
            self.live.measured().own_lag.record(now.saturating_duration_since(intended));
            let mut pending = self.live.begin(self.start, intended, self.transport.target_of(request));
            if self.live.in_flight() > u64::from(max_in_flight.get()) {
                pending.end(Err(Cause::NotSent));
                continue;
            }
            let run = self.clone();
            tasks.spawn(async move {
                let time_limit = pin!(sleep_until(intended + run.timeout));
                run.exchange(request, pending, time_limit).await;
            });
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
        turns: Turns,
        tasks: &mut JoinSet<()>,
        control: &Control,
    ) {
        let turns = Arc::new(Mutex::new(turns));
        let end = self.start + length;
        for _ in 0..users.get() {
            let (run, turns, stopping) = (self.clone(), Arc::clone(&turns), control.stopping.clone());
            tasks.spawn(async move { run.ask_until(end, &turns, &stopping).await });
        }
    }

    /// A user of the closed loop: sends a request, waits for the answer, sends the next.
    async fn ask_until(&self, end: Instant, turns: &Mutex<Turns>, stopping: &CancellationToken) {
        // One timer for all requests of a user: to put off a timer that is set costs a fraction of a new one.
        let mut time_limit = pin!(sleep_until(end));
        let mut broken_in_a_row = 0_u32;
        while !stopping.is_cancelled() {
            let turn = turns.lock().next();
            let Some(Turn { request, at }) = turn else { return };
            let mut now = Instant::now();
            let intended = at.map_or(now, |at| self.start + at);
            if intended >= end {
                return;
            }
            if intended > now {
                tokio::select! {
                    biased;
                    () = stopping.cancelled() => return,
                    () = sleep_until(intended) => {}
                }
                now = Instant::now();
            }
            time_limit.as_mut().reset(now + self.timeout);
            let pending = self.live.begin(self.start, intended, self.transport.target_of(request));
            if !self.exchange(request, pending, time_limit.as_mut()).await {
                broken_in_a_row = 0;
                continue;
            }
            broken_in_a_row += 1;
            if let Some(pause) = pause_after(broken_in_a_row) {
                tokio::select! {
                    biased;
                    () = stopping.cancelled() => return,
                    () = sleep_until(end.min(Instant::now() + pause)) => {}
                }
            }
        }
    }

    /// Makes a request, and returns whether it failed before its time limit.
    async fn exchange(&self, request: u64, mut pending: Pending, time_limit: Pin<&mut Sleep>) -> bool {
        let result = tokio::select! {
            biased;
            result = self.transport.exchange(request, &mut pending.trace) => result,
            () = time_limit => Err(pending.trace.stage.out_of_time()),
        };
        pending.end(result);
        result.is_err_and(|cause| matches!(cause.outcome(), Outcome::Refused | Outcome::Failed))
    }

    /// Once a second closes those seconds of the series whose requests have all ended. Ends when the run gets no
    /// connection.
    async fn close_seconds(&self) {
        let mut next = self.start;
        loop {
            next += Duration::from_secs(1);
            sleep_until(next).await;
            let since_start = next - self.start;
            let mut measured = self.live.measured();
            measured.series.close_until(since_start, self.timeout);
            if since_start >= GIVE_UP_AFTER && measured.is_without_connection() {
                return;
            }
        }
    }
}

/// The pause of a user after this many failed requests in a row; there is none after a single one.
fn pause_after(broken_in_a_row: u32) -> Option<Duration> {
    let doublings = broken_in_a_row.checked_sub(2)?;
    Some(Duration::from_millis(1 << doublings.min(16)).min(BROKEN_PAUSE_LIMIT))
}

/// The requests that the users of a closed loop share.
#[derive(Debug)]
struct Turns {
    arrivals: Option<Arrivals>,
    request: u64,
    /// The first request that is no longer sent.
    limit: Option<u64>,
}

/// A request that a user of a closed loop is to make.
#[derive(Clone, Copy, Debug)]
struct Turn {
    request: u64,
    /// When it was to start, from the start of the run; without a schedule as soon as can be.
    at: Option<Duration>,
}

impl Turns {
    fn next(&mut self) -> Option<Turn> {
        if self.limit == Some(self.request) {
            return None;
        }
        let at = match &mut self.arrivals {
            Some(arrivals) => Some(arrivals.next()?),
            None => None,
        };
        let request = self.request;
        self.request += 1;
        Some(Turn { request, at })
    }
}
