//! Rates: `100/s`, `1/m`, `5/h`; a number alone is per second.

use std::{fmt, str::FromStr};

use super::invalid::{Allowed, Invalid};

/// The units, each with its seconds.
const UNITS: [(&str, f64); 3] = [("/s", 1.0), ("/m", 60.0), ("/h", 3_600.0)];

/// Parses a rate, as events per second; `None` if the text is not a rate.
#[must_use]
pub fn read_rate(text: &str) -> Option<f64> {
    let text = text.trim();
    let unit = UNITS.into_iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let (number, seconds) = unit.unwrap_or((text, 1.0));
    let rate = number.trim_end().parse::<f64>().ok()? / seconds;
    (rate.is_finite() && rate >= 0.0).then_some(rate)
}

/// Events per second, from one per hour to a million per second.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(f64);

impl Rate {
    /// Ten per second.
    pub const TEN_PER_SECOND: Self = Self(10.0);

    /// Events per second.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Allowed for Rate {
    const ALLOWED: &'static str =
        "a rate from 1/h to 1000000/s, such as 100/s or 1/m; a bare number is per second";
}

impl TryFrom<f64> for Rate {
    type Error = Invalid;

    fn try_from(rate: f64) -> Result<Self, Invalid> {
        if (1.0 / 3_600.0..=1e6).contains(&rate) {
            Ok(Self(rate))
        } else {
            Err(Invalid::new(rate, Self::ALLOWED))
        }
    }
}

impl FromStr for Rate {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let rate = read_rate(text).and_then(|rate| Self::try_from(rate).ok());
        rate.ok_or_else(|| Invalid::new(text, Self::ALLOWED))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The shortest text that parses to the same rate: 1/m, not 0.016666666666666666.
        let shorter = UNITS[1..].iter().map(|(unit, seconds)| format!("{}{unit}", self.0 * seconds));
        let texts = std::iter::once(self.0.to_string()).chain(shorter);
        let text = texts.filter(|text| read_rate(text) == Some(self.0)).min_by_key(String::len);
        f.write_str(&text.unwrap_or_default())
    }
}
