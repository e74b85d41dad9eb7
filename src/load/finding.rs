//! The result of a check: the measured number with its unit, and the verdict.

use serde::Serialize;

use crate::choice;
use crate::latency::{Quantile, Rate, Why};

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Finding {
    /// The check, as text.
    pub check: String,
    /// Whether it held.
    pub verdict: Verdict,
    /// The measured value, or why it is not known, as text.
    pub found: String,
    /// The measured value of a check against a time, milliseconds; only such a check has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    found_ms: Option<Option<f64>>,
    /// The measured value of a check against a share, 0 to 1; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    found_rate: Option<Option<f64>>,
    /// The measured value of a check against a rate, requests a second; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = f64, required = false)]
    found_per_second: Option<f64>,
    /// Why the number is `null`: `not_reached` (slower than any limit), `too_few`, or `none_offered`.
    #[serde(skip_serializing_if = "Option::is_none")]
    found_why: Option<&'static str>,
}

choice! {
    /// Whether a check holds, for the sample or for the server.
    #[derive(Default)]
    pub enum Verdict {
        /// It holds; for the server: beyond chance.
        Held = "held",
        /// It does not hold; for the server: beyond chance.
        Failed = "failed",
        /// The sample is too small to decide.
        #[default]
        Undecided = "undecided",
    }
}

impl Finding {
    /// A result without its number; `held` is `None` if that is unknown.
    pub(super) fn new(check: String, held: Option<bool>, found: String) -> Self {
        let verdict = match held {
            Some(true) => Verdict::Held,
            Some(false) => Verdict::Failed,
            None => Verdict::Undecided,
        };
        Self { check, verdict, found, ..Self::default() }
    }

    pub(super) fn time(self, found: Quantile) -> Self {
        Self { found_ms: Some(found.ms()), found_why: found.why().map(Why::label), ..self }
    }

    pub(super) fn share(self, found: Rate) -> Self {
        let found = found.fraction();
        Self { found_rate: Some(found), found_why: found.is_none().then_some("none_offered"), ..self }
    }

    pub(super) fn per_second(self, found: f64) -> Self {
        Self { found_per_second: Some(found), ..self }
    }
}
