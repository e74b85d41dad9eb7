//! Live tracking of a sample of requests, for viewers: some requests are chosen as they arrive, and each of their
//! steps is reported when it happens.
//!
//! ```text
//!   arrives ──> chosen: 1 of n, by a hash of its number ──> Dot ──> waits ──> a_begins, b_begins ... ──> left
//!                │ none while there are no viewers                   each into the next tick and into the snapshot
//!                └ not chosen, ends badly ──> a small sample of extras, which does not represent shares
//! ```
//!
//! A request is chosen at its arrival, only by its number, so the chosen requests are a fair sample of all, including
//! slow ones, shed ones and those that never end. A [`Tick`] contains all steps since the previous tick, and a sequence
//! number; a viewer that missed a tick starts again from a [`Snapshot`]. A dot is shown until its request has ended
//! *and* its calls have ended, so that orphaned calls are visible.
//!
//! Everything is bounded: the dots at a time, and the steps and extras in a tick. While there are no viewers, a
//! request costs one atomic load.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use super::answer::RequestOutcome;
use crate::{choice, document, latency::milliseconds, telemetry::Trace};

/// Above this many arrivals per second at an endpoint, only one of several is chosen.
const CHOSEN_PER_SECOND: u64 = 50;
/// If more arrivals of an endpoint than this are chosen in one tick, it is a rush: fewer are chosen at once, without
/// waiting for the next second.
const CHOSEN_PER_TICK: u32 = 50;
/// The most dots of an endpoint at a time; while there are so many, no arrivals are chosen.
const DOTS_LIMIT: usize = 500;
/// The most steps in a tick. If there are more, the sequence number skips one, so that viewers start again from a
/// snapshot.
const STEPS_LIMIT: usize = 8_192;
/// The most extras of an endpoint in a tick.
const EXTRAS_LIMIT: usize = 2;
/// If no tick has been taken for this long, there are no viewers any more.
const WATCHED_FOR: Duration = Duration::from_secs(3);

choice! {
    /// A step of a request.
    pub enum Step {
        /// It waits for the limit.
        Waits = "waits",
        /// Service A has the call.
        ABegins = "a_begins",
        /// Service A has ended the call.
        AEnds = "a_ends",
        /// Service B has the call.
        BBegins = "b_begins",
        /// Service B has ended the call.
        BEnds = "b_ends",
        /// It got a 200.
        Ok = "ok",
        /// A service failed.
        ServiceError = "service_error",
        /// It was shed.
        Shed = "shed",
        /// Its deadline expired.
        Deadline = "deadline",
        /// Its client disconnected.
        Cancelled = "cancelled",
        /// It had an invalid parameter.
        Invalid = "invalid",
    }
}

impl Step {
    /// The last step of a request; the outcome is `None` if the request was invalid.
    pub(super) fn leaving(outcome: Option<RequestOutcome>) -> Self {
        match outcome {
            Some(RequestOutcome::Ok) => Self::Ok,
            Some(RequestOutcome::ServiceError) => Self::ServiceError,
            Some(RequestOutcome::Shed) => Self::Shed,
            Some(RequestOutcome::Deadline) => Self::Deadline,
            Some(RequestOutcome::Cancelled) => Self::Cancelled,
            None => Self::Invalid,
        }
    }

    fn call(service: char, begins: bool) -> Self {
        match (service, begins) {
            ('A', true) => Self::ABegins,
            ('A', false) => Self::AEnds,
            (_, true) => Self::BBegins,
            (_, false) => Self::BEnds,
        }
    }

    const fn is_leaving(self) -> bool {
        !matches!(self, Self::Waits | Self::ABegins | Self::AEnds | Self::BBegins | Self::BEnds)
    }
}

