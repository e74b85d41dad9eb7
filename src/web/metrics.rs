//! The instruments of this room.
//!
//! Exporters append `_total` to counters, so the names here lack it. Labels are bounded: `route` is the
//! template that matched, never a path; `method` is one of eight words. A request whose client left is
//! counted with the status `cancelled`, one whose handler panicked with `500`.

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundUpDownCounter, Counter, Meter};

/// Handles on `web_connections`, `web_connections_refused` and `web_requests`.
#[derive(Clone, Debug)]
pub struct Metrics {
    connections: BoundUpDownCounter<i64>,
    refused_limit: BoundCounter<u64>,
    refused_descriptors: BoundCounter<u64>,
    requests: Counter<u64>,
}

impl Metrics {
    /// Makes the instruments; series with known labels start at 0.
    pub fn new(meter: &Meter) -> Self {
        let connections = meter
            .i64_up_down_counter("web_connections")
            .with_description("Open HTTP connections")
            .build()
            .bind(&[]);
        let refused = meter
            .u64_counter("web_connections_refused")
            .with_description("Connections that were not served")
            .build();
        let refused_limit = refused.bind(&[KeyValue::new("reason", "limit")]);
        let refused_descriptors = refused.bind(&[KeyValue::new("reason", "descriptors")]);
        connections.add(0);
        refused_limit.add(0);
        refused_descriptors.add(0);
        Self {
            connections,
            refused_limit,
            refused_descriptors,
            requests: meter
                .u64_counter("web_requests")
                .with_description("Requests by route, method and status")
                .build(),
        }
    }

    /// Counts every request of `router` in `web_requests`. Not for routes that keep their own books.
    pub fn count_requests(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.requests.clone(), count))
    }

    pub(super) fn connection_opened(&self) -> OpenConnection {
        self.connections.add(1);
        OpenConnection(self.connections.clone())
    }

    pub(super) fn refused_at_limit(&self) {
        self.refused_limit.add(1);
    }

    pub(super) fn refused_without_descriptor(&self) {
        self.refused_descriptors.add(1);
    }
}

/// One open connection in the gauge, until dropped.
#[must_use]
pub(super) struct OpenConnection(BoundUpDownCounter<i64>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

async fn count(State(requests): State<Counter<u64>>, request: Request, next: Next) -> Response {
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

/// A request that is counted when dropped, however it ended.
struct Counted {
    requests: Counter<u64>,
    route: String,
    method: &'static str,
    status: Option<String>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let unanswered = if std::thread::panicking() { "500" } else { "cancelled" };
        let status = self.status.take().unwrap_or_else(|| unanswered.to_owned());
        let labels = [
            KeyValue::new("route", std::mem::take(&mut self.route)),
            KeyValue::new("method", self.method),
            KeyValue::new("status", status),
        ];
        self.requests.add(1, &labels);
    }
}

/// Clients may invent methods; labels may not.
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
