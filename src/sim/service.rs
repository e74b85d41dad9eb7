//! A simulated service: draws the work of each call, lets the station decide, wakes the callers.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use rand::RngExt;
use tokio::{
    sync::{Notify, oneshot},
    task::AbortHandle,
    time::Instant,
};

use super::timer::{HALF_TICK, sleep_until_nearest};
use super::{
    Admission, Contention, Departure, Key, OnCallerGone, Profile, Purpose, Station, StationLedger, Work,
};
use crate::{config::Fraction, labelled};

/// The settings of a service; all of them can be changed while it runs.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Spec {
    /// The distribution of service time.
    pub latency: Profile,
    /// Times as long as drawn that each call takes; 1: as drawn.
    pub slower: f64,
    /// The share of calls that fail, after their full service time.
    pub error_rate: Fraction,
    /// How calls in progress share the service.
    pub contention: Contention,
    /// What happens to a call whose caller has left.
    pub on_caller_gone: OnCallerGone,
}

labelled! {
    /// Why a call failed.
    pub enum Failure {
        /// A failure was drawn.
        Failed = "failed",
        /// The service's queue was full.
        Refused = "refused: the queue is full",
        /// The service ended during the call.
        Stopped = "stopped",
    }
}

/// What a service keeps for as long as it has a call, and then drops.
pub type Held = Box<dyn Send>;

/// The end of a call.
pub type Finished = Result<(), Failure>;

/// A simulated service. Dropping it ends what runs in it.
///
/// It runs one task, so it must be made inside a Tokio runtime.
#[derive(Debug)]
pub struct Service {
    core: Arc<Core>,
    driver: AbortHandle,
}

#[derive(Debug)]
struct Core {
    spec: ArcSwap<Spec>,
    origin: Instant,
    station: Mutex<Station<Caller>>,
    /// The next completion has changed.
    changed: Notify,
}

/// Who made a call.
struct Caller {
    answer: oneshot::Sender<Finished>,
    _held: Option<Held>,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("answer", &self.answer).finish_non_exhaustive()
    }
}

impl Service {
    /// Starts a service.
    pub fn start(spec: Spec) -> Self {
        let core = Arc::new(Core {
            origin: Instant::now(),
            station: Mutex::new(Station::new(spec.contention)),
            spec: ArcSwap::from_pointee(spec),
            changed: Notify::new(),
        });
        let driver = tokio::spawn(drive(core.clone())).abort_handle();
        Self { core, driver }
    }

    /// Sends a call: the service works on it from now on, whether or not the answer is awaited.
    /// `latency` replaces the service's own profile for this call.
    ///
    /// Dropping the [`Call`] before its end is how a caller leaves.
    pub fn call(&self, key: Key, latency: Option<&Profile>) -> Call {
        self.call_holding(key, latency, None)
    }

    /// [`Service::call`], where the service drops `held` when it no longer has the call: at its end, whether or not
    /// the caller is still there, or when it is taken back.
    pub fn call_holding(&self, key: Key, latency: Option<&Profile>, held: Option<Held>) -> Call {
        let spec = self.core.spec.load();
        let work = draw(&spec, key, latency);
        let mut awaited = None;
        let make_answer = || {
            let (answer, receiver) = oneshot::channel();
            awaited = Some(receiver);
            Caller { answer, _held: held }
        };
        let admission = self.core.act(|station, now_ns| station.arrive(now_ns, work, make_answer));
        let state = match (admission, awaited) {
            (Admission::Admitted(id), Some(awaited)) => {
                State::Sent { handle: CallHandle { core: self.core.clone(), id }, awaited }
            }
            (Admission::Done, _) => State::Ended(finished(work.fails)),
            (Admission::Refused | Admission::Admitted(_), _) => State::Ended(Err(Failure::Refused)),
        };
        Call { state }
    }

    /// The service's settings now.
    pub fn spec(&self) -> Arc<Spec> {
        self.core.spec.load_full()
    }

    /// Changes the settings. Calls in progress keep the work they were given; a new contention applies to them
    /// at once.
    pub fn change(&self, spec: Spec) {
        let contention = spec.contention;
        self.core.spec.store(Arc::new(spec));
        self.core.act(|station, now_ns| station.reshape(now_ns, contention));
    }