/// The live requests of a lab. Clones share them.
#[derive(Debug, Clone)]
pub struct Flow {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    origin: Instant,
    endpoints: Vec<Endpoint>,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Endpoint {
    path: &'static str,
    /// One of this many requests is chosen; 0: none.
    one_of: AtomicU32,
    /// The value of `one_of` while there are viewers.
    wanted: AtomicU32,
}

#[derive(Debug)]
struct Now {
    /// When the last tick was taken.
    watched: Option<Instant>,
    next: Tick,
    next_dot: u64,
    shown: BTreeMap<u64, Shown>,
    shown_at: Vec<usize>,
    /// How many were chosen for the next tick since the share was last reduced, by endpoint.
    chosen: Vec<u32>,
    /// How many extras were offered to the next tick, by endpoint.
    offered: Vec<u64>,
}

/// The events since the previous tick.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
#[schema(as = FlowTick)]
pub struct Tick {
    /// The sequence number. A gap means that steps are missing.
    pub seq: u64,
    /// When it was taken, in milliseconds since the lab began.
    pub at_ms: f64,
    /// By endpoint: one of this many arrivals is chosen.
    pub one_of: BTreeMap<&'static str, u32>,
    /// The requests that were chosen.
    pub arrived: Vec<Arrived>,
    /// The steps in order: the dot, the time in milliseconds since the lab began, and the kind of step.
    pub steps: Vec<(u64, f64, Step)>,
    /// A sample of the requests that were not chosen and ended badly.
    pub extras: Vec<Extra>,
}

/// A chosen request.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = FlowArrived)]
pub struct Arrived {
    /// The number of its dot.
    pub dot: u64,
    /// Its endpoint.
    pub endpoint: &'static str,
    /// When it arrived, in milliseconds since the lab began.
    pub at_ms: f64,
    /// Its trace ID, if its caller sent one or spans are exported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// A request that was not chosen and ended badly.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = FlowExtra)]
pub struct Extra {
    /// Where it came.
    pub endpoint: &'static str,
    /// When it left, milliseconds since the lab began.
    pub at_ms: f64,
    /// How.
    pub left: Step,
}

/// The requests that the page currently shows as dots. The events after it continue from here.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = FlowSnapshot)]
pub struct Snapshot {
    /// The sequence number of the last tick that it includes.
    pub seq: u64,
    /// When it was taken, milliseconds since the lab began.
    pub at_ms: f64,
    /// By endpoint: one of so many arrivals is chosen.
    pub one_of: BTreeMap<&'static str, u32>,
    /// The dots, each with its steps so far: the time in milliseconds since the lab began, and the kind of step.
    pub dots: Vec<Shown>,
}

document!(Snapshot as "lab/flow/1");

/// A dot of the snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = FlowDot)]
pub struct Shown {
    /// Who it is.
    #[serde(flatten)]
    pub arrived: Arrived,
    /// Its steps so far.
    pub steps: Vec<(f64, Step)>,
    /// How many of them earlier ticks have reported.
    #[serde(skip)]
    told: usize,
}

impl Shown {
    /// Whether the request and all its calls have ended.
    fn is_over(&self) -> bool {
        let count = |step| self.steps.iter().filter(|(_, other)| *other == step).count();
        self.steps.iter().any(|(_, step)| step.is_leaving())
            && count(Step::ABegins) == count(Step::AEnds)
            && count(Step::BBegins) == count(Step::BEnds)
    }
}

impl Flow {
    /// The flow of the endpoints at these paths, without viewers.
    pub(super) fn new(paths: impl IntoIterator<Item = &'static str>, origin: Instant) -> Self {
        let endpoint = |path| Endpoint { path, one_of: AtomicU32::new(0), wanted: AtomicU32::new(1) };
        let endpoints: Vec<Endpoint> = paths.into_iter().map(endpoint).collect();
        let now = Now {
            watched: None,
            next: Tick { seq: 1, ..Tick::default() },
            next_dot: 0,
            shown: BTreeMap::new(),
            shown_at: vec![0; endpoints.len()],
            chosen: vec![0; endpoints.len()],
            offered: vec![0; endpoints.len()],
        };
        Self { shared: Arc::new(Shared { origin, endpoints, now: Mutex::new(now) }) }
    }

    /// Records the arrival of request `number` at an endpoint, by the endpoint's index. The dot is shown if the request
    /// is chosen.
    pub(super) fn arrive(&self, endpoint: usize, number: u64, at: Instant, trace: &Trace) -> Dot {
        let one_of = self.shared.endpoints[endpoint].one_of.load(Ordering::Relaxed);
        if one_of == 0 || !mixed(number).is_multiple_of(u64::from(one_of)) {
            return Dot(None);
        }
        self.shared.show(endpoint, at, trace.id())
    }

