//! A figure that theory predicts, with its accuracy.

/// A predicted value, or the reason why there is none. The name of the field or function gives its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Figure {
    /// Exact under the assumptions of the model.
    Exact {
        /// Finite.
        value: f64,
        /// Where the formula comes from.
        source: &'static str,
    },
    /// Approximate.
    Approximate {
        /// Finite.
        value: f64,
        /// Where the formula comes from.
        source: &'static str,
        /// Its largest error.
        error: &'static str,
    },
    /// Infinite: this percentile falls on requests that are never answered.
    NotReached,
    /// More arrives than can be served: the backlog grows without bound.
    NoSteadyState {
        /// The growth of the backlog in requests per second.
        backlog_growth_per_second: f64,
    },
    /// No known formula applies.
    NoFormula {
        /// The reason.
        why: &'static str,
    },
}

impl Figure {
    /// The value, if there is one.
    pub fn value(&self) -> Option<f64> {
        match *self {
            Self::Exact { value, .. } | Self::Approximate { value, .. } => Some(value),
            Self::NotReached | Self::NoSteadyState { .. } | Self::NoFormula { .. } => None,
        }
    }

    /// `exact`, `approximate` or `none`, for a label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Exact { .. } => "exact",
            Self::Approximate { .. } => "approximate",
            Self::NotReached | Self::NoSteadyState { .. } | Self::NoFormula { .. } => "none",
        }
    }

    /// A figure that is computed from this one and has the same accuracy.
    #[must_use]
    pub fn map(self, change: impl FnOnce(f64) -> f64) -> Self {
        match self {
            Self::Exact { value, source } => Self::Exact { value: change(value), source },
            Self::Approximate { value, source, error } => {
                Self::Approximate { value: change(value), source, error }
            }
            none => none,
        }
    }
}
