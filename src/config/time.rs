//! Lengths of time: `250ms`, `1.5s`, `2m30s`, `1h`.
//!
//! jiff parses them: numbers with the units h, m, s, ms, µs (us) and ns, the longest unit first; the last number
//! may have a fraction. Units in words (`2 minutes`) and `HH:MM:SS` are accepted too. Units without a fixed
//! length (day, month) and negative times are refused.

use std::{fmt, time::Duration};

use jiff::fmt::friendly::SpanParser;

use super::invalid::Invalid;

/// Parses a length of time; `None` if the text is not one or has no unit.
#[must_use]
pub fn read_time(text: &str) -> Option<Duration> {
    static PARSER: SpanParser = SpanParser::new();
    PARSER.parse_unsigned_duration(text.trim()).ok()
}

/// Parses a length of time in whole milliseconds. A number without a unit is milliseconds. `None` if the text is
/// not a length of time or not a whole number of milliseconds.
#[must_use]
pub fn read_milliseconds(text: &str) -> Option<u64> {
    let time = if is_bare(text) { read_time(&format!("{}ms", text.trim())) } else { read_time(text) };
    let time = time.filter(|time| time.subsec_nanos().is_multiple_of(1_000_000))?;
    u64::try_from(time.as_millis()).ok()
}

