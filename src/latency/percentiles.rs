//! A histogram's figures as every result shows them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Histogram, Quantile, form::shown_as, milliseconds};
use crate::choice;

choice! {
    /// Why a time is missing.
    pub enum Why {
        /// It falls among those that had no answer: it is longer than any.
        NotReached = "not_reached",
        /// There are too few samples to tell it.
        TooFew = "too_few",
    }
}

/// Makes [`Percentiles`] and its form in JSON from one list.
macro_rules! percentiles {
    ($($(#[$doc:meta])* $name:ident $q:literal $ms:ident $why:ident,)*) => {
        /// How long something took, over all of it: what had no answer is infinitely slow.
        #[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
        #[serde(from = "Form")]
        pub struct Percentiles {
            /// How many samples there are.
            pub n: u64,
            /// The mean, when all were answered.
            pub mean: Quantile,
            /// The longest, when all were answered.
            pub max: Quantile,
            $($(#[$doc])* pub $name: Quantile,)*
        }

        impl Percentiles {
            /// Of `n` samples, by what `read` says of a share.
            pub fn read(n: u64, mean: Quantile, max: Quantile, read: impl Fn(f64) -> Quantile) -> Self {
                Self { n, mean, max, $($name: read($q),)* }
            }
        }

        /// Milliseconds, each a number, or `null` with the reason beside it.
        #[derive(Serialize, Deserialize, ToSchema)]
        struct Form {
            /// How many samples there are.
            n: u64,
            /// The mean, milliseconds, when all were answered.
            #[schema(required)]
            mean_ms: Option<f64>,
            /// Why there is none.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            mean_why: Option<Why>,
            /// The longest, milliseconds, when all were answered.
            #[schema(required)]
            max_ms: Option<f64>,
            /// Why there is none.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            max_why: Option<Why>,
            $(
                $(#[$doc])*
                #[schema(required)]
                $ms: Option<f64>,
                /// Why there is none.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                $why: Option<Why>,
            )*
        }

        impl From<&Percentiles> for Form {
            fn from(of: &Percentiles) -> Self {
                Self {
                    n: of.n,
                    mean_ms: of.mean.ms(),
                    mean_why: of.mean.why(),
                    max_ms: of.max.ms(),
                    max_why: of.max.why(),
                    $($ms: of.$name.ms(), $why: of.$name.why(),)*
                }
            }
        }

        impl From<Form> for Percentiles {
            fn from(form: Form) -> Self {
                let n = form.n;
                Self {
                    n,
                    mean: Quantile::told(form.mean_ms, form.mean_why, n),
                    max: Quantile::told(form.max_ms, form.max_why, n),
                    $($name: Quantile::told(form.$ms, form.$why, n),)*
                }
            }
        }
    };
}

percentiles! {
    /// The median.
    p50 0.5 p50_ms p50_why,
    /// 90 in 100 lie below.
    p90 0.9 p90_ms p90_why,
    /// 95 in 100 lie below.
    p95 0.95 p95_ms p95_why,
    /// 99 in 100 lie below.
    p99 0.99 p99_ms p99_why,
    /// 999 in 1000 lie below.
    p99_9 0.999 p99_9_ms p99_9_why,
    /// 9999 in 10000 lie below.
    p99_99 0.9999 p99_99_ms p99_99_why,
}

shown_as!(Percentiles as Form);

impl From<&Histogram> for Percentiles {
    fn from(histogram: &Histogram) -> Self {
        let n = histogram.offered();
        let of_all = |time: Option<Duration>| match time {
            Some(time) if histogram.answered() == n => Quantile::Value(time),
            None if n == 0 => Quantile::TooFew { n },
            _ => Quantile::NotReached,
        };
        let (mean, max) = (of_all(histogram.mean()), of_all(histogram.max()));
        Self::read(n, mean, max, |q| histogram.percentile(q))
    }
}

impl Quantile {
    /// Milliseconds, to the microsecond.
    #[must_use]
    pub fn ms(self) -> Option<f64> {
        self.value().map(milliseconds)
    }

    /// Why there is no time.
    #[must_use]
    pub const fn why(self) -> Option<Why> {
        match self {
            Self::Value(_) => None,
            Self::NotReached => Some(Why::NotReached),
            Self::TooFew { .. } => Some(Why::TooFew),
        }
    }

    fn told(ms: Option<f64>, why: Option<Why>, n: u64) -> Self {
        match ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok()) {
            Some(time) => Self::Value(time),
            None if why == Some(Why::NotReached) => Self::NotReached,
            None => Self::TooFew { n },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_or_null_with_a_reason() {
        let mut histogram = Histogram::new();
        for _ in 0..980 {
            histogram.record(Duration::from_micros(1_500));
        }
        let all = Percentiles::from(&histogram);
        histogram.add_infinitely_slow(20);
        let with_lost = Percentiles::from(&histogram);
        let lines = [all, with_lost].map(|of| serde_json::to_string(&of).unwrap().replace(",\"p", ",\n\"p"));
        insta::assert_snapshot!(lines[0], @r#"
        {"n":980,"mean_ms":1.5,"max_ms":1.5,
        "p50_ms":1.5,
        "p90_ms":1.5,
        "p95_ms":1.5,
        "p99_ms":null,
        "p99_why":"too_few",
        "p99_9_ms":null,
        "p99_9_why":"too_few",
        "p99_99_ms":null,
        "p99_99_why":"too_few"}
        "#);
        assert!(lines[1].contains(r#""mean_ms":null,"mean_why":"not_reached""#), "{}", lines[1]);
        assert!(lines[1].contains("\"p99_why\":\"not_reached\""), "{}", lines[1]);
        for percentiles in [all, with_lost, Percentiles::from(&Histogram::new())] {
            let json = serde_json::to_string(&percentiles).unwrap();
            assert_eq!(serde_json::from_str::<Percentiles>(&json).unwrap(), percentiles);
        }
    }
}
