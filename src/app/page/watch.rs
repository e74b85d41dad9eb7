//! Samples the lab once a second, and makes from the samples what all viewers are shown.
//!
//! ```text
//!   HttpLab (what reached it), BuiltInLoad (what it sent) ──> Watch ──> View: figures of a window, now
//!      │ in flight, waiting, orphaned: once a second, kept     └─────> Charts: the last five minutes
//!      └ settings: where they changed, there is a mark, and windows begin anew
//! ```
//!
//! A second is shown only after the SLO's time has passed since its end: until then its good rate could still rise. Where the
//! built-in load sent requests in a second, its own measurement counts, from when they were to start; in all others the
//! server's, from when they reached it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::figures::{Figures, Source};
use super::known::{Known, Lines};
use super::levers::{self, Setting};
use super::load::{self, BuiltInLoad};
use crate::http_lab::{EndpointStatus, HttpLab};
use crate::latency::{Recent, SECONDS_KEPT};
use crate::shutdown::Shutdown;

/// The windows that figures are given for, in seconds.
pub(super) const WINDOWS_S: [u64; 3] = [10, 30, 60];
/// Marks that are kept.
const MARKS_LIMIT: usize = 100;

/// The lab and its load, watched. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Watch {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    lab: HttpLab,
    load: BuiltInLoad,
    slo: Duration,
    seen: Mutex<Seen>,
    /// What theory says, and of what.
    theory: Mutex<Option<(Known, Lines)>>,
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Seen {
    /// Once a second, each with its second.
    samples: VecDeque<(u64, Vec<EndpointStatus>)>,
    levers: Option<Levers>,
    marks: VecDeque<Mark>,
    run: Option<Run>,
}

/// The last run of the load, as it was at its start.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) began: Instant,
    pub(super) load: load::Settings,
    /// The settings as the levers showed them.
    pub(super) levers: BTreeMap<&'static str, Setting>,
}

/// What the figures depend on: when any of it changes, windows begin anew.
#[derive(Debug, Clone, PartialEq)]
struct Levers {
    settings: BTreeMap<&'static str, Setting>,
    slower: u32,
    /// What the load sends, if it runs.
    load: Option<load::Settings>,
}

/// A lever was moved.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = ViewMark)]
pub struct Mark {
    /// In which second since the lab began.
    pub second: u64,
    /// Which, from what to what.
    pub text: String,
    /// Whether windows begin anew after it. At the end of a load they do not: they stay what they were.
    pub restarts: bool,
}

