//! The distribution of service times that the formulas take.

use std::{fmt, sync::Arc};

/// A function from a time to a share, or from a share to a time.
type Curve = Arc<dyn Fn(f64) -> f64 + Send + Sync>;

/// A distribution of service times, which are finite and not negative: its moments and its curves.
#[derive(Clone)]
pub struct ServiceTime {
    mean_ms: f64,
    squared_variation: f64,
    memoryless: bool,
    share_within: Curve,
    quantile_ms: Curve,
}

impl ServiceTime {
    /// `squared_variation` is the variance divided by the square of the mean. `share_within` returns the share of
    /// calls that take at most the given milliseconds. `quantile_ms` returns the smallest time within which the
    /// given share of calls lies: the shortest time for 0 and the longest, which is finite, for 1. All four must
    /// describe the same distribution.
    pub fn new(
        mean_ms: f64,
        squared_variation: f64,
        share_within: impl Fn(f64) -> f64 + Send + Sync + 'static,
        quantile_ms: impl Fn(f64) -> f64 + Send + Sync + 'static,
    ) -> Self {
        Self {
            mean_ms,
            squared_variation,
            memoryless: false,
            share_within: Arc::new(share_within),
            quantile_ms: Arc::new(quantile_ms),
        }
    }

    /// Marks the distribution as exponential, for which the formulas of M/M/c are exact.
    #[must_use]
    pub fn memoryless(self, memoryless: bool) -> Self {
        Self { memoryless, ..self }
    }

    /// The same distribution, with every time multiplied by `times`.
    #[must_use]
    pub fn stretched(&self, times: f64) -> Self {
        let (within, quantile) = (self.share_within.clone(), self.quantile_ms.clone());
        Self {
            mean_ms: self.mean_ms * times,
            share_within: Arc::new(move |ms| within(ms / times)),
            quantile_ms: Arc::new(move |share| quantile(share) * times),
            ..self.clone()
        }
    }

    /// The mean in milliseconds.
    pub fn mean_ms(&self) -> f64 {
        self.mean_ms
    }

    /// The squared coefficient of variation.
    pub fn squared_variation(&self) -> f64 {
        self.squared_variation
    }

    /// Whether the distribution is exponential.
    pub fn is_memoryless(&self) -> bool {
        self.memoryless
    }

    /// The share of calls that take at most `ms`.
    pub fn share_within(&self, ms: f64) -> f64 {
        (self.share_within)(ms)
    }

    /// The smallest time within which `share` of the calls lies, in milliseconds.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        (self.quantile_ms)(share)
    }
}

impl fmt::Debug for ServiceTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceTime")
            .field("mean_ms", &self.mean_ms)
            .field("squared_variation", &self.squared_variation)
            .field("memoryless", &self.memoryless)
            .finish_non_exhaustive()
    }
}
