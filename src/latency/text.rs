//! Durations for people, three significant digits and a unit that fits, and for programs: milliseconds.

use std::fmt;
use std::time::Duration;

/// Shows a duration as `1.16 s`, `412 ms` or `85.3 µs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurationText(
    /// The duration to show.
    pub Duration,
);

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        // The thresholds are where rounding to three digits would need a fourth.
        let (value, unit) = if seconds >= 0.999_5 {
            (seconds, "s")
        } else if seconds >= 0.000_999_5 {
            (seconds * 1e3, "ms")
        } else {
            (seconds * 1e6, "µs")
        };
        let decimals = match value {
            v if v < 9.995 => 2,
            v if v < 99.95 => 1,
            _ => 0,
        };
        write!(f, "{value:.decimals$} {unit}")
    }
}

/// Milliseconds with three decimals, as every document shows them.
#[must_use]
pub fn milliseconds(length: Duration) -> f64 {
    (length.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_have_three_decimals() {
        let shown =
            [9_894_965, 9_894_499, 400, 0].map(|nanos| milliseconds(Duration::from_nanos(nanos)).to_string());
        assert_eq!(shown, ["9.895", "9.894", "0", "0"]);
    }

    #[test]
    fn three_digits_and_a_fitting_unit() {
        for (nanos, text) in [
            (0, "0.00 µs"),
            (85_300, "85.3 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (9_994_000, "9.99 ms"),
            (9_996_000, "10.0 ms"),
            (412_000_000, "412 ms"),
            (999_600_000, "1.00 s"),
            (1_160_000_000, "1.16 s"),
            (3_600_000_000_000, "3600 s"),
        ] {
            assert_eq!(DurationText(Duration::from_nanos(nanos)).to_string(), text);
        }
    }
}
