//! A figure that theory gives, with how far to trust it.

/// A figure, or the reason why there is none. Its unit is in the name of what gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Figure {
    /// True under the assumptions of the model.
    Exact {
        /// Finite.
        value: f64,
        /// Where the formula comes from.
        source: &'static str,
    },
    /// Near the truth.
    Approximate {
        /// Finite.
        value: f64,
        /// Where the formula comes from.
        source: &'static str,
        /// How near it is, and where that was found.
        error: &'static str,
    },
    /// Infinite: so many requests never get their answer that this figure, which is over all, is one of theirs.
    NotReached,
    /// More arrives than can be served: what waits grows without end.
    NoSteadyState {
        /// Requests by which the backlog grows each second.
        backlog_growth_per_second: f64,
    },
    /// No formula is known to hold here.
    NoFormula {
        /// What is missing.
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

    /// Another figure that follows from this one, with the same trust in it.
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
