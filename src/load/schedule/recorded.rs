//! Arrivals that were recorded: one time a line, replayed as they were.

use std::sync::Arc;
use std::time::Duration;

/// The most arrivals that are replayed; they take 8 bytes each.
const ARRIVALS_LIMIT: usize = 5_000_000;

/// Recorded times, rising, the first one's moment being the start. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded(Arc<[u64]>);

/// Why a text cannot be read as recorded times.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordedError {
    /// A line that is not a time.
    #[error("line {line}: {text:?} is not a time in seconds, at most a day after the first")]
    NotATime {
        /// From 1.
        line: usize,
        /// The start of the line.
        text: String,
    },
    /// A time before the one above it.
    #[error("line {line}: the time is before the one above it")]
    OutOfOrder {
        /// From 1.
        line: usize,
    },
    /// No times, or too many.
    #[error("it holds {0} times; 1 to 5000000 are allowed")]
    Count(usize),
}

impl Recorded {
    /// Reads times in seconds, one a line, rising; empty lines and what follows a `#` are left out, and
    /// so is what follows a comma, so that a CSV file whose first column is the time will do. The first
    /// time is the start: stamps since any epoch will do as well.
    ///
    /// # Errors
    ///
    /// [`RecordedError`] with the line.
    pub fn parse(text: &str) -> Result<Self, RecordedError> {
        let mut times: Vec<u64> = Vec::new();
        let mut first = None;
        let mut count = 0_usize;
        for (index, line) in text.lines().enumerate() {
            let cell = line.split(['#', ',']).next().unwrap_or_default().trim();
            if cell.is_empty() {
                continue;
            }
            count += 1;
            if count > ARRIVALS_LIMIT {
                continue;
            }
            let nanos = nanoseconds(cell);
            let since_first = nanos.map(|nanos| nanos - *first.get_or_insert(nanos));
            match since_first {
                Some(at) if at < 0 => return Err(RecordedError::OutOfOrder { line: index + 1 }),
                Some(at) if at <= 86_400_000_000_000 => {
                    // In range by the guard above.
                    let at = u64::try_from(at).unwrap_or_default();
                    if times.last().is_some_and(|last| *last > at) {
                        return Err(RecordedError::OutOfOrder { line: index + 1 });
                    }
                    times.push(at);
                }
                _ => {
                    let text = cell.chars().take(40).collect();
                    return Err(RecordedError::NotATime { line: index + 1, text });
                }
            }
        }
        if !(1..=ARRIVALS_LIMIT).contains(&count) {
            return Err(RecordedError::Count(count));
        }
        Ok(Self(times.into()))
    }

    pub(super) fn times(&self) -> Arc<[u64]> {
        Arc::clone(&self.0)
    }

    pub(super) fn length(&self) -> Duration {
        Duration::from_nanos(self.0.last().copied().unwrap_or(0))
    }
}

/// Seconds as whole nanoseconds: digits beyond a double's 16 count when stamps are since 1970.
fn nanoseconds(text: &str) -> Option<i128> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() > 12 || !digits(whole) || !digits(part) || whole.is_empty() && part.is_empty() {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: i128 = format!("{:0<9.9}", part).parse().ok()?;
    Some(whole * 1_000_000_000 + part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Schedule;

    #[test]
    fn recorded_times_are_replayed_from_the_first_one_on() {
        let text = "# seconds,path\n1763683200.000000001,/a\n1763683200.5,/b\n\n1763683200.5\n1763683201\n";
        let schedule = Schedule::Recorded(Recorded::parse(text).unwrap());
        let nanos: Vec<u128> = schedule.arrivals().map(|time| time.as_nanos()).collect();
        assert_eq!(nanos, [0, 499_999_999, 499_999_999, 999_999_999]);
        assert_eq!(schedule.length().as_nanos(), 999_999_999);
    }

    #[test]
    fn a_bad_line_is_named() {
        let line = |text| Recorded::parse(text).unwrap_err().to_string();
        assert!(line("0\nsoon\n").starts_with("line 2: \"soon\""));
        assert!(line("0\n2\n1\n").starts_with("line 3: the time is before"));
        assert!(line("5\n4\n").starts_with("line 2: the time is before"));
        assert!(line("0\n99999\n").starts_with("line 2"), "more than a day");
        assert!(line("-1\n").starts_with("line 1"));
        assert_eq!(Recorded::parse("\n# none\n"), Err(RecordedError::Count(0)));
    }
}
