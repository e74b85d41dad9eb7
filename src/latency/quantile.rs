//! The results of a histogram: quantiles and rates, each of which may be unknown.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::DurationText;

/// The value below which a share of all offered requests lies, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantile {
    /// That share of the requests was answered within this time.
    Value(Duration),
    /// It falls among the requests that had no answer.
    NotReached,
    /// Fewer than ten samples lie beyond it: a number would be noise.
    TooFew {
        /// How many samples there are.
        n: u64,
    },
}

impl Quantile {
    /// The time, where there is one.
    #[must_use]
    pub const fn value(self) -> Option<Duration> {
        match self {
            Self::Value(value) => Some(value),
            Self::NotReached | Self::TooFew { .. } => None,
        }
    }
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => DurationText(*value).fmt(f),
            Self::NotReached => f.write_str("not reached"),
            Self::TooFew { .. } => f.write_str("too few"),
        }
    }
}

/// A quantile with its name and its sample size: `p95 1.16 s (n 8100)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentile {
    /// The share of requests, 0 to 1.
    pub q: f64,
    /// How many requests were offered.
    pub n: u64,
    /// The answer.
    pub quantile: Quantile,
}

impl fmt::Display for Percentile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Six decimals of a percent hide the binary tail of 0.999 * 100 and keep p99.9999.
        let percent = (self.q * 1e8).round() / 1e6;
        write!(f, "p{percent} {} (n {})", self.quantile, self.n)
    }
}

/// A share of a whole, kept as the two counts so that rates can be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// How many counted.
    pub part: u64,
    /// Out of how many.
    pub whole: u64,
}

impl Rate {
    /// The share, 0 to 1; `None` of nothing.
    #[must_use]
    pub fn fraction(self) -> Option<f64> {
        (self.whole > 0).then(|| self.part as f64 / self.whole as f64)
    }
}

/// What was good, as every result shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Good {
    /// How many were good: successes within the objective.
    pub good: u64,
    /// Their share of all that were offered, 0 to 1.
    #[schema(required)]
    pub good_rate: Option<f64>,
    /// Why there is none: `none_offered`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub good_why: Option<&'static str>,
}

impl From<Rate> for Good {
    fn from(rate: Rate) -> Self {
        let good_why = (rate.whole == 0).then_some("none_offered");
        Self { good: rate.part, good_rate: rate.fraction(), good_why }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fraction() {
            Some(fraction) => {
                // Cut, not rounded: 99.996 % must not read as all of them.
                let percent = (fraction * 1e4).floor() / 1e2;
                write!(f, "{percent:.2} % ({} of {})", self.part, self.whole)
            }
            None => f.write_str("none offered"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_read_like_a_sentence() {
        let show = |q, n, quantile| Percentile { q, n, quantile }.to_string();
        let value = Quantile::Value(Duration::from_millis(1160));
        assert_eq!(show(0.95, 8100, value), "p95 1.16 s (n 8100)");
        assert_eq!(show(0.999, 8100, Quantile::NotReached), "p99.9 not reached (n 8100)");
        assert_eq!(show(0.9999, 40, Quantile::TooFew { n: 40 }), "p99.99 too few (n 40)");
    }

    #[test]
    fn a_rate_never_rounds_up_to_all() {
        let rate = |part, whole| Rate { part, whole }.to_string();
        assert_eq!(rate(7_881, 8_100), "97.29 % (7881 of 8100)");
        assert_eq!(rate(99_999, 100_000), "99.99 % (99999 of 100000)");
        assert_eq!(rate(3, 3), "100.00 % (3 of 3)");
        assert_eq!(rate(0, 0), "none offered");
    }
}
