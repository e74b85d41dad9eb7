//! Wraps the app's router: checks the host and the origin of each request, reads its body within the limits, turns
//! panics into a 500 and errors into problem documents, and closes connections while the server stops. Requests that
//! it refuses are counted here.

use std::any::Any;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header, request, response};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tower::ServiceExt;
use tower_http::catch_panic::ResponseForPanic;
use tower_http::timeout::TimeoutBody;

use super::host::HostRule;
use super::{BodyLimit, Limits, Metrics, Problem, origin, problem};
use crate::shutdown::Shutdown;

const CLOSE: HeaderValue = HeaderValue::from_static("close");
/// The longest plain-text error that becomes a problem's `detail`.
const DETAIL_LIMIT_BYTES: u64 = 1024;

pub(super) struct Edge {
    app: Router,
    shutdown: Shutdown,
    limits: Limits,
    hosts: HostRule,
    metrics: Metrics,
}

impl Edge {
    /// The edge of a server that listens on `bound`.
    pub(super) fn new(
        app: Router,
        limits: &Limits,
        bound: Option<SocketAddr>,
        metrics: Metrics,
        shutdown: Shutdown,
    ) -> Self {
        let hosts = HostRule::new(bound, &limits.hosts);
        Self { app, shutdown, limits: limits.clone(), hosts, metrics }
    }

    /// Serves one request. hyper drops the future when the client disconnects.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response, Infallible> {
        let (parts, body) = request.into_parts();
        // Futures that few requests need are boxed, so that the other requests use less memory.
        let body = match self.admits(&parts) {
            Err(refusal) => Err(refusal),
            Ok(()) if body.is_end_stream() => Ok(Body::empty()),
            Ok(()) if is_encoded(&parts.headers) => Err(Problem::of(StatusCode::UNSUPPORTED_MEDIA_TYPE)
                .detail("a compressed body is not supported: send it without Content-Encoding")),
            Ok(()) => match self.limits.body(parts.uri.path()) {
                BodyLimit::Streamed => {
                    Ok(Body::new(Box::pin(TimeoutBody::new(self.limits.body_timeout(), body))))
                }
                BodyLimit::Bytes(limit_bytes) => Box::pin(self.read(body, limit_bytes)).await,
            },
        };
        let mut response = match body {
            Ok(body) => {
                let response = self.app.clone().oneshot(Request::from_parts(parts, body)).await?;
                match is_bare_error(&response) {
                    true => Box::pin(with_problem(response)).await,
                    false => response,
                }
            }
            Err(problem) => {
                self.metrics.refused(Some(&parts.method), problem.status());
                closing(problem)
            }
        };
        if self.shutdown.is_stopping() {
            response.headers_mut().insert(header::CONNECTION, CLOSE);
        }
        Ok(response)
    }

    /// Checks that a request addresses this server, and that no page of another origin sent it to change something.
    fn admits(&self, parts: &request::Parts) -> Result<(), Problem> {
        self.hosts.check(parts.version, &parts.headers, &parts.uri)?;
        let safe = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
        if !safe && origin::is_foreign(&parts.headers) {
            return Err(Problem::of(StatusCode::FORBIDDEN).detail("sent by a page of another origin"));
        }
        Ok(())
    }

    async fn read(&self, body: Incoming, limit_bytes: usize) -> Result<Body, Problem> {
        if body.size_hint().lower() > limit_bytes as u64 {
            return Err(too_large(limit_bytes));
        }
        let whole = Limited::new(body, limit_bytes).collect();
        let body_timeout = self.limits.body_timeout();
        match tokio::time::timeout(body_timeout, whole).await {
            Ok(Ok(whole)) => Ok(Body::from(whole.to_bytes())),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limit_bytes)),
            Ok(Err(_)) => Err(Problem::of(StatusCode::BAD_REQUEST).detail("the body broke off")),
            Err(_) => Err(Problem::of(StatusCode::REQUEST_TIMEOUT)
                .with("body_timeout_ms", body_timeout.as_millis() as u64)),
        }
    }
}

fn too_large(limit_bytes: usize) -> Problem {
    Problem::of(StatusCode::PAYLOAD_TOO_LARGE).with("body_limit_bytes", limit_bytes)
}

/// Whether a body is compressed, which handlers do not support.
fn is_encoded(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::CONTENT_ENCODING);
    codings.iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// The response to a request that was not read completely, which closes the connection. A 415 lists the supported
/// encoding (RFC 9110, 15.5.16).
fn closing(problem: Problem) -> Response {
    let unsupported = problem.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let mut response = ([(header::CONNECTION, CLOSE)], problem).into_response();
    if unsupported {
        response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    response
}

/// Responds to a panic with a 500. The panic hook has logged the location.
#[derive(Clone, Copy)]
pub(super) struct Panicked;

impl ResponseForPanic for Panicked {
    type ResponseBody = Body;

    fn response_for_panic(&mut self, _: Box<dyn Any + Send>) -> Response {
        tracing::error!("a handler panicked");
        closing(Problem::of(StatusCode::INTERNAL_SERVER_ERROR))
    }
}

/// Whether a response is an error that is neither a problem nor a page.
fn is_bare_error(response: &Response) -> bool {
    let status = response.status();
    (status.is_client_error() || status.is_server_error()) && !is_final(response.headers())
}

/// Turns a bare error into a problem. It keeps the headers (`Allow`, `Retry-After`), and a short plain text becomes
/// the `detail`.
async fn with_problem(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let mut problem = Problem::of(parts.status);
    if let Some(detail) = plain_text(&parts, body).await {
        problem = problem.detail(detail);
    }
    let headers = &mut parts.headers;
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::CONTENT_ENCODING);
    headers.insert(header::CONTENT_TYPE, problem::CONTENT_TYPE);
    if let Some(seconds) = problem.retry_after() {
        headers.entry(header::RETRY_AFTER).or_insert(seconds);
    }
    Response::from_parts(parts, Body::from(problem.to_bytes()))
}

fn is_final(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == problem::CONTENT_TYPE || kind.as_bytes().starts_with(b"text/html"))
}

async fn plain_text(parts: &response::Parts, body: Body) -> Option<String> {
    let kind = parts.headers.get(header::CONTENT_TYPE)?;
    let plain = kind.as_bytes().starts_with(b"text/plain")
        && !parts.headers.contains_key(header::CONTENT_ENCODING)
        && body.size_hint().exact()? <= DETAIL_LIMIT_BYTES;
    if !plain {
        return None;
    }
    let text = body.collect().await.ok()?.to_bytes();
    let text = std::str::from_utf8(&text).ok()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