    /// Records the last step of a request that was not chosen.
    pub(super) fn unseen(&self, endpoint: usize, number: u64, step: Step) {
        let Endpoint { path, one_of, .. } = &self.shared.endpoints[endpoint];
        if step == Step::Ok || one_of.load(Ordering::Relaxed) == 0 {
            return;
        }
        let extra = Extra { endpoint: path, at_ms: self.shared.now_ms(), left: step };
        let mut now = self.shared.now.lock();
        now.offered[endpoint] += 1;
        let offered = now.offered[endpoint];
        let mut kept = now.next.extras.iter_mut().filter(|extra| extra.endpoint == *path);
        // Algorithm R (Vitter, 1985): each offered request is kept with the same probability.
        if offered <= EXTRAS_LIMIT as u64 {
            drop(kept);
            now.next.extras.push(extra);
        } else if let Ok(place) = usize::try_from(mixed(number) % offered)
            && let Some(place) = kept.nth(place)
        {
            *place = extra;
        }
    }

    /// Takes the events since the last tick. A caller of this counts as a viewer, so requests are chosen from now on.
    pub fn tick(&self) -> Tick {
        let at_ms = self.shared.now_ms();
        let mut now = self.shared.now.lock();
        now.watched = Some(Instant::now());
        let lost = now.next.steps.len() >= STEPS_LIMIT;
        now.next.seq += u64::from(lost);
        let following = Tick { seq: now.next.seq + 1, ..Tick::default() };
        now.offered.fill(0);
        now.chosen.fill(0);
        let tick = std::mem::replace(&mut now.next, following);
        for shown in now.shown.values_mut() {
            shown.told = shown.steps.len();
        }
        for endpoint in &self.shared.endpoints {
            endpoint.one_of.store(endpoint.wanted.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        Tick { at_ms, one_of: self.shared.one_of(), ..tick }
    }

    /// The current dots.
    pub fn snapshot(&self) -> Snapshot {
        let at_ms = self.shared.now_ms();
        let now = self.shared.now.lock();
        // Leave out the steps that the next tick will report, so that they are not reported twice.
        let first_untold = now.next.arrived.first().map_or(u64::MAX, |arrived| arrived.dot);
        let told = now.shown.range(..first_untold).map(|(_, shown)| shown);
        let as_told = |shown: &Shown| Shown { steps: shown.steps[..shown.told].to_vec(), ..shown.clone() };
        let dots = told.map(as_told).collect();
        Snapshot { seq: now.next.seq - 1, at_ms, one_of: self.shared.one_of(), dots }
    }

    /// Adapts the share of chosen requests to the arrivals of the last second at each endpoint, and stops choosing if
    /// no tick has been taken for a while. Call it once per second.
    pub fn adjust(&self, arrivals: impl IntoIterator<Item = u64>) {
        let mut now = self.shared.now.lock();
        let watched = now.watched.is_some_and(|at| at.elapsed() < WATCHED_FOR);
        for (endpoint, arrivals) in self.shared.endpoints.iter().zip(arrivals) {
            let wanted = one_of(arrivals.div_ceil(CHOSEN_PER_SECOND));
            endpoint.wanted.store(wanted, Ordering::Relaxed);
            endpoint.one_of.store(if watched { wanted } else { 0 }, Ordering::Relaxed);
        }
        if !watched && now.watched.take().is_some() {
            // Steps of forgotten dots are not reported.
            now.shown.clear();
            now.shown_at.fill(0);
            now.next = Tick { seq: now.next.seq, ..Tick::default() };
        }
    }

    /// When the lab began: the origin of all times in milliseconds.
    pub fn origin(&self) -> Instant {
        self.shared.origin
    }
}

impl Endpoint {
    /// Chooses fewer from now on. To be called by one at a time.
    fn thin_out(&self) {
        let thinner = one_of(u64::from(self.one_of.load(Ordering::Relaxed)) + 1);
        self.wanted.store(thinner, Ordering::Relaxed);
        self.one_of.store(thinner, Ordering::Relaxed);
    }
}

impl Shared {
    fn now_ms(&self) -> f64 {
        milliseconds(self.origin.elapsed())
    }

    fn one_of(&self) -> BTreeMap<&'static str, u32> {
        self.endpoints
            .iter()
            .map(|endpoint| (endpoint.path, endpoint.one_of.load(Ordering::Relaxed).max(1)))
            .collect()
    }

    fn show(self: &Arc<Self>, endpoint: usize, at: Instant, trace_id: Option<String>) -> Dot {
        let at_ms = milliseconds(at.saturating_duration_since(self.origin));
        let mut now = self.now.lock();
        if now.shown_at[endpoint] >= DOTS_LIMIT {
            return Dot(None);
        }
        let dot = now.next_dot;
        now.next_dot += 1;
        now.shown_at[endpoint] += 1;
        now.chosen[endpoint] += 1;
        if now.chosen[endpoint] > CHOSEN_PER_TICK {
            now.chosen[endpoint] = 0;
            self.endpoints[endpoint].thin_out();
        }
        let arrived = Arrived { dot, endpoint: self.endpoints[endpoint].path, at_ms, trace_id };
        now.next.arrived.push(arrived.clone());
        now.shown.insert(dot, Shown { arrived, steps: Vec::new(), told: 0 });
        Dot(Some(Arc::new(Chosen { flow: self.clone(), endpoint, dot })))
    }

    fn step(&self, endpoint: usize, dot: u64, step: Step) {
        let mut now = self.now.lock();
        // Read the clock while the lock is held, so that steps are in order.
        let at_ms = self.now_ms();
        let Some(shown) = now.shown.get_mut(&dot) else { return };
        shown.steps.push((at_ms, step));
        if shown.is_over() {
            now.shown.remove(&dot);
            now.shown_at[endpoint] = now.shown_at[endpoint].saturating_sub(1);
        }
        if now.next.steps.len() < STEPS_LIMIT {
            now.next.steps.push((dot, at_ms, step));
        }
    }
}

/// A request, which is shown if it was chosen. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Dot(Option<Arc<Chosen>>);

#[derive(Debug)]
struct Chosen {
    flow: Arc<Shared>,
    endpoint: usize,
    dot: u64,
}

impl Dot {
    /// Whether the request is shown.
    pub(super) fn is_shown(&self) -> bool {
        self.0.is_some()
    }

