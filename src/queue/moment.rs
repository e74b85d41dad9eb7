//! A moment, as clients write it.

use std::{fmt, str::FromStr};

use crate::config::{Allowed, Invalid};

/// The latest moment: the end of the year 9999, in milliseconds since 1970.
const LATEST_MS: u64 = 253_402_300_799_999;

/// A moment in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(u64);

impl Moment {
    /// In milliseconds since 1970.
    pub(super) const fn ms(self) -> u64 {
        self.0
    }
}

/// A time of the store, in milliseconds since 1970, for people; the number itself if there is no such time.
pub(super) fn shown(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| ms.to_string(), |at| at.to_string())
}

impl Allowed for Moment {
    const ALLOWED: &'static str = "a time such as 2026-01-31T12:00:00+01:00, or milliseconds since 1970";
}

impl FromStr for Moment {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let ms = match text.parse::<u64>() {
            Ok(ms) => Some(ms),
            Err(_) => {
                let moment: Option<jiff::Timestamp> = text.parse().ok();
                moment.and_then(|moment| u64::try_from(moment.as_millisecond()).ok())
            }
        };
        let ms = ms.filter(|ms| *ms <= LATEST_MS);
        ms.map(Self).ok_or_else(|| Invalid::new(text, Self::ALLOWED))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

crate::documented!(Moment as Integer by ms);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_two_forms() {
        for (text, ms) in [
            ("0", 0),
            ("1700000000000", 1_700_000_000_000),
            ("1970-01-01T00:00:01Z", 1_000),
            ("1970-01-01T01:00:01.5+01:00", 1_500),
        ] {
            assert_eq!(text.parse::<Moment>().unwrap().ms(), ms, "{text}");
        }
        for bad in ["", "-1", "tomorrow", "1970-01-01T00:00:01", "1969-12-31T23:59:59Z", "99999999999999999"]
        {
            assert!(bad.parse::<Moment>().is_err(), "{bad}");
        }
    }
}
