//! Lengths of time and rates as people write them: `800ms`, `90s`, `5m`, `30/s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::config::{Allowed, Invalid};

/// The longest time that is taken: a day.
const LONGEST: Duration = Duration::from_secs(86_400);
/// The highest rate that is taken, a second.
pub(super) const RATE_LIMIT: f64 = 1e6;

/// A length of time, from 1 µs to 24 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    /// The length.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl Allowed for Span {
    const ALLOWED: &'static str =
        "a length of time such as 800ms, 1.5s, 5m or 2h, more than 0 and at most 24h";
}

impl FromStr for Span {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        read_duration(text)
            .filter(|length| *length >= Duration::from_micros(1) && *length <= LONGEST)
            .map(Self)
            .ok_or_else(|| Invalid::new(text, Self::ALLOWED))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_secs_f64() * 1e3;
        if ms < 1_000.0 { write!(f, "{ms}ms") } else { write!(f, "{}s", ms / 1e3) }
    }
}

/// Arrivals a second, from 0.001 to 1,000,000.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(f64);

impl Rate {
    /// Arrivals a second.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Allowed for Rate {
    const ALLOWED: &'static str = "arrivals a second such as 30 or 0.5, from 0.001 to 1000000";
}

impl FromStr for Rate {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        read_rate(text)
            .filter(|rate| *rate >= 0.001)
            .map(Self)
            .ok_or_else(|| Invalid::new(text, Self::ALLOWED))
    }
}

impl TryFrom<f64> for Rate {
    type Error = Invalid;

    fn try_from(rate: f64) -> Result<Self, Invalid> {
        if (0.001..=RATE_LIMIT).contains(&rate) {
            Ok(Self(rate))
        } else {
            Err(Invalid::new(rate, Self::ALLOWED))
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number with a unit of time; none where it is not one.
pub(super) fn read_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic() || c == 'µ')?;
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    };
    let number: f64 = number.trim().parse().ok()?;
    // Nanoseconds are rounded, so that 0.1 s is 100,000,000 of them.
    Duration::try_from_secs_f64(number * seconds).ok()
}

/// A rate from 0; none where it is not one.
pub(super) fn read_rate(text: &str) -> Option<f64> {
    let text = text.trim();
    let number: f64 = text.strip_suffix("/s").unwrap_or(text).trim().parse().ok()?;
    (0.0..=RATE_LIMIT).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_rates_are_read_as_people_write_them() {
        for (text, ms) in [("800ms", 800.0), ("1.5s", 1_500.0), (" 5 m", 3e5), ("2h", 7.2e6), ("250us", 0.25)]
        {
            assert_eq!(text.parse::<Span>().unwrap().get().as_secs_f64() * 1e3, ms, "{text}");
        }
        for bad in ["", "800", "s", "-1s", "0s", "25h", "1 day", "NaNs", "infs", "1e99s"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
        assert_eq!("30/s".parse::<Rate>().unwrap().get(), 30.0);
        for bad in ["0", "-3", "1e9", "x", "NaN", "inf", "30/m"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }
}
