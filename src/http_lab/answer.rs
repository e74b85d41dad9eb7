//! The answer to a request: how it ended, and the result and time of each service.

use std::time::Duration;

use axum::http::StatusCode;

use crate::{labelled, latency, latency::milliseconds};

/// The status under which a request is counted whose client left before the answer (nginx's number).
pub(super) const CLIENT_GONE: u16 = 499;

/// More than most bodies have.
const BODY_BYTES: usize = 192;

/// The wait for the limit exceeded its maximum.
#[derive(Debug, Clone, Copy)]
pub(super) struct WaitedTooLong(pub(super) Duration);

/// The end of one call, as the caller saw it.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallReport {
    /// Why it failed, if it did.
    pub(super) error: Option<&'static str>,
    /// From sending the call to its end.
    pub(super) took: Duration,
}

/// The result of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct StrategyAnswer {
    pub(super) ending: Ending,
    /// The end of the call to service A; `None` if it did not end.
    pub(super) a: Option<CallReport>,
    /// The end of the call to service B; `None` if it did not end.
    pub(super) b: Option<CallReport>,
    /// The time waited for the semaphore, where there is one.
    pub(super) semaphore_wait: Option<Duration>,
}

/// How a strategy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Done,
    Shed,
    Deadline,
}

labelled! {
    /// How a request ended, as it is counted.
    pub(super) enum RequestOutcome {
        Ok = "ok",
        ServiceError = "service_error",
        Shed = "shed",
        Deadline = "deadline",
        Cancelled = "cancelled",
    }
}

impl RequestOutcome {
    /// The outcome as [`latency`] records it.
    pub(super) fn measured(self) -> latency::Outcome {
        match self {
            Self::Ok => latency::Outcome::Ok,
            Self::ServiceError => latency::Outcome::ServiceError,
            Self::Shed => latency::Outcome::Shed,
            Self::Deadline => latency::Outcome::Deadline,
            Self::Cancelled => latency::Outcome::Cancelled,
        }
    }

    /// The status that stands for it: the one map from outcome to status.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Ok => StatusCode::OK,
            Self::ServiceError => StatusCode::BAD_GATEWAY,
            Self::Shed => StatusCode::SERVICE_UNAVAILABLE,
            Self::Deadline => StatusCode::GATEWAY_TIMEOUT,
            Self::Cancelled => StatusCode::from_u16(CLIENT_GONE).unwrap_or(StatusCode::BAD_REQUEST),
        }
    }
}

impl StrategyAnswer {
    /// Both services ended.
    pub(super) fn done(a: CallReport, b: CallReport) -> Self {
        Self::of(Some(a), Some(b))
    }

    /// The strategy ran to its end.
    pub(super) fn of(a: Option<CallReport>, b: Option<CallReport>) -> Self {
        Self { ending: Ending::Done, a, b, semaphore_wait: None }
    }

    /// The request gave up its place in the queue for B.
    pub(super) fn shed(a: Option<CallReport>, WaitedTooLong(waited): WaitedTooLong) -> Self {
        Self { ending: Ending::Shed, ..Self::of(a, None).waited(waited) }
    }

    /// The deadline expired.
    pub(super) fn deadline(a: Option<CallReport>, b: Option<CallReport>) -> Self {
        Self { ending: Ending::Deadline, ..Self::of(a, b) }
    }

    /// The same with the time that a semaphore was waited for.
    pub(super) fn waited(self, waited: Duration) -> Self {
        Self { semaphore_wait: Some(waited), ..self }
    }

    pub(super) fn outcome(&self) -> RequestOutcome {
        let failed = [self.a, self.b].iter().flatten().any(|report| report.error.is_some());
        match self.ending {
            Ending::Shed => RequestOutcome::Shed,
            Ending::Deadline => RequestOutcome::Deadline,
            Ending::Done if failed => RequestOutcome::ServiceError,
            Ending::Done => RequestOutcome::Ok,
        }
    }