    /// The balance sheet now.
    pub fn ledger(&self) -> StationLedger {
        self.core.advanced().0.ledger()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.driver.abort();
        // Callers that still wait are told.
        *self.core.station.lock() = Station::new(Contention::Off);
    }
}

fn draw(spec: &Spec, key: Key, latency: Option<&Profile>) -> Work {
    let profile = latency.unwrap_or(&spec.latency);
    let ms = profile.is_constant().unwrap_or_else(|| profile.sample(&mut key.rng(Purpose::Latency)));
    let share = spec.error_rate.get();
    Work {
        work_ns: (ms * spec.slower * 1e6).round() as u64,
        fails: share > 0.0 && key.rng(Purpose::Failure).random::<f64>() < share,
    }
}

impl Core {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Changes the station now, and wakes the driver if the next completion changes.
    fn act<T>(&self, act: impl FnOnce(&mut Station<Caller>, u64) -> T) -> T {
        let (mut station, now_ns) = self.advanced();
        let due_before = station.next_due_ns();
        let result = act(&mut station, now_ns);
        let moved = station.next_due_ns() != due_before;
        drop(station);
        if moved {
            self.changed.notify_one();
        }
        result
    }

    /// The station, with everything processed that is due by now and its callers woken; and now.
    fn advanced(&self) -> (MutexGuard<'_, Station<Caller>>, u64) {
        let mut departures = Vec::new();
        let mut station = self.station.lock();
        let now_ns = self.now_ns();
        station.advance(now_ns, &mut departures);
        wake(departures);
        (station, now_ns)
    }
}

fn wake(departures: Vec<Departure<Caller>>) {
    for departure in departures {
        // A caller that has left gets no answer; the station has counted the orphan.
        let _ = departure.payload.answer.send(finished(departure.failed));
    }
}

fn finished(failed: bool) -> Finished {
    if failed { Err(Failure::Failed) } else { Ok(()) }
}

/// Sleeps until the next completion, for ever. Ended by dropping the [`Service`].
async fn drive(core: Arc<Core>) {
    loop {
        let due = {
            let mut departures = Vec::new();
            let mut station = core.station.lock();
            let half_tick_ahead = core.origin.elapsed() + HALF_TICK;
            let up_to_ns = u64::try_from(half_tick_ahead.as_nanos()).unwrap_or(u64::MAX);
            while let Some(due_ns) = station.next_due_ns().filter(|due_ns| *due_ns <= up_to_ns) {
                station.advance(due_ns, &mut departures);
            }
            wake(departures);
            station.next_due_ns().map(|due_ns| core.origin + Duration::from_nanos(due_ns))
        };
        match due {
            None => core.changed.notified().await,
            Some(due) => {
                tokio::select! {
                    biased;
                    () = core.changed.notified() => {}
                    () = sleep_until_nearest(due) => {}
                }
            }
        }
    }
}

/// A call in progress. Await it for its end; dropping it tells the service that the caller has left.
#[derive(Debug)]
pub struct Call {
    state: State,
}

#[derive(Debug)]
enum State {
    Sent { handle: CallHandle, awaited: oneshot::Receiver<Finished> },
    Ended(Finished),
}

impl Call {
    /// A handle on the call, if it is still in progress: to tell the service that the caller has gone although the
    /// call is still awaited.
    pub fn handle(&self) -> Option<CallHandle> {
        match &self.state {
            State::Sent { handle, .. } => Some(handle.clone()),
            State::Ended(_) => None,
        }
    }
}

impl Future for Call {
    type Output = Finished;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Finished> {
        let finished = match &mut self.state {
            State::Ended(finished) => *finished,
            State::Sent { awaited, .. } => match Pin::new(awaited).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(finished)) => finished,
                Poll::Ready(Err(_)) => Err(Failure::Stopped),
            },
        };
        self.state = State::Ended(finished);
        Poll::Ready(finished)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let State::Sent { handle, .. } = &self.state {
            let policy = handle.core.spec.load().on_caller_gone;
            handle.leave(policy);
        }
    }
}

/// A handle on a call in progress.
#[derive(Debug, Clone)]
pub struct CallHandle {
    core: Arc<Core>,
    id: u64,
}

impl CallHandle {
    /// The caller has gone, but the call is not cancelled: it carries on, orphaned.
    pub fn orphan(&self) {
        self.leave(OnCallerGone::Continue);
    }