    /// Records a step.
    pub(super) fn step(&self, step: Step) {
        if let Some(Chosen { flow, endpoint, dot }) = self.0.as_deref() {
            flow.step(*endpoint, *dot, step);
        }
    }

    /// Records that a service has a call of it, until the returned value is dropped.
    pub(super) fn call(&self, service: char) -> Option<Held> {
        self.0.as_ref()?;
        self.step(Step::call(service, true));
        Some(Held { dot: self.clone(), service })
    }
}

/// A call in progress.
#[derive(Debug)]
pub(super) struct Held {
    dot: Dot,
    service: char,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.dot.step(Step::call(self.service, false));
    }
}

/// The smallest number of the sequence 1, 2, 5, 10, 20, 50 ... that is at least `at_least`.
fn one_of(at_least: u64) -> u32 {
    let series = (0..).flat_map(|power| [1, 2, 5].map(|step: u64| step * 10_u64.pow(power)));
    let fitting = series.take(20).find(|step| *step >= at_least);
    fitting.and_then(|step| u32::try_from(step).ok()).unwrap_or(u32::MAX)
}

/// A hash that spreads consecutive numbers (the finaliser of SplitMix64: Steele, Lea and Flood, 2014).
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Flow {
        Flow::new(["/sync", "/async"], Instant::now())
    }

    fn arrive(flow: &Flow, endpoint: usize, number: u64) -> Dot {
        flow.arrive(endpoint, number, Instant::now(), &Trace::default())
    }

    /// What came so far counts as long ago.
    fn no_rush(flow: &Flow) {
        flow.shared.now.lock().chosen.fill(0);
    }

