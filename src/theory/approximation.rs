//! The formulas that are exact for exponential service times and approximate for others, each with its error.
//!
//! The errors are the largest in simulations of the queue with constant, uniform (0.12), log-normal (0.28 and 1.7)
//! and two-valued (3.9) service times; the squared coefficient of variation is in brackets. Without a bound on the
//! wait, the simulations covered 2 to 100 servers at a utilisation of 0.5 to 0.95. With a bound, they covered 1 to
//! 100 servers at a utilisation of 0.5 to 1.5 and bounds of 0.2 to 2 mean service times.

use super::figure::Figure;

/// The classes of variation of service times for which the errors are known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Variation {
    /// Exponential.
    Memoryless,
    /// A squared coefficient of variation up to 1.
    Little,
    /// Up to 4.
    Much,
    /// More: two moments no longer describe the distribution well enough.
    TooMuch,
}

const LITTLE: f64 = 1.0;
const MUCH: f64 = 4.0;

impl Variation {
    pub(super) fn of(memoryless: bool, squared_variation: f64) -> Self {
        match squared_variation {
            _ if memoryless => Self::Memoryless,
            v if v <= LITTLE => Self::Little,
            v if v <= MUCH => Self::Much,
            _ => Self::TooMuch,
        }
    }
}

/// The sources and errors of a formula.
#[derive(Debug)]
pub(super) struct Approximation {
    /// The source for exponential service times, where it is exact.
    memoryless: &'static str,
    /// The source for other service times, where it is approximate.
    general: &'static str,
    /// The error for a squared coefficient of variation up to 1, and up to 4.
    little: &'static str,
    much: &'static str,
}

impl Approximation {
    pub(super) fn figure(&self, variation: Variation, value: f64) -> Figure {
        let approximate = |error| Figure::Approximate { value, source: self.general, error };
        match variation {
            Variation::Memoryless => Figure::Exact { value, source: self.memoryless },
            Variation::Little => approximate(self.little),
            Variation::Much => approximate(self.much),
            Variation::TooMuch => Figure::NoFormula {
                why: "the service times vary too much (squared coefficient of variation above 4)",
            },
        }
    }
}

const ERLANG: &str = "M/M/c: Erlang 1917";
const IMPATIENT: &str = "M/M/c+D: Baccelli and Hebuterne 1981";
const SCALED: &str = "M/G/c+D: Boots and Tijms 1999";

pub(super) const WAITING_SHARE: Approximation = Approximation {
    memoryless: ERLANG,
    general: "M/G/c as M/M/c: Erlang 1917",
    little: "waiting share within 13%",
    much: "waiting share within 8%",
};

pub(super) const MEAN_WAIT: Approximation = Approximation {
    memoryless: ERLANG,
    general: "M/G/c: Kimura 1986 with Cosmetatos 1976",
    little: "mean wait within 4%",
    much: "mean wait within 17%",
};

/// Valid from a utilisation of [`super::waiting::HEAVY_TRAFFIC`] on.
pub(super) const P95_WAIT: Approximation = Approximation {
    memoryless: ERLANG,
    general: "M/G/c in heavy traffic: Köllerström 1974",
    little: "p95 of the wait within 20%",
    much: "p95 of the wait within 30%",
};

pub(super) const SHED_SHARE: Approximation = Approximation {
    memoryless: IMPATIENT,
    general: SCALED,
    little: "shed share within 0.05, from 20 permits within 0.015",
    much: "shed share within 0.06, from 20 permits within 0.035",
};

pub(super) const BOUNDED_WAITING_SHARE: Approximation = Approximation {
    memoryless: IMPATIENT,
    general: SCALED,
    little: "waiting share within 0.11",
    much: "waiting share within 0.21",
};

pub(super) const BOUNDED_MEAN_WAIT: Approximation = Approximation {
    memoryless: IMPATIENT,
    general: SCALED,
    little: "mean wait within 0.17 of the bound",
    much: "mean wait within 0.26 of the bound",
};

pub(super) const BOUNDED_P95_WAIT: Approximation = Approximation {
    memoryless: IMPATIENT,
    general: SCALED,
    little: "p95 of the wait within 0.16 of the bound",
    much: "p95 of the wait within 0.30 of the bound",
};
