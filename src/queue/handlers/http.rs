//! Work that an HTTP server does: the payload is the body of a `POST`, the status the verdict.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;

use crate::{
    client::{Bounds, Client, Failure},
    config::HttpUrl,
    queue::{broker::Claimed, settle::Verdict, worker::Handler},
    telemetry,
};

/// How much of an answer is read, in bytes.
const ANSWER_LIMIT_BYTES: usize = 64 * 1024;
/// How much of an answer an error keeps, in characters.
const SHOWN_LIMIT_CHARS: usize = 300;
/// A longer wait that a server asks for is cut to this, in milliseconds.
const RETRY_AFTER_LIMIT_MS: u64 = 24 * 3_600_000;

/// A handler that posts each attempt.
#[derive(Debug, Clone)]
pub(super) struct Http {
    pub(super) url: HttpUrl,
    pub(super) client: Client,
}

#[async_trait]
impl Handler for Http {
    async fn handle(&self, task: &Claimed) -> Verdict {
        let request = match self.request(task) {
            Ok(request) => request,
            Err(error) => return Verdict::FailedForGood { error },
        };
        // The worker ends the attempt first, and dropping it closes the connection.
        let time = Duration::from_millis(task.spec.timeout_ms).saturating_mul(2);
        // The status is the verdict, however long the answer is.
        match self.client.fetch_start(request, Bounds { time, body_bytes: ANSWER_LIMIT_BYTES }).await {
            Ok(response) => verdict(&response),
            Err(Failure::NotPublic(ip)) => Verdict::FailedForGood { error: self.refused(ip) },
            Err(failure) => Verdict::Failed { error: failure.to_string(), retry_after_ms: None },
        }
    }
}

impl Http {
    fn refused(&self, ip: IpAddr) -> String {
        let host = self.url.uri().host().unwrap_or_default();
        format!(
            "refused: {host} has the address {ip}, which is not public, and is not listed in QUEUE_HTTP_PRIVATE"
        )
    }

    fn request(&self, task: &Claimed) -> Result<Request<Bytes>, String> {
        let mut parent = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&task.spec.trace) {
            parent.insert("traceparent", value);
        }
        let mut request = Request::post(self.url.uri().clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", task.id.to_string())
            .header("lab-task-id", task.id.to_string())
            .header("lab-task-type", task.lane.kind.as_str())
            .header("lab-task-token", task.delivery)
            .header("lab-task-attempt", task.failures + 1);
        let trace = telemetry::traceparent(&parent);
        if !trace.is_empty() {
            request = request.header("traceparent", trace);
        }
        request.body(task.spec.payload.clone()).map_err(|error| error.to_string())
    }
}

/// What an answer means: 408, 425, 429 and 5xx may be better next time, everything else that is not 2xx is final.
fn verdict(response: &Response<Bytes>) -> Verdict {
    let status = response.status();
    if status.is_success() {
        return Verdict::Done;
    }
    let body = String::from_utf8_lossy(response.body());
    let said: String = body.trim().chars().take(SHOWN_LIMIT_CHARS).collect();
    let error =
        if said.is_empty() { format!("answered {status}") } else { format!("answered {status}: {said}") };
    let may_change = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        );
    if may_change {
        Verdict::Failed { error, retry_after_ms: retry_after_ms(response.headers()) }
    } else if status.is_redirection() {
        Verdict::FailedForGood { error: format!("{error}; redirects are not followed") }
    } else {
        Verdict::FailedForGood { error }
    }
}

/// `Retry-After`, as seconds or as a date.
fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let ms = match text.parse::<u64>() {
        Ok(seconds) => seconds.saturating_mul(1_000),
        Err(_) => {
            let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            u64::try_from(at.as_millisecond() - jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
        }
    };
    Some(ms.min(RETRY_AFTER_LIMIT_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_decides_whether_another_attempt_may_succeed() {
        for (status, is_done, is_final) in [
            (200, true, false),
            (204, true, false),
            (302, false, true),
            (400, false, true),
            (404, false, true),
            (408, false, false),
            (425, false, false),
            (429, false, false),
            (500, false, false),
            (503, false, false),
        ] {
            let response = Response::builder().status(status).body(Bytes::new()).unwrap();
            let verdict = verdict(&response);
            assert_eq!(verdict == Verdict::Done, is_done, "{status}");
            assert_eq!(matches!(verdict, Verdict::FailedForGood { .. }), is_final, "{status}");
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_bounded() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            retry_after_ms(&headers)
        };
        assert_eq!(read("7"), Some(7_000));
        assert_eq!(read("99999999999999999999"), None);
        assert_eq!(read("9999999999"), Some(RETRY_AFTER_LIMIT_MS));
        assert_eq!(read("Wed, 21 Oct 2015 07:28:00 GMT"), Some(0));
        assert_eq!(read("Wed, 21 Oct 2099 07:28:00 GMT"), Some(RETRY_AFTER_LIMIT_MS));
        assert_eq!(read("soon"), None);
    }
}
