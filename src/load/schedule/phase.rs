//! Phases: a rate that holds, climbs or falls, goes in steps, or a burst.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Allowed, Invalid, Span, TimeText, read_rate};

/// The most phases of a schedule, steps counted one by one.
const PHASES_LIMIT: usize = 10_000;
/// The most arrivals of a burst.
const BURST_LIMIT: u32 = 1_000_000;
/// The highest rate, a second.
const RATE_LIMIT: f64 = 1e6;
/// The longest schedule: a day.
const LENGTH_LIMIT_S: f64 = 86_400.0;

/// One phase of the schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    /// A rate that changes linearly from one value to another, or stays constant if they are equal.
    Rate {
        /// Arrivals a second at the start.
        from: f64,
        /// Arrivals a second at the end.
        to: f64,
        /// How long it lasts.
        length: Duration,
    },
    /// A number of arrivals at once.
    Burst {
        /// Arrivals.
        count: u32,
    },
}

impl Phase {
    pub(super) fn seconds(self) -> f64 {
        match self {
            Self::Rate { length, .. } => length.as_secs_f64(),
            Self::Burst { .. } => 0.0,
        }
    }

    /// How many arrivals are expected.
    pub(super) fn expected(self) -> f64 {
        match self {
            Self::Rate { from, to, length } => f64::midpoint(from, to) * length.as_secs_f64(),
            Self::Burst { count } => f64::from(count),
        }
    }

    /// When `count` arrivals are expected, in seconds from the phase's start: the root of
    /// `from t + (to - from) t² / (2 length) = count`, written so that no digits cancel.
    pub(super) fn time_of(self, count: f64) -> f64 {
        let Self::Rate { from, to, length } = self else {
            return 0.0;
        };
        if count <= 0.0 {
            return 0.0;
        }
        let growth = (to - from) / length.as_secs_f64();
        let root = (from * from + 2.0 * growth * count).max(0.0).sqrt();
        (2.0 * count / (from + root)).clamp(0.0, length.as_secs_f64())
    }
}

/// Phases in order, at least one. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Phases(Arc<[Phase]>);

impl Phases {
    /// One rate for one length of time.
    pub(super) fn hold(rate: f64, length: Duration) -> Self {
        Self(Arc::new([Phase::Rate { from: rate, to: rate, length }]))
    }

    pub(super) fn length(&self) -> Duration {
        self.iter().map(|phase| Duration::from_secs_f64(phase.seconds())).sum()
    }
}

impl Deref for Phases {
    type Target = [Phase];

    fn deref(&self) -> &[Phase] {
        &self.0
    }
}

impl Allowed for Phases {
    const ALLOWED: &'static str = "phases with commas or line ends between: RATE for TIME, RATE..RATE for TIME, \
         RATE..RATE by STEP for TIME, burst COUNT (rates 0 to 1000000 a second or such as 1/m, times such as 90s or 1m30s, \
         COUNT 1 to 1000000, 10000 phases, 24h in all)";
}

impl FromStr for Phases {
    type Err = Invalid;

    /// Parses phases; the rest of a line after `#` is a comment.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut phases = Vec::new();
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        for part in lines.flat_map(|line| line.split([',', ';'])).map(str::trim) {
            if part.is_empty() {
                continue;
            }
            read(part, &mut phases).unwrap_or_else(|| Err(Invalid::new(part, Self::ALLOWED)))?;
        }
        let seconds: f64 = phases.iter().map(|phase| phase.seconds()).sum();
        let fits = (1..=PHASES_LIMIT).contains(&phases.len()) && seconds <= LENGTH_LIMIT_S;
        if fits { Ok(Self(phases.into())) } else { Err(Invalid::new(text, Self::ALLOWED)) }
    }
}