impl Watch {
    /// Watches `lab` and its load until the process stops. Must be called inside a Tokio runtime.
    pub fn start(lab: &HttpLab, load: &BuiltInLoad, slo: Duration, process: Shutdown) -> Self {
        let seen = Mutex::new(Seen::default());
        let watch = Self {
            shared: Arc::new(Shared {
                lab: lab.clone(),
                load: load.clone(),
                slo,
                seen,
                theory: Mutex::default(),
            }),
        };
        let watching = watch.clone();
        tokio::spawn(async move {
            let mut ticks = interval(Duration::from_secs(1));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    biased;
                    () = process.stopping().cancelled() => break,
                    _ = ticks.tick() => watching.look(),
                }
            }
        });
        watch
    }

    /// The lab.
    pub(super) fn lab(&self) -> &HttpLab {
        &self.shared.lab
    }

    /// Its load.
    pub(super) fn load(&self) -> &BuiltInLoad {
        &self.shared.load
    }

    /// Takes a sample.
    fn look(&self) {
        let Shared { lab, load, seen, .. } = &*self.shared;
        let second = self.second();
        let places = 0..lab.endpoints_now().len();
        let arrivals = places.map(|place| {
            let last = second.saturating_sub(1)..second;
            lab.recent(place, |recent| recent.window(last, Duration::ZERO).offered()).unwrap_or_default()
        });
        lab.flow().adjust(arrivals.collect::<Vec<_>>());
        let levers = Levers {
            settings: self.settings(),
            slower: lab.trigger_status().slower,
            load: load.is_active().then(|| load.settings()),
        };
        self.run();
        let mut seen = seen.lock();
        seen.samples.push_back((second, lab.endpoints_now()));
        if seen.samples.len() as u64 > SECONDS_KEPT {
            seen.samples.pop_front();
        }
        if let Some(before) = seen.levers.replace(levers.clone())
            && before != levers
        {
            let ends =
                Levers { load: before.load.clone(), ..levers.clone() } == before && levers.load.is_none();
            seen.marks.push_back(Mark { second, text: levers.since(&before), restarts: !ends });
            if seen.marks.len() > MARKS_LIMIT {
                seen.marks.pop_front();
            }
        }
    }

    /// The figures, as of now, of the load's requests in these seconds to the strategy at this place.
    pub(super) fn sent(&self, place: usize, seconds: Range<u64>) -> Option<Figures> {
        let age = self.shared.lab.flow().origin().elapsed().saturating_sub(Duration::from_secs(seconds.end));
        let length = seconds.end - seconds.start;
        let window = self.shared.load.recent(place)?.look(|recent| recent.window(seconds, age));
        Some(Figures::of(&window, length, Source::Load))
    }

    /// Now, in whole seconds since the lab began.
    pub(super) fn second(&self) -> u64 {
        self.shared.lab.flow().origin().elapsed().as_secs()
    }

    /// The second after the last one that can be shown, and the time since then.
    pub(super) fn end(&self) -> (u64, Duration) {
        let now = self.shared.lab.flow().origin().elapsed();
        let settles = self.shared.slo.as_millis().div_ceil(1_000) as u64;
        let end = now.as_secs().saturating_sub(settles);
        (end, now.saturating_sub(Duration::from_secs(end)))
    }

    /// The last second in which the load sent requests.
    pub(super) fn last_sent(&self) -> Option<u64> {
        let last = |place| self.shared.load.recent(place)?.look(Recent::last_offered);
        (0..self.shared.lab.endpoints_now().len()).filter_map(last).max()
    }

    /// Whether no request has come since that second.
    pub(super) fn is_quiet_since(&self, second: u64) -> bool {
        let lab = &self.shared.lab;
        let offered =
            |place| lab.recent(place, |recent| recent.window(second + 1..u64::MAX, Duration::ZERO).offered());
        (0..lab.endpoints_now().len()).all(|place| offered(place) == Some(0))
    }

    /// The last minutes of the strategy at this place: as its server saw them, and as the load did.
    pub(super) fn recents(&self, place: usize) -> Option<Recents> {
        let server = self.shared.lab.recent(place, Recent::clone)?;
        let load = self.shared.load.recent(place)?.look(Recent::clone);
        Some(Recents { server, load })
    }

    /// The samples of these seconds for the strategy at this place, one each; `None` where there is none.
    pub(super) fn samples(&self, place: usize, seconds: Range<u64>) -> Vec<Option<EndpointStatus>> {
        let seen = self.shared.seen.lock();
        let mut samples = vec![None; usize::try_from(seconds.end - seconds.start).unwrap_or_default()];
        for (second, endpoints) in seen.samples.iter().filter(|(second, _)| seconds.contains(second)) {
            if let Ok(at) = usize::try_from(second - seconds.start) {
                samples[at] = endpoints.get(place).copied();
            }
        }
        samples
    }

    /// What theory predicts for each strategy, in their order; computed again when a lever has moved.
    pub(super) fn expected(&self) -> Lines {
        let Shared { lab, load, theory, .. } = &*self.shared;
        let sent = load.is_active().then(|| load.settings());
        let known = Known::of(lab, sent.as_ref());
        let mut theory = theory.lock();
        match &*theory {
            Some((of, lines)) if *of == known => lines.clone(),
            _ => {
                let lines: Lines = lab.endpoints_now().iter().map(|endpoint| known.lines(endpoint)).collect();
                *theory = Some((known, lines.clone()));
                lines
            }
        }
    }

    /// The figures of the strategy at this place over windows that end with `known`, and reach back no further than it
    /// begins; by their length in seconds.
    pub(super) fn windows(
        &self,
        place: usize,
        known: Range<u64>,
        age: Duration,
    ) -> Option<BTreeMap<String, Figures>> {
        let recents = self.recents(place)?;
        let figures = |length: u64| {
            let start = known.end.saturating_sub(length).max(known.start);
            (length.to_string(), recents.figures(start.min(known.end)..known.end, age))
        };
        Some(WINDOWS_S.into_iter().map(figures).collect())
    }

    /// The settings as the page shows them, by name.
    pub(super) fn settings(&self) -> BTreeMap<&'static str, Setting> {
        levers::settings(&self.shared.lab.settings())
    }

    /// The last run of the load. Its settings are noted when it is first asked for, which is once a second at least.
    pub(super) fn run(&self) -> Option<Run> {
        let began = self.shared.load.began()?;
        let mut seen = self.shared.seen.lock();
        match &seen.run {
            Some(run) if run.began == began => {}
            _ => seen.run = Some(Run { began, load: self.shared.load.settings(), levers: self.settings() }),
        }
        seen.run.clone()
    }

    /// The marks, oldest first.
    pub(super) fn marks(&self) -> Vec<Mark> {
        self.shared.seen.lock().marks.iter().cloned().collect()
    }

    /// The SLO: an answer within this time is good.
    pub(super) fn slo(&self) -> Duration {
        self.shared.slo
    }
}

/// The last minutes of one strategy.
#[derive(Debug)]
pub(super) struct Recents {
    server: Recent,
    load: Recent,
}

impl Recents {
    /// Which measurement counts in these seconds: the load's or the server's.
    pub(super) fn counting(&self, seconds: Range<u64>) -> (&Recent, Source) {
        match self.load.window(seconds, Duration::ZERO).offered() {
            0 => (&self.server, Source::Server),
            _ => (&self.load, Source::Load),
        }
    }

    fn figures(&self, seconds: Range<u64>, age: Duration) -> Figures {
        let (recent, source) = self.counting(seconds.clone());
        let length = seconds.end - seconds.start;
        Figures::of(&recent.window(seconds, age), length, source)
    }
}

impl Levers {
    /// What has changed, in words.
    fn since(&self, before: &Self) -> String {
        let moved = self.settings.iter().filter_map(|(name, Setting { label, text, .. })| {
            let was = &before.settings.get(name)?.text;
            (text != was).then(|| format!("{label}: {was} → {text}"))
        });
        let load = match (&before.load, &self.load) {
            (None, Some(load)) => Some(format!("load starts, {} to each", load.rate)),
            (Some(_), None) => Some("load ends".to_owned()),
            (Some(was), Some(load)) if was != load => Some(format!("load {} → {}", was.rate, load.rate)),
            _ => None,
        };
        let trigger = (self.slower != before.slower).then(|| match self.slower {
            1 => "B is as fast as before".to_owned(),
            slower => format!("B is {slower} times slower"),
        });
        moved.chain(load).chain(trigger).collect::<Vec<_>>().join(", ")
    }
}
