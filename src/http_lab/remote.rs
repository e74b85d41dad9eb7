//! A real service behind a URL, called over HTTP.
//!
//! Connections are pooled, trace context is passed on, answers are read to their end and bounded, and
//! every call ends within a time limit. Cancelling a call closes its connection; whether the service stops working
//! is not known here, so orphaned work is *unknown*, never 0.
//!
//! The header `lab-call` carries the call's key, so that `lab service` draws for request 17 what the
//! lab itself would have drawn.

use std::{
    collections::BTreeMap,
    pin::Pin,
    str::FromStr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;

use super::{
    flow::Held,
    ledger::{CallLedger, OrphanedWhy},
};
use crate::{
    client::{Bounds, Client, Failure, tls::TrustError},
    config::{Allowed, HttpUrl, Invalid},
    sim::Key,
    size,
    telemetry::Trace,
    time,
};

/// The header that names a call's draws.
pub(super) const KEY_HEADER: &str = "lab-call";

time!(
    /// The time limit of a call.
    CallLimitMs = 1 ms to 10 m in milliseconds
);
size!(
    /// The longest answer that is read.
    AnswerLimitBytes = 1 B to 64 MiB
);

/// How a real service is asked, and what counts as a failure. Written as JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestSpec {
    text: String,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
    success: Vec<StatusRule>,
    bounds: Bounds,
}

/// The members of a [`RequestSpec`] as a person writes them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSpec {
    #[serde(default = "get")]
    method: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    #[serde(default = "two_hundreds")]
    success: Vec<String>,
    timeout_ms: Option<CallLimitMs>,
    answer_limit_bytes: Option<AnswerLimitBytes>,
}

fn get() -> String {
    "GET".to_owned()
}

fn two_hundreds() -> Vec<String> {
    vec!["2xx".to_owned()]
}

/// One status or a class of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StatusRule {
    One(u16),
    Class(u16),
}

impl StatusRule {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix("xx") {
            Some(class) => class.parse().ok().filter(|c| (1..=5).contains(c)).map(Self::Class),
            None => text.parse().ok().filter(|s| (100..=599).contains(s)).map(Self::One),
        }
    }

    fn holds(self, status: StatusCode) -> bool {
        match self {
            Self::One(code) => status.as_u16() == code,
            Self::Class(class) => status.as_u16() / 100 == class,
        }
    }
}

impl Allowed for RequestSpec {
    const ALLOWED: &'static str = "a JSON object with any of method, headers, body, success (statuses such as [\"2xx\", \"404\"]; \
         others are failures), timeout_ms (1ms to 10m, default 30s), \
         answer_limit_bytes (1B to 64MiB, default 1MiB)";
}

impl FromStr for RequestSpec {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |why: &dyn std::fmt::Display| Invalid::new(text, format!("{} ({why})", Self::ALLOWED));
        let raw: RawSpec = serde_json::from_str(text).map_err(|error| refuse(&error))?;
        let method: Method = raw.method.parse().map_err(|error| refuse(&error))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &raw.headers {
            let name: HeaderName = name.parse().map_err(|error| refuse(&error))?;
            let value: HeaderValue = value.parse().map_err(|error| refuse(&error))?;
            headers.append(name, value);
        }
        let success = raw.success.iter().map(|rule| StatusRule::parse(rule)).collect();
        Ok(Self {
            text: text.to_owned(),
            method,
            headers,
            body: raw.body.into(),
            success: Option::ok_or_else(success, || refuse(&"success holds something that is not a status"))?,
            bounds: Bounds {
                time: raw.timeout_ms.map_or(Duration::from_secs(30), CallLimitMs::get),
                body_bytes: raw
                    .answer_limit_bytes
                    .map_or(1 << 20, |limit| usize::try_from(limit.get()).unwrap_or(usize::MAX)),
            },
        })
    }
}

impl std::fmt::Display for RequestSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// A real service.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    client: Client,
    url: HttpUrl,
    spec: Arc<RequestSpec>,
    ledger: Arc<Mutex<CallLedger>>,
}