    fn steps(tick: &Tick) -> Vec<Step> {
        tick.steps.iter().map(|(.., step)| *step).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_chosen_only_while_there_are_viewers() {
        let flow = flow();
        assert!(!arrive(&flow, 0, 0).is_shown());
        let first = flow.tick();
        assert!(first.arrived.is_empty());
        let dot = arrive(&flow, 0, 1);
        assert!(dot.is_shown());
        tokio::time::advance(WATCHED_FOR).await;
        flow.adjust([1, 0]);
        assert!(!arrive(&flow, 0, 2).is_shown());
        dot.step(Step::Ok);
        let next = flow.tick();
        assert!(
            next.steps.is_empty() && next.arrived.is_empty(),
            "steps without viewers are not reported later: {next:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_dot_is_shown_until_its_request_and_all_its_calls_have_ended() {
        let flow = flow();
        flow.tick();
        let dot = arrive(&flow, 0, 7);
        let held = dot.call('B');
        dot.step(Step::Deadline);
        let tick = flow.tick();
        assert_eq!(steps(&tick), [Step::BBegins, Step::Deadline]);
        let snapshot = flow.snapshot();
        assert_eq!((snapshot.seq, snapshot.dots.len()), (tick.seq, 1), "B still works for it");
        drop(held);
        assert_eq!(steps(&flow.tick()), [Step::BEnds]);
        assert!(flow.snapshot().dots.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_and_the_ticks_after_it_report_each_step_once() {
        let flow = flow();
        flow.tick();
        let early = arrive(&flow, 0, 1);
        early.step(Step::Waits);
        let told = flow.tick();
        tokio::time::advance(Duration::from_millis(10)).await;
        let held = early.call('B');
        let late = arrive(&flow, 1, 2);
        late.step(Step::Shed);
        let snapshot = flow.snapshot();
        assert_eq!(snapshot.seq, told.seq);
        let seen: Vec<_> = snapshot.dots.iter().flat_map(|dot| &dot.steps).map(|(_, step)| *step).collect();
        assert_eq!((snapshot.dots.len(), seen), (1, vec![Step::Waits]));
        let next = flow.tick();
        assert_eq!((next.seq, steps(&next)), (told.seq + 1, vec![Step::BBegins, Step::Shed]));
        drop(held);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fair_sample_is_chosen_and_of_the_others_only_bad_ends_are_reported() {
        let flow = flow();
        flow.adjust([1_000, 3]);
        let first = flow.tick();
        assert_eq!((first.one_of["/sync"], first.one_of["/async"]), (20, 1));
        let mut chosen = 0;
        for number in 0..20_000 {
            no_rush(&flow);
            let dot = arrive(&flow, 0, number);
            chosen += u32::from(dot.is_shown());
            match dot.is_shown() {
                true => dot.step(Step::Ok),
                false => flow.unseen(0, number, if number % 2 == 0 { Step::Ok } else { Step::Shed }),
            }
        }
        // 1,000 expected, a standard deviation of 31.
        assert!((850..1_150).contains(&chosen), "{chosen}");
        let tick = flow.tick();
        assert_eq!(tick.extras.len(), EXTRAS_LIMIT);
        assert!(tick.extras.iter().all(|extra| extra.left == Step::Shed));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_bounded_and_a_gap_shows_missing_steps() {
        let flow = flow();
        let first = flow.tick();
        let mut dots: Vec<Dot> = Vec::new();
        for number in 0..2 * DOTS_LIMIT as u64 {
            no_rush(&flow);
            dots.push(arrive(&flow, 0, number));
        }
        assert_eq!(dots.iter().filter(|dot| dot.is_shown()).count(), DOTS_LIMIT);
        assert!(arrive(&flow, 1, 0).is_shown(), "the other endpoint has room of its own");
        for _ in 0..STEPS_LIMIT {
            dots[0].step(Step::Waits);
        }
        let second = flow.tick();
        assert_eq!((second.steps.len(), second.seq), (STEPS_LIMIT, first.seq + 2), "a gap");
        assert_eq!(flow.tick().seq, second.seq + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rush_is_thinned_out_at_once_and_shown_whole_again_when_it_is_over() {
        let flow = flow();
        flow.tick();
        for number in 0..50_000 {
            arrive(&flow, 0, number).step(Step::Ok);
        }
        let rush = flow.tick();
        let bound = 10 * CHOSEN_PER_TICK as usize;
        assert!((100..bound).contains(&rush.arrived.len()), "{}", rush.arrived.len());
        assert!(rush.one_of["/sync"] >= 100 && rush.one_of["/async"] == 1, "{:?}", rush.one_of);
        flow.adjust([10, 0]);
        assert_eq!(flow.tick().one_of["/sync"], 1);
    }

    #[test]
    fn one_of_is_a_round_number() {
        for (at_least, expected) in
            [(0, 1), (1, 1), (2, 2), (3, 5), (6, 10), (20, 20), (21, 50), (60_000, 100_000)]
        {
            assert_eq!(one_of(at_least), expected, "{at_least}");
        }
    }
}