    fn leave(&self, policy: OnCallerGone) {
        self.core.act(|station, now_ns| station.leave(now_ns, self.id, policy));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(latency: &str, error_rate: f64, contention: &str, gone: OnCallerGone) -> Spec {
        Spec {
            latency: latency.parse().expect(latency),
            slower: 1.0,
            error_rate: error_rate.to_string().parse().expect("a share"),
            contention: contention.parse().expect(contention),
            on_caller_gone: gone,
        }
    }

    fn key(request: u64) -> Key {
        Key { seed: 1, request, service: 'B', attempt: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_takes_its_time_and_fails_after_it() {
        let service = Service::start(spec("constant:250", 1.0, "off", OnCallerGone::Abort));
        let start = Instant::now();
        assert_eq!(service.call(key(0), None).await, Err(Failure::Failed));
        assert_eq!(start.elapsed(), Duration::from_millis(250));
        let other: Profile = "constant:40".parse().expect("a profile");
        let _ = service.call(key(1), Some(&other)).await;
        assert_eq!(start.elapsed(), Duration::from_millis(290));
        assert_eq!(service.ledger().failed, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn timers_bias_no_mean_and_cost_a_pool_no_capacity() {
        // 1,000 sequential calls of 10.4 ms would take 11 s with timers that round up.
        let service = Service::start(spec("constant:10.4", 0.0, "pool:1", OnCallerGone::Abort));
        let start = Instant::now();
        let calls: Vec<Call> = (0..1_000).map(|request| service.call(key(request), None)).collect();
        for call in calls {
            assert_eq!(call.await, Ok(()));
        }
        assert_eq!(start.elapsed().as_millis(), 10_400);

        let service = Service::start(spec("uniform:0,3", 0.0, "off", OnCallerGone::Abort));
        let start = Instant::now();
        for request in 0..4_000 {
            service.call(key(request), None).await.expect("no failure is drawn");
        }
        let mean_ms = start.elapsed().as_secs_f64() * 1e3 / 4_000.0;
        assert!((mean_ms - 1.5).abs() < 0.06, "{mean_ms}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_leaves_is_noticed() {
        for (gone, completed, cancelled, orphaned) in [
            (OnCallerGone::Abort, 0, 2, 0),
            (OnCallerGone::Dequeue, 1, 1, 1),
            (OnCallerGone::Continue, 2, 0, 2),
        ] {
            let service = Service::start(spec("constant:100", 0.0, "pool:1", gone));
            let calls = (service.call(key(0), None), service.call(key(1), None));
            tokio::time::advance(Duration::from_millis(50)).await;
            drop(calls);
            tokio::time::sleep(Duration::from_secs(1)).await;
            let ledger = service.ledger();
            assert_eq!(
                (ledger.completed, ledger.cancelled, ledger.orphaned, ledger.in_flight),
                (completed, cancelled, orphaned, 0),
                "{gone}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_orphaned_call_carries_on() {
        let service = Service::start(spec("constant:100", 0.0, "off", OnCallerGone::Abort));
        let call = service.call(key(0), None);
        tokio::time::advance(Duration::from_millis(30)).await;
        call.handle().expect("on its way").orphan();
        assert_eq!(call.await, Ok(()));
        let ledger = service.ledger();
        assert_eq!((ledger.completed, ledger.orphaned), (1, 1));
        assert_eq!(ledger.orphaned_ns, 70_000_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_affects_waiting_calls_and_a_full_queue_refuses() {
        let service = Service::start(spec("constant:100", 0.0, "pool:1,1", OnCallerGone::Abort));
        let start = Instant::now();
        let (first, second) = (service.call(key(0), None), service.call(key(1), None));
        assert_eq!(service.call(key(2), None).await, Err(Failure::Refused));
        service.change(spec("constant:100", 0.0, "off", OnCallerGone::Abort));
        assert_eq!((first.await, second.await), (Ok(()), Ok(())));
        assert_eq!(start.elapsed(), Duration::from_millis(100));
        drop(service);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_of_a_service_that_ends_get_an_error() {
        let service = Service::start(spec("constant:100", 0.0, "off", OnCallerGone::Abort));
        let call = service.call(key(0), None);
        drop(service);
        assert_eq!(call.await, Err(Failure::Stopped));
    }
}
