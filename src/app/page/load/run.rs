//! One run of the built-in load: a thread of its own, on which every strategy is sent the same schedule.
//!
//! ```text
//!   Settings ──> a plan for each strategy ──> one thread ──> loopback TCP ──> this server, through all its layers
//!      ^ changed: the plans end (what is in flight is waited for), and new ones go on from there
//! ```

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::settings::Settings;
use crate::app::generator::on_a_thread;
use crate::latency::Histogram;
use crate::load::http::{self, Http, Target};
use crate::load::{Control, Live, Pace, Plan, SharedRecent};
use crate::shutdown::Shutdown;

/// Requests to a strategy in flight at a time; one more is not sent.
const IN_FLIGHT_LIMIT: u32 = 2_000;
/// How long after its intended start a request is given up.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often the thread looks at its processor time.
const CLOCK_EVERY: Duration = Duration::from_millis(250);

/// A strategy that is sent requests.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) path: &'static str,
    pub(super) target: Target,
    /// Its last minutes, over all runs.
    pub(super) recent: SharedRecent,
}

/// The figures of a run in progress.
#[derive(Debug)]
pub(super) struct Shown {
    began: Instant,
    ended: Mutex<Option<Instant>>,
    /// The plans that were begun.
    lives: Mutex<Vec<Live>>,
    cpu_ns: AtomicU64,
}

impl Shown {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            ended: Mutex::default(),
            lives: Mutex::default(),
            cpu_ns: AtomicU64::new(0),
        }
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// Since the start, to the end if it has ended.
    pub(super) fn elapsed(&self) -> Duration {
        self.ended.lock().unwrap_or_else(Instant::now) - self.began
    }

    pub(super) fn end(&self) {
        *self.ended.lock() = Some(Instant::now());
    }

    /// How late the thread hands requests over: of the strategies the worst, by the highest percentile that their
    /// requests carry.
    pub(super) fn own_lag(&self) -> Option<Duration> {
        let of = |live: &Live| live.look(|measured| highest(&measured.own_lag));
        self.lives.lock().iter().filter_map(of).max()
    }

    /// Processor time of the thread.
    pub(super) fn processor_time(&self) -> Duration {
        Duration::from_nanos(self.cpu_ns.load(Relaxed))
    }
}

fn highest(lag: &Histogram) -> Option<Duration> {
    [0.99, 0.95, 0.9, 0.5].into_iter().find_map(|q| lag.percentile(q).value())
}

/// Sends what `settings` say until their length has passed or `stop` begins, and waits for what is in flight.
///
/// # Errors
/// When the thread cannot be started, or ends by a panic.
pub(super) async fn send(
    lines: Vec<Line>,
    slo: Duration,
    settings: watch::Receiver<Settings>,
    shown: Arc<Shown>,
    stop: Shutdown,
) -> anyhow::Result<()> {
    on_a_thread(async move || {
        let sender = Sender { lines, slo, shown: shown.clone(), stop };
        let clock = async {
            let mut ticks = interval(CLOCK_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                shown.cpu_ns.store(thread_time_ns(), Relaxed);
            }
        };
        tokio::select! {
            biased;
            () = sender.run(settings) => {}
            () = clock => {}
        }
        shown.cpu_ns.store(thread_time_ns(), Relaxed);
    })
    .await
}

struct Sender {
    lines: Vec<Line>,
    slo: Duration,
    shown: Arc<Shown>,
    stop: Shutdown,
}

impl Sender {
    async fn run(&self, mut settings: watch::Receiver<Settings>) {
        let mut plans = JoinSet::new();
        let end = self.shown.began + settings.borrow().length_ms.get();
        let mut go_on = true;
        while go_on && !self.stop.is_stopping() {
            let control = Control { aborted: self.stop.aborted().clone(), ..Control::default() };
            let sent = settings.borrow_and_update().clone();
            let start = Instant::now();
            let left = end.saturating_duration_since(start);
            if left.is_zero() {
                break;
            }
            // The lag that is shown is that of what is sent now.
            self.shown.lives.lock().clear();
            for line in self.lines.iter().filter(|line| sent.strategies.iter().any(|path| path == line.path))
            {
                self.begin(line, start, self.plan(&sent, left), &control, &mut plans);
            }
            go_on = tokio::select! {
                biased;
                () = self.stop.stopping().cancelled() => false,
                changed = settings.changed() => changed.is_ok(),
                () = sleep_until(end) => false,
            };
            control.stopping.cancel();
        }
        while plans.join_next().await.is_some() {}
    }

    fn plan(&self, settings: &Settings, length: Duration) -> Plan {
        let pace = Pace::Open { schedule: settings.schedule(length), max_in_flight: in_flight_limit() };
        Plan { pace, timeout: TIMEOUT, slo: self.slo }
    }

    /// Begins to send to one strategy; all of them have the same start, so the same times.
    fn begin(&self, line: &Line, start: Instant, plan: Plan, control: &Control, plans: &mut JoinSet<()>) {
        let settings = http::Settings::plain(in_flight_limit());
        let transport = Arc::new(Http::new(std::slice::from_ref(&line.target), &settings));
        let live = Live::recording(self.slo, line.recent.clone());
        self.shown.lives.lock().push(live.clone());
        let control = control.clone();
        plans.spawn(async move { drop(plan.run_from(start, transport, &control, &live).await) });
    }
}

fn in_flight_limit() -> NonZeroU32 {
    NonZeroU32::new(IN_FLIGHT_LIMIT).unwrap_or(NonZeroU32::MIN)
}

/// Processor time of this thread.
fn thread_time_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |part: i64| u64::try_from(part).unwrap_or_default();
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}
