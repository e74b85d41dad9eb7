//! Which statuses are a success, and the outcome of an answer.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::Completed;
use crate::config::{Allowed, Invalid};
use crate::latency::Outcome;

/// The statuses that are a success: by default any 2xx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Success(Vec<RangeInclusive<u16>>);

impl Default for Success {
    fn default() -> Self {
        Self(vec![200..=299])
    }
}

impl Success {
    /// Whether `status` is among them.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

impl Allowed for Success {
    const ALLOWED: &'static str = "statuses such as 2xx,304";
}

impl FromStr for Success {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let read = |item: &str| {
            let item = item.trim();
            let (first, last) = match item.strip_suffix("xx") {
                Some(class) if class.len() == 1 => (format!("{class}00"), format!("{class}99")),
                _ => (item.to_owned(), item.to_owned()),
            };
            let status = |text: &str| text.parse().ok().filter(|status| (100..=999).contains(status));
            Some(status(&first)?..=status(&last)?)
        };
        let ranges: Option<Vec<_>> = text.split(',').map(read).collect();
        ranges.map(Self).ok_or_else(|| Invalid::new(text, Self::ALLOWED))
    }
}

impl fmt::Display for Success {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, range) in self.0.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{comma}{first}")?,
                (first, _) => write!(f, "{comma}{}xx", first / 100)?,
            }
        }
        Ok(())
    }
}

impl Completed {
    /// Its outcome: 429 and 503 are shed, 504 is a deadline; redirects are not followed.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self.status {
            _ if self.success => Outcome::Ok,
            429 | 503 => Outcome::Shed,
            504 => Outcome::Deadline,
            _ => Outcome::ServiceError,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_by_class_and_one_by_one() {
        let success: Success = "2xx, 304".parse().unwrap();
        let of = |statuses: [u16; 4]| statuses.map(|status| success.contains(status));
        assert_eq!(
            (of([200, 299, 304, 503]), success.to_string()),
            ([true, true, true, false], "2xx,304".to_owned())
        );
        assert_eq!("2xx".parse(), Ok(Success::default()));
        for bad in ["", "2x", "xx", "99", "1000", "2xx,", "22xx", "-1", "+200x"] {
            assert!(bad.parse::<Success>().is_err(), "{bad}");
        }
    }
}
