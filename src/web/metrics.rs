//! The metrics of HTTP servers.
//!
//! Labels are bounded: `route` is the template that matched, never a path, and `method` is one of eight words. The
//! status is `cancelled` if the client disconnected, and `500` if the handler panicked. The route is `unmatched` if
//! no route matched. It is `refused` if the request was refused before routing, or by routes that count their own
//! requests.

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

use crate::metrics;
use crate::telemetry::{Counter, CounterBy, Instruments, UpDownCounter};

metrics! {
    /// Open HTTP connections
    CONNECTIONS: "web_connections";
    /// Connections that were refused, by reason (limit, descriptors)
    CONNECTIONS_REFUSED: "web_connections_refused_total" by "reason";
    /// Requests of all routes except the lab's endpoints and /metrics; route is `refused` if no route was reached
    REQUESTS: "web_requests_total" by "route", "method", "status";
}

/// A server's metrics of connections and requests. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    connections: UpDownCounter,
    /// Connections refused because the limit of open connections was reached.
    pub(super) refused_limit: Counter,
    /// Connections refused because the process has no descriptor left for them.
    pub(super) refused_descriptors: Counter,
    requests: CounterBy<3>,
}

impl Metrics {
    /// Creates the instruments. Series with known labels start at 0.
    pub fn new(instruments: &Instruments) -> Self {
        let refused = instruments.counter(CONNECTIONS_REFUSED);
        Self {
            connections: instruments.up_down_counter(CONNECTIONS),
            refused_limit: refused.with(["limit"]),
            refused_descriptors: refused.with(["descriptors"]),
            requests: instruments.counter(REQUESTS),
        }
    }

    /// Counts every request of `router` in `web_requests_total`. Not for routes that count their own requests.
    pub fn count_requests(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.requests.clone(), count))
    }

    /// Responds with 405 to methods that a route of `router` does not have, and counts these requests. For routes that
    /// count their own requests.
    pub fn count_wrong_methods(&self, router: Router) -> Router {
        let metrics = self.clone();
        router.method_not_allowed_fallback(async move |method: Method| {
            metrics.refused(Some(&method), StatusCode::METHOD_NOT_ALLOWED);
            StatusCode::METHOD_NOT_ALLOWED
        })
    }

    /// Counts a refused request that [`count_requests`](Self::count_requests) does not see. `method` is `None` if it
    /// could not be parsed.
    pub(super) fn refused(&self, method: Option<&Method>, status: StatusCode) {
        let method = method.map_or("other", bounded);
        self.requests.count(["refused".into(), method.into(), status.as_str().to_owned().into()]);
    }

    pub(super) fn connection_opened(&self) -> OpenConnection {
        self.connections.add(1);
        OpenConnection(self.connections.clone())
    }
}

/// Counts an open connection in the gauge until it is dropped.
#[must_use]
pub(super) struct OpenConnection(UpDownCounter);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

async fn count(State(requests): State<CounterBy<3>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let mut counted = Counted {
        requests,
        route: route.map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned()),
        method: bounded(request.method()),
        status: None,
    };
    let response = next.run(request).await;
    counted.status = Some(response.status().as_str().to_owned());
    response
}

/// Counts a request when dropped, however the request ended.
struct Counted {
    requests: CounterBy<3>,
    route: String,
    method: &'static str,
    status: Option<String>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let unanswered = if std::thread::panicking() { "500" } else { "cancelled" };
        let status = self.status.take().unwrap_or_else(|| unanswered.to_owned());
        self.requests.count([std::mem::take(&mut self.route).into(), self.method.into(), status.into()]);
    }
}

/// The label for a method. Clients can send any method, but the label must be bounded.
fn bounded(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