/// Whether a text is a number without a unit.
fn is_bare(text: &str) -> bool {
    let text = text.trim();
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Displays a length of time to the nanosecond so that it parses back: `250ms`, `1.5s`, `150s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeText(
    /// The length to display.
    pub Duration,
);

impl fmt::Display for TimeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.as_secs(), self.0.subsec_nanos());
        let (whole, part, digits, unit) = match seconds {
            0 if nanos > 0 => (u64::from(nanos / 1_000_000), nanos % 1_000_000, 6, "ms"),
            _ => (seconds, nanos, 9, "s"),
        };
        let part = if part > 0 { format!(".{part:0digits$}") } else { String::new() };
        write!(f, "{whole}{}{unit}", part.trim_end_matches('0'))
    }
}

/// The lengths of time that a type allows.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// The shortest allowed length.
    pub min: Duration,
    /// The longest allowed length.
    pub max: Duration,
    /// Whether a number without a unit is milliseconds, and only whole milliseconds are allowed.
    pub milliseconds: bool,
    /// The allowed lengths in one phrase.
    pub allowed: &'static str,
}

impl Times {
    /// Parses a length of time within these bounds.
    ///
    /// # Errors
    /// When the text is not a length of time within these bounds. For a number without a unit, the error suggests
    /// the unit that was probably meant.
    pub fn read(&self, text: &str) -> Result<Duration, Invalid> {
        let time = match self.milliseconds {
            true => read_milliseconds(text).map(Duration::from_millis),
            false if is_bare(text) => return Err(Invalid::new(text, self.guess(text.trim()))),
            false => read_time(text),
        };
        time.filter(|time| self.contains(*time)).ok_or_else(|| {
            let is_too_fine = self.milliseconds && read_time(text).is_some_and(|time| self.contains(time));
            let only = if is_too_fine { "; whole milliseconds only" } else { "" };
            Invalid::new(text, format!("{}{only}", self.allowed))
        })
    }

    /// Whether a length is within these bounds.
    #[must_use]
    pub fn contains(&self, time: Duration) -> bool {
        (self.min..=self.max).contains(&time)
    }

    /// The error for a number without a unit: it suggests seconds, and from 100 on milliseconds too.
    fn guess(&self, number: &str) -> String {
        let is_large = number.split('.').next().is_some_and(|whole| whole.len() > 2);
        let units = if is_large { ["ms", "s"] } else { ["s", "ms"] };
        let meant = units.map(|unit| format!("{number}{unit}")).into_iter();
        let meant = meant.filter(|text| read_time(text).is_some_and(|time| self.contains(time)));
        let meant: Vec<String> = meant.take(if is_large { 2 } else { 1 }).collect();
        match meant.is_empty() {
            true => self.allowed.to_owned(),
            false => format!("a time needs a unit: did you mean {}?", meant.join(" or ")),
        }
    }
}

/// Declares a length of time within a range.
///
/// With `in milliseconds`, a number without a unit is milliseconds, JSON holds the number of milliseconds, and
/// only whole milliseconds are allowed.
#[macro_export]
macro_rules! time {
    (@nanos us) => { 1_000 };
    (@nanos ms) => { 1_000_000 };
    (@nanos s) => { 1_000_000_000 };
    (@nanos m) => { 60_000_000_000 };
    (@nanos h) => { 3_600_000_000_000 };
    ($(#[$doc:meta])* $vis:vis $name:ident = $min:literal $least:ident to $max:literal $most:ident) => {
        $crate::time!(@type $(#[$doc])* $vis $name = $min $least to $max $most, false, "250ms or 1.5s");
        $crate::documented!($name as String);
    };
    ($(#[$doc:meta])* $vis:vis $name:ident = $min:literal $least:ident to $max:literal $most:ident in milliseconds) => {
        $crate::time!(
            @type $(#[$doc])* $vis $name = $min $least to $max $most, true,
            "250ms; a bare number is milliseconds"
        );
        impl $name {
            /// The shortest allowed length, in milliseconds.
            #[allow(dead_code, reason = "not every value is shown with its range")]
            $vis const MIN_MS: u64 = $min * $crate::time!(@nanos $least) / 1_000_000;
            /// The longest allowed length, in milliseconds.
            #[allow(dead_code, reason = "not every value is shown with its range")]
            $vis const MAX_MS: u64 = $max * $crate::time!(@nanos $most) / 1_000_000;

            /// The length in milliseconds.
            $vis const fn ms(self) -> u64 {
                // Lossless: the longest allowed lengths are far below u64::MAX milliseconds.
                self.0.as_millis() as u64
            }
        }
        $crate::documented!($name as Integer by ms);
    };
    (@type $(#[$doc:meta])* $vis:vis $name:ident = $min:literal $least:ident to $max:literal $most:ident,
     $milliseconds:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        $vis struct $name(std::time::Duration);

        impl $name {
            const TIMES: $crate::config::Times = $crate::config::Times {
                min: std::time::Duration::from_nanos($min * $crate::time!(@nanos $least)),
                max: std::time::Duration::from_nanos($max * $crate::time!(@nanos $most)),
                milliseconds: $milliseconds,
                allowed: <Self as $crate::config::Allowed>::ALLOWED,
            };
            /// The shortest.
            #[allow(dead_code, reason = "not every value is shown with its range")]
            $vis const MIN: std::time::Duration = Self::TIMES.min;
            /// The longest.
            #[allow(dead_code, reason = "not every value is shown with its range")]
            $vis const MAX: std::time::Duration = Self::TIMES.max;

            /// The length of time.
            #[allow(dead_code, reason = "not every value is used as a duration")]
            $vis const fn get(self) -> std::time::Duration {
                self.0
            }
        }
        impl $crate::config::Allowed for $name {
            const ALLOWED: &'static str = concat!(
                "a time from ", $min, stringify!($least), " to ", $max, stringify!($most),
                ", such as ", $example
            );
        }
        impl TryFrom<std::time::Duration> for $name {
            type Error = $crate::config::Invalid;
            fn try_from(time: std::time::Duration) -> Result<Self, Self::Error> {
                // Through the parser, so that one place decides which lengths are allowed.
                $crate::config::TimeText(time).to_string().parse()
            }
        }
        impl std::str::FromStr for $name {
            type Err = $crate::config::Invalid;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::TIMES.read(text).map(Self)
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&$crate::config::TimeText(self.0), f)
            }
        }
    };
}

time!(
    /// A length of time.
    pub Span = 1 us to 24 h
);