impl Remote {
    /// A service at `url`. Over TLS this machine must trust its certificate.
    pub(super) fn new(url: &HttpUrl, spec: &RequestSpec) -> Result<Self, TrustError> {
        let client = Client::for_url(url)?;
        let ledger = CallLedger { orphaned_why: Some(OrphanedWhy::BehindUrl), ..CallLedger::default() };
        Ok(Self {
            client,
            url: url.clone(),
            spec: Arc::new(spec.clone()),
            ledger: Arc::new(Mutex::new(ledger)),
        })
    }

    /// `held` is kept until the exchange ends: later work of the service is unknown.
    pub(super) fn call(&self, key: Key, trace: &Trace, held: Option<Held>) -> RemoteCall {
        let counted = Counted::start(self.ledger.clone());
        let mut request = Request::new(self.spec.body.clone());
        *request.method_mut() = self.spec.method.clone();
        *request.uri_mut() = self.url.uri().clone();
        *request.headers_mut() = self.spec.headers.clone();
        let Key { seed, request: number, attempt, .. } = key;
        if let Ok(value) = HeaderValue::try_from(format!("{seed}-{number}-{attempt}")) {
            request.headers_mut().insert(KEY_HEADER, value);
        }
        trace.inject(request.headers_mut());
        let (client, spec) = (self.client.clone(), self.spec.clone());
        let exchange = async move {
            let _held = held;
            match client.status(request, spec.bounds).await {
                Ok(status) if spec.success.iter().any(|rule| rule.holds(status)) => None,
                Ok(status) => Some(Failure::Status(status).label()),
                Err(failure) => {
                    tracing::debug!(%failure, "a call to a real service failed");
                    Some(failure.label())
                }
            }
        };
        RemoteCall { exchange: Box::pin(exchange), counted }
    }

    pub(super) fn ledger(&self) -> CallLedger {
        *self.ledger.lock()
    }
}

/// A call to a real service.
pub(super) struct RemoteCall {
    exchange: Pin<Box<dyn Future<Output = Option<&'static str>> + Send>>,
    counted: Counted,
}

impl Future for RemoteCall {
    type Output = Option<&'static str>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let error = std::task::ready!(self.exchange.as_mut().poll(cx));
        self.counted.end(if error.is_some() { End::Failed } else { End::Completed });
        Poll::Ready(error)
    }
}

#[derive(Debug, Clone, Copy)]
enum End {
    Completed,
    Failed,
    Cancelled,
}

/// A call in the ledger; if it is dropped before its end, it counts as cancelled.
#[derive(Debug)]
struct Counted {
    ledger: Arc<Mutex<CallLedger>>,
    ended: bool,
}

impl Counted {
    fn start(ledger: Arc<Mutex<CallLedger>>) -> Self {
        {
            let mut terms = ledger.lock();
            terms.started += 1;
            terms.in_flight += 1;
        }
        Self { ledger, ended: false }
    }

    fn end(&mut self, end: End) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let mut terms = self.ledger.lock();
        terms.in_flight -= 1;
        *match end {
            End::Completed => &mut terms.completed,
            End::Failed => &mut terms.failed,
            End::Cancelled => &mut terms.cancelled,
        } += 1;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.end(End::Cancelled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_parsed_completely_or_refused() {
        let spec: RequestSpec = r#"{"method":"POST","headers":{"x-key":"v"},"body":"{}","success":["2xx","404"],"timeout_ms":500}"#
            .parse()
            .expect("a spec");
        assert_eq!(spec.method, Method::POST);
        assert_eq!(spec.headers["x-key"], "v");
        assert_eq!(spec.bounds.time, Duration::from_millis(500));
        let good = |status: u16| {
            let status = StatusCode::from_u16(status).expect("a status");
            spec.success.iter().any(|rule| rule.holds(status))
        };
        assert!(good(204) && good(404) && !good(500) && !good(301));
        assert!("{}".parse::<RequestSpec>().is_ok());
        for bad in [
            "",
            "[]",
            r#"{"methud":"GET"}"#,
            r#"{"method":"G T"}"#,
            r#"{"headers":{"a b":"c"}}"#,
            r#"{"success":["9xx"]}"#,
            r#"{"success":["abc"]}"#,
            r#"{"timeout_ms":0}"#,
            r#"{"answer_limit_bytes":0}"#,
        ] {
            assert!(bad.parse::<RequestSpec>().is_err(), "{bad}");
        }
    }
}