/// Adds the phases of one part: `None` if it is not a phase, and an error if only its time is invalid.
fn read(part: &str, phases: &mut Vec<Phase>) -> Option<Result<(), Invalid>> {
    if let Some(count) = part.strip_prefix("burst ") {
        let count = count.trim().parse().ok().filter(|count| (1..=BURST_LIMIT).contains(count))?;
        phases.push(Phase::Burst { count });
        return Some(Ok(()));
    }
    let (rates, length) = part.split_once(" for ")?;
    let length = match length.parse::<Span>() {
        Ok(length) => length.get(),
        Err(refusal) => return Some(Err(Invalid::new(part, refusal.allowed))),
    };
    let rate = |text| read_rate(text).filter(|rate| *rate <= RATE_LIMIT);
    let Some((from, to)) = rates.split_once("..") else {
        let rate = rate(rates)?;
        phases.push(Phase::Rate { from: rate, to: rate, length });
        return Some(Ok(()));
    };
    let from = rate(from)?;
    let Some((to, step)) = to.split_once(" by ") else {
        phases.push(Phase::Rate { from, to: rate(to)?, length });
        return Some(Ok(()));
    };
    let (to, step) = (rate(to)?, rate(step).filter(|step| *step > 0.0)?);
    // Room for the binary tail of (0.3 - 0.1) / 0.1.
    let steps = ((to - from).abs() / step + 1e-9).floor();
    if steps >= PHASES_LIMIT as f64 {
        return None;
    }
    let count = steps as u32 + 1;
    for n in 0..count {
        let rate = (from + step.copysign(to - from) * f64::from(n)).clamp(0.0, RATE_LIMIT);
        phases.push(Phase::Rate { from: rate, to: rate, length: length / count });
    }
    Some(Ok(()))
}

impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, phase) in self.iter().enumerate() {
            if n > 0 {
                f.write_str(", ")?;
            }
            match *phase {
                Phase::Burst { count } => write!(f, "burst {count}")?,
                Phase::Rate { from, to, length } if from == to => {
                    write!(f, "{from} for {}", TimeText(length))?
                }
                Phase::Rate { from, to, length } => write!(f, "{from}..{to} for {}", TimeText(length))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_as_people_write_it_survives_a_round_trip() {
        for text in ["30 for 60s", "0..10 for 1.5s", "burst 500", "5 for 1s, burst 3, 0 for 2s"] {
            assert_eq!(text.parse::<Phases>().expect(text).to_string(), text);
        }
        assert_eq!("30/m for 1m30s".parse::<Phases>().unwrap().to_string(), "0.5 for 90s");
        let steps: Phases = "10..30 by 10 for 3s".parse().unwrap();
        assert_eq!(steps.to_string(), "10 for 1s, 20 for 1s, 30 for 1s");
        let down: Phases = "30/s..10/s by 10 for 3s".parse().unwrap();
        assert_eq!(down.to_string(), "30 for 1s, 20 for 1s, 10 for 1s");
        let file: Phases = "# warm\n5 for 1s # slow\n\nburst 2\n".parse().unwrap();
        assert_eq!(file.len(), 2);
    }

    #[test]
    fn an_invalid_phase_is_refused_with_its_invalid_part() {
        for bad in [
            "",
            "30",
            "30 for",
            "for 3s",
            "-1 for 3s",
            "1e9 for 3s",
            "30 for 0s",
            "30 for 25h",
            "burst 0",
            "burst x",
            "1..2 by 0 for 1s",
            "0..1000000 by 1 for 1h",
            "1..x for 1s",
            "NaN for 1s",
        ] {
            let refusal = bad.parse::<Phases>().expect_err(bad);
            let allowed = [Phases::ALLOWED, Span::ALLOWED];
            assert!(allowed.contains(&refusal.allowed.as_str()), "{refusal}");
        }
        let refusal = "30 for 60".parse::<Phases>().unwrap_err();
        assert_eq!(refusal.allowed, "a time needs a unit: did you mean 60s?");
        assert_eq!("3 for 1s, soon".parse::<Phases>().unwrap_err().value, "soon");
    }
}
