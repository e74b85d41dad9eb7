//! Spans, by `tracing`: one set of them feeds log lines and traces.
//!
//! ```text
//!   traceparent ──> Trace (a request) ──> Trace (a call) ──> traceparent of the call
//!                      │ span: trace_id on log lines, exported when there is an exporter
//! ```
//!
//! A span is made where somebody can see it: when spans are exported, or when the caller sent a `traceparent`.
//! Otherwise a [`Trace`] is empty and costs a look at the headers. Spans have the level `error` so that no
//! `RUST_LOG` takes the trace id off the lines that it lets through.

use axum::http::{HeaderMap, HeaderName, Method};
use opentelemetry::{
    Context,
    propagation::TextMapPropagator as _,
    trace::{Status, TraceContextExt as _},
};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Instrument as _, Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The header that names the caller's span (W3C Trace Context).
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Whether spans are exported: what a room needs to begin a [`Trace`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Tracing {
    pub(super) exported: bool,
}

impl Tracing {
    /// The trace of a request to `route`; empty when nobody could see its span.
    pub fn request(self, method: &Method, route: &str, headers: &HeaderMap) -> Trace {
        if !self.exported && !headers.contains_key(&TRACEPARENT) {
            return Trace::default();
        }
        let parent =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers));
        if !self.exported && !parent.has_active_span() {
            return Trace::default();
        }
        let span = tracing::error_span!(
            "request", otel.name = %format_args!("{method} {route}"), otel.kind = "server", trace_id = Empty
        );
        let context = if self.exported { own_context(&span, parent) } else { parent };
        span.record("trace_id", tracing::field::display(context.span().span_context().trace_id()));
        if self.exported {
            span.set_attribute("http.request.method", method.to_string());
            span.set_attribute("http.route", route.to_owned());
        }
        Trace(Some(Box::new(Inner { span, context, exported: self.exported })))
    }
}

/// The context of `span`, begun as a child of `parent`'s.
fn own_context(span: &Span, parent: Context) -> Context {
    // Fails only for a span without the layer or one that has begun; then it is a trace of its own.
    let _ = span.set_parent(parent);
    span.context()
}

/// The span of a piece of work, and the context that it hands on. Ends when it is dropped.
#[derive(Debug, Default)]
pub struct Trace(Option<Box<Inner>>);

#[derive(Debug)]
struct Inner {
    span: Span,
    context: Context,
    exported: bool,
}

impl Trace {
    /// The trace of a call that this work makes to `service`.
    pub fn call(&self, service: char) -> Self {
        let Some(Inner { context, exported, .. }) = self.0.as_deref() else {
            return Self::default();
        };
        if !exported {
            // The caller's context goes on to the service as it came.
            return Self(Some(Box::new(Inner {
                span: Span::none(),
                context: context.clone(),
                exported: false,
            })));
        }
        // No parent for `tracing`, which would keep the request's span open until its last call has ended.
        let span = tracing::error_span!(
            parent: None, "call", otel.name = %format_args!("service {service}"), otel.kind = "client"
        );
        let context = own_context(&span, context.clone());
        span.set_attribute("lab.service", service.to_string());
        Self(Some(Box::new(Inner { span, context, exported: true })))
    }

    /// The trace's number in hexadecimal, if there is a trace.
    pub fn id(&self) -> Option<String> {
        let Inner { context, .. } = self.0.as_deref()?;
        Some(context.span().span_context().trace_id().to_string())
    }

    /// Runs `work` inside the span, so that its log lines carry the trace id.
    pub async fn enter<T>(&self, work: impl Future<Output = T>) -> T {
        match self.0.as_deref() {
            Some(Inner { span, .. }) => work.instrument(span.clone()).await,
            None => work.await,
        }
    }

    /// Writes the context as `traceparent` and `tracestate`, for whom the work calls.
    pub fn inject(&self, headers: &mut HeaderMap) {
        if let Some(Inner { context, .. }) = self.0.as_deref() {
            TraceContextPropagator::new().inject_context(context, &mut HeaderInjector(headers));
        }
    }

    /// Says which status was answered.
    pub fn answered(&self, status: u16) {
        if let Some(Inner { span, exported: true, .. }) = self.0.as_deref() {
            span.set_attribute("http.response.status_code", i64::from(status));
        }
    }

    /// Says that the work failed, and why.
    pub fn failed(&self, why: &'static str) {
        if let Some(Inner { span, exported: true, .. }) = self.0.as_deref() {
            span.set_status(Status::error(why));
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn without_an_exporter_what_comes_in_goes_out_and_nothing_else_makes_a_span() {
        let request = |headers: &HeaderMap| Tracing::default().request(&Method::GET, "/x", headers);
        let mut headers = HeaderMap::new();
        assert!(request(&headers).0.is_none());

        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        headers.insert(&TRACEPARENT, HeaderValue::from_static(parent));
        let mut sent = HeaderMap::new();
        request(&headers).call('B').inject(&mut sent);
        assert_eq!(sent[&TRACEPARENT], parent);

        headers.insert(&TRACEPARENT, HeaderValue::from_static("00-nonsense"));
        assert!(request(&headers).0.is_none());
    }
}
