//! What the built-in load sends: its settings, each within a bound that a page open to a class can be left with.

use std::{fmt::Write as _, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{
    bounded, choice,
    config::{self, Allowed, Invalid, Seed, read_rate},
    documented,
    load::{Phases, Schedule, Spacing},
    time,
    web::Problem,
};

bounded!(
    /// Requests that come at once, beside the rate; 0: none do.
    pub Burst: u32 = 0 to 1000
);
time!(
    /// The time between two bursts.
    pub BurstEveryMs = 1 s to 60 s in milliseconds
);
time!(
    /// How long requests are offered.
    pub LengthMs = 1 s to 10 m in milliseconds
);

choice! {
    /// How requests are spaced.
    pub enum Arrivals {
        /// As independent users come: what the formulas of queueing theory assume.
        Poisson = "poisson",
        /// Evenly.
        Constant = "constant",
    }
}

/// Requests a second to each strategy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoadRate(config::Rate);

impl LoadRate {
    /// The lowest.
    pub const MIN: f64 = 0.1;
    /// The highest.
    pub const MAX: f64 = 500.0;

    /// A second.
    pub const fn get(self) -> f64 {
        self.0.get()
    }
}

impl Allowed for LoadRate {
    const ALLOWED: &'static str =
        "a rate from 0.1/s to 500/s, such as 30/s or 90/m; a bare number is per second";
}

impl FromStr for LoadRate {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let rate = read_rate(text).filter(|rate| (Self::MIN..=Self::MAX).contains(rate));
        let rate = rate.and_then(|rate| config::Rate::try_from(rate).ok());
        rate.map(Self).ok_or_else(|| Invalid::new(text, Self::ALLOWED))
    }
}

impl std::fmt::Display for LoadRate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.0.to_string();
        let unit = if text.contains('/') { "" } else { "/s" };
        write!(f, "{text}{unit}")
    }
}

impl Serialize for LoadRate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

documented!(@read LoadRate, Number, &[]);

/// What is sent.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = LoadSettings)]
pub struct Settings {
    /// The strategies that it is sent to, each as much of it, at the same times.
    pub strategies: Vec<String>,
    /// Requests a second to each.
    #[schema(value_type = String)]
    pub rate: LoadRate,
    /// How they are spaced.
    pub arrivals: Arrivals,
    /// Requests that come at once, beside the rate.
    pub burst: Burst,
    /// The time between two bursts.
    pub burst_every_ms: BurstEveryMs,
    /// The same seed sends at the same times.
    pub seed: Seed,
    /// How long requests are offered.
    pub length_ms: LengthMs,
}

/// A start: what is left out is as in the run before, or as at first.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LoadStart)]
pub struct Start {
    /// The strategies that it is sent to; all, if there are none.
    pub strategies: Option<Vec<String>>,
    /// Requests a second to each.
    pub rate: Option<LoadRate>,
    /// How they are spaced.
    pub arrivals: Option<Arrivals>,
    /// Requests that come at once, beside the rate.
    pub burst: Option<Burst>,
    /// The time between two bursts.
    pub burst_every_ms: Option<BurstEveryMs>,
    /// The same seed sends at the same times.
    pub seed: Option<Seed>,
    /// How long requests are offered.
    pub length_ms: Option<LengthMs>,
}

/// A change while it runs: what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = LoadPatch)]
pub struct Patch {
    /// What `GET /load` calls itself: may be sent back, and is not read.
    #[serde(skip_serializing)]
    #[schema(ignore)]
    pub schema: IgnoredAny,
    /// Requests a second to each strategy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<LoadRate>,
    /// How they are spaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<Arrivals>,
    /// Requests that come at once, beside the rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
    /// The time between two bursts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_every_ms: Option<BurstEveryMs>,
}

impl Settings {
    /// What the load sends at first, to the strategies at `paths`.
    ///
    /// # Errors
    /// When a value written here is not allowed, which a test would notice.
    pub(super) fn first(paths: &[&'static str], seed: Seed) -> Result<Self, Invalid> {
        Ok(Self {
            strategies: paths.iter().map(ToString::to_string).collect(),
            rate: "30/s".parse()?,
            arrivals: Arrivals::Poisson,
            burst: "0".parse()?,
            burst_every_ms: "10s".parse()?,
            seed,
            length_ms: "60s".parse()?,
        })
    }

    /// These settings with what a start says otherwise.
    ///
    /// # Errors
    /// When a strategy is none of `paths`.
    pub(super) fn started(&self, start: Start, paths: &[&'static str]) -> Result<Self, Problem> {
        let strategies = match start.strategies {
            None => self.strategies.clone(),
            Some(none) if none.is_empty() => paths.iter().map(ToString::to_string).collect(),
            Some(wanted) => {
                if let Some(unknown) = wanted.iter().find(|path| !paths.contains(&path.as_str())) {
                    let allowed = format!("any of {}", paths.join(", "));
                    return Err(crate::web::refused_field("strategies", &Invalid::new(unknown, allowed)));
                }
                // In the order of the list, each once.
                paths
                    .iter()
                    .filter(|path| wanted.iter().any(|wanted| wanted == *path))
                    .map(ToString::to_string)
                    .collect()
            }
        };
        Ok(Self {
            strategies,
            rate: start.rate.unwrap_or(self.rate),
            arrivals: start.arrivals.unwrap_or(self.arrivals),
            burst: start.burst.unwrap_or(self.burst),
            burst_every_ms: start.burst_every_ms.unwrap_or(self.burst_every_ms),
            seed: start.seed.unwrap_or(self.seed),
            length_ms: start.length_ms.unwrap_or(self.length_ms),
        })
    }

    /// These settings with a change made.
    pub(super) fn patched(&self, patch: &Patch) -> Self {
        Self {
            rate: patch.rate.unwrap_or(self.rate),
            arrivals: patch.arrivals.unwrap_or(self.arrivals),
            burst: patch.burst.unwrap_or(self.burst),
            burst_every_ms: patch.burst_every_ms.unwrap_or(self.burst_every_ms),
            ..self.clone()
        }
    }

    /// When requests are sent, for as long as `length`.
    pub(super) fn schedule(&self, length: Duration) -> Schedule {
        let spacing = match self.arrivals {
            Arrivals::Constant => Spacing::Constant,
            Arrivals::Poisson => Spacing::Poisson { seed: self.seed.get() },
        };
        match self.phases(length).parse::<Phases>() {
            Ok(phases) => Schedule::Phases { phases, spacing },
            // What the bounds above allow is a schedule.
            Err(_) => Schedule::hold(self.rate.0, length, spacing),
        }
    }

    /// The same in the words of `lab load --schedule`.
    pub(super) fn phases(&self, length: Duration) -> String {
        let (rate, every_ms) = (self.rate, self.burst_every_ms.ms());
        let mut left_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut text = String::new();
        if self.burst.get() > 0 {
            while left_ms > every_ms {
                // Writing to a string does not fail.
                let _ = write!(text, "{rate} for {every_ms}ms, burst {}, ", self.burst);
                left_ms -= every_ms;
            }
        }
        let _ = write!(text, "{rate} for {left_ms}ms");
        text
    }
}