    /// The answer as JSON. `called` says whether each service was called at all.
    pub(super) fn body(&self, path: &'static str, called: [bool; 2], total: Duration) -> Body {
        Body {
            strategy: path.trim_start_matches('/'),
            a: ServiceBody::of(self.a, called[0]),
            b: ServiceBody::of(self.b, called[1]),
            semaphore_wait_ms: self.semaphore_wait.map(milliseconds),
            total_ms: milliseconds(total),
        }
    }
}

/// The answer of a strategy's endpoint; in an error these are members of the problem.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(super) struct Body {
    /// The strategy.
    strategy: &'static str,
    /// Service A.
    a: ServiceBody,
    /// Service B.
    b: ServiceBody,
    /// Milliseconds waited for the semaphore, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    semaphore_wait_ms: Option<f64>,
    /// Milliseconds from the request's arrival to its answer.
    total_ms: f64,
}

impl Body {
    /// As JSON, in one buffer of the right size. Written by hand, since serde looks at each character of each name:
    /// that is a tenth of what a request takes. The names are this program's, and need no escapes.
    pub(super) fn json(&self) -> serde_json::Result<Vec<u8>> {
        let mut text = Vec::with_capacity(BODY_BYTES);
        text.extend_from_slice(br#"{"strategy":""#);
        text.extend_from_slice(self.strategy.as_bytes());
        text.extend_from_slice(br#"","a":"#);
        self.a.write_json(&mut text)?;
        text.extend_from_slice(br#","b":"#);
        self.b.write_json(&mut text)?;
        if let Some(ms) = self.semaphore_wait_ms {
            text.extend_from_slice(br#","semaphore_wait_ms":"#);
            serde_json::to_writer(&mut text, &ms)?;
        }
        text.extend_from_slice(br#","total_ms":"#);
        serde_json::to_writer(&mut text, &self.total_ms)?;
        text.push(b'}');
        Ok(text)
    }
}

/// The result of one service.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(super) struct ServiceBody {
    /// `ok`, `error`, `cancelled` (called, then given up) or `not_called`.
    outcome: &'static str,
    /// Milliseconds it took, if it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<f64>,
    /// Why it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

impl ServiceBody {
    fn write_json(&self, text: &mut Vec<u8>) -> serde_json::Result<()> {
        text.extend_from_slice(br#"{"outcome":""#);
        text.extend_from_slice(self.outcome.as_bytes());
        text.push(b'"');
        if let Some(ms) = self.ms {
            text.extend_from_slice(br#","ms":"#);
            serde_json::to_writer(&mut *text, &ms)?;
        }
        if let Some(error) = self.error {
            text.extend_from_slice(br#","error":"#);
            serde_json::to_writer(&mut *text, error)?;
        }
        text.push(b'}');
        Ok(())
    }

    fn of(report: Option<CallReport>, called: bool) -> Self {
        match report {
            Some(report) => Self {
                outcome: if report.error.is_some() { "error" } else { "ok" },
                ms: Some(milliseconds(report.took)),
                error: report.error,
            },
            None => Self { outcome: if called { "cancelled" } else { "not_called" }, ms: None, error: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_written_as_serde_writes_it() {
        let ok = CallReport { error: None, took: Duration::from_micros(75_250) };
        let failed = CallReport { error: Some("said \"no\""), took: Duration::from_secs(1) };
        for answer in [
            StrategyAnswer::done(ok, ok),
            StrategyAnswer::of(Some(ok), Some(failed)).waited(Duration::from_nanos(1)),
            StrategyAnswer::deadline(None, None),
        ] {
            let body = answer.body("/async-limited", [true, false], Duration::from_millis(1_000));
            let by_serde = serde_json::to_vec(&body).expect("numbers and texts");
            assert_eq!(body.json().expect("the same"), by_serde);
        }
    }
}
