//! The built-in load: what the page sends to the strategies, in the open loop, from within the process.
//!
//! It goes over loopback TCP through every layer of the server, as load from outside does, on a thread of its own whose
//! processor time is shown. Times are measured from when a request was to start. It is bounded in rate, in flight and in
//! time, ends by itself, and is the first to stop when the process does. What a machine can take is not found with it:
//! that is `lab load`, from another process or another machine.

mod run;
mod settings;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use self::run::{Line, Shown};
pub use self::settings::{Arrivals, Burst, LoadRate, Patch, Settings, Start};
use crate::config::{Allowed as _, Seed};
use crate::document;
use crate::latency::milliseconds;
use crate::load::http::Target;
use crate::load::{LAG_LIMIT, SharedRecent, Totals};
use crate::shutdown::Shutdown;
use crate::web::{Lifecycle, Problem, RunState, Runnable, Sheet, StartError, System, runnable};

/// The load as a service; cheap to clone.
#[derive(Debug, Clone)]
pub struct BuiltInLoad {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    lifecycle: Lifecycle,
    slo: Duration,
    paths: Vec<&'static str>,
    lines: Vec<Line>,
    settings: watch::Sender<Settings>,
    /// The run in progress, or the last one, with the totals that it began from.
    run: Mutex<Option<(Arc<Shown>, Totals)>>,
}

/// What `GET /load` shows.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = LoadStatus)]
pub struct Status {
    /// Where it is in its life.
    pub state: RunState,
    /// What is sent; of an idle load: what a start without a body sends.
    #[serde(flatten)]
    pub settings: Settings,
    /// Since the start of the run, or how long the last one was.
    pub elapsed_ms: f64,
    /// The balance of the run, over all strategies.
    #[serde(flatten)]
    pub totals: Totals,
    /// How late the thread hands requests over: the highest percentile that its requests carry, up to p99.
    #[schema(required)]
    pub own_lag_ms: Option<f64>,
    /// Why there is none: `too_few` requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_lag_why: Option<&'static str>,
    /// Whether that is more than 2 ms. It is in every time that the load measures.
    pub late: bool,
    /// Processor time of the thread.
    pub cpu_ms: f64,
}

document!(Status as "lab/load-status/1");

impl BuiltInLoad {
    /// An idle load on the strategies at `paths` of the server at `addr`; seconds count from `origin`.
    ///
    /// # Errors
    /// When the address makes no URL.
    pub fn new(
        paths: Vec<&'static str>,
        addr: SocketAddr,
        slo: Duration,
        origin: Instant,
        seed: u64,
        process: Shutdown,
    ) -> anyhow::Result<Self> {
        let host = SocketAddr::new(near(addr.ip()), addr.port());
        let line = |path: &&'static str| {
            let target: Target =
                format!("http://{host}{path}").parse().context("the server's own address")?;
            Ok(Line { path, target, recent: SharedRecent::new(slo, origin) })
        };
        let lines = paths.iter().map(line).collect::<anyhow::Result<_>>()?;
        let seed = Seed::try_from(seed).context(Seed::ALLOWED)?;
        let settings = watch::Sender::new(Settings::first(&paths, seed)?);
        let lifecycle = Lifecycle::new("load", process);
        Ok(Self {
            shared: Arc::new(Shared { lifecycle, slo, paths, lines, settings, run: Mutex::default() }),
        })
    }

    /// What it sends, or sent last.
    pub fn settings(&self) -> Settings {
        self.shared.settings.borrow().clone()
    }

    /// Makes these what a start without a body sends, unless a run is in progress.
    pub(super) fn put_back(&self, settings: Settings) {
        if !self.is_active() {
            self.shared.settings.send_replace(settings);
        }
    }

    /// The last minutes of the strategy at this place in the list.
    pub(super) fn recent(&self, place: usize) -> Option<&SharedRecent> {
        Some(&self.shared.lines.get(place)?.recent)
    }

    /// When the run in progress began, or the last one did.
    pub(super) fn began(&self) -> Option<Instant> {
        self.shared.run.lock().as_ref().map(|(shown, _)| shown.began())
    }

    /// How long the run in progress has been, or the last one was.
    pub(super) fn elapsed(&self) -> Duration {
        self.shared.run.lock().as_ref().map_or(Duration::ZERO, |(shown, _)| shown.elapsed())
    }

    /// Whether it runs or drains.
    pub(super) fn is_active(&self) -> bool {
        self.shared.lifecycle.state() != RunState::Idle
    }

    /// The balance over all runs.
    pub fn totals(&self) -> Totals {
        self.shared
            .lines
            .iter()
            .map(|line| line.recent.totals())
            .fold(Totals::default(), |sum, line| sum + line)
    }
}

/// An address of this machine that reaches a server bound to `ip`.
fn near(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

/// The load as a system of a server. It has no page of its own: it is a part of the HTTP lab's.
pub fn system(load: &BuiltInLoad) -> System {
    let (audited, left) = (load.clone(), load.clone());
    let system = System::new("load", "Load", "/load", "the built-in load: open loop, bounded, over loopback")
        .off_the_navigation()
        .link("Systems", "/load", "the built-in load of this page: start it, watch it, change it")
        .sheet(Sheet::new("load", "offered = answered + broken + not_sent + in_flight", move || -> Totals {
            audited.totals()
        }))
        .stragglers(move || match left.totals().in_flight {
            0 => Vec::new(),
            requests => vec![format!("{requests} requests of the built-in load")],
        });
    runnable(system, load, "/")
}

impl Runnable for BuiltInLoad {
    type Status = Status;
    type Start = Start;
    type Change = Patch;

    fn lifecycle(&self) -> &Lifecycle {
        &self.shared.lifecycle
    }

    fn status(&self) -> Status {
        let state = self.shared.lifecycle.state();
        let run = self.shared.run.lock().clone();
        let own_lag = run.as_ref().and_then(|(shown, _)| shown.own_lag());
        Status {
            state,
            settings: self.settings(),
            elapsed_ms: milliseconds(self.elapsed()),
            totals: run.as_ref().map_or_else(Totals::default, |(_, before)| self.totals() - *before),
            own_lag_ms: own_lag.map(milliseconds),
            own_lag_why: own_lag.is_none().then_some("too_few"),
            late: own_lag.is_some_and(|lag| lag > LAG_LIMIT),
            cpu_ms: run.as_ref().map_or(0.0, |(shown, _)| milliseconds(shown.processor_time())),
        }
    }

    async fn start(&self, with: Start) -> Result<(), StartError<Problem>> {
        let settings = self.settings().started(with, &self.shared.paths).map_err(StartError::Failed)?;
        let open = |stop: Shutdown| async move {
            self.shared.settings.send_replace(settings);
            let shown = Arc::new(Shown::new());
            *self.shared.run.lock() = Some((shown.clone(), self.totals()));
            let (lines, slo) = (self.shared.lines.clone(), self.shared.slo);
            let receiver = self.shared.settings.subscribe();
            Ok(async move {
                if let Err(error) = run::send(lines, slo, receiver, shown.clone(), stop).await {
                    tracing::error!(error = format!("{error:#}"), "the built-in load broke");
                }
                shown.end();
            })
        };
        self.shared.lifecycle.start(open).await
    }

    async fn change(&self, patch: Patch) -> Result<(), Problem> {
        if self.shared.lifecycle.state() != RunState::Running {
            return Err(self.shared.lifecycle.not_running());
        }
        self.shared.settings.send_if_modified(|settings| {
            let patched = settings.patched(&patch);
            let is_new = patched != *settings;
            *settings = patched;
            is_new
        });
        Ok(())
    }
}
