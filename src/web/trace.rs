//! Spans around the routes of a router, so that a handler's log lines have the caller's trace ID.

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

use crate::telemetry::Tracing;

/// Puts a span around every request to `router`, if it is exported or the caller is traced.
pub fn traced(tracing: Tracing, router: Router) -> Router {
    router.layer(from_fn_with_state(tracing, trace))
}

async fn trace(State(tracing): State<Tracing>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
    let trace = tracing.request(request.method(), route, request.headers());
    let response = trace.enter(next.run(request)).await;
    let status = response.status();
    trace.answered(status.as_u16());
    if status.is_server_error() {
        trace.failed("answered with an error");
    }
    response
}
