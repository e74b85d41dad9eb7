//! Spans, made with `tracing`. The same spans are used for log lines and for traces.
//!
//! ```text
//!   traceparent ──> Trace (a request) ──> Trace (a call) ──> traceparent of the call
//!                      │ span: trace_id on log lines, exported when there is an exporter
//! ```
//!
//! A span is created only if spans are exported or the caller sent a `traceparent` header. Otherwise the [`Trace`]
//! is empty and costs only a header lookup. Spans have the level `error`, so that every log line keeps its trace ID
//! whatever `RUST_LOG` is.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
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

/// Starts the [`Trace`] of a request; it knows whether spans are exported.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tracing {
    pub(super) exported: bool,
}

impl Tracing {
    /// The trace of a request to `route`. It is empty if spans are not exported and the caller sent none.
    pub fn request(self, method: &Method, route: &str, headers: &HeaderMap) -> Trace {
        if !self.exported && !headers.contains_key(&TRACEPARENT) {
            return Trace::default();
        }
        let parent = parent_in(headers);
        if !self.exported && !parent.has_active_span() {
            return Trace::default();
        }
        let span = tracing::error_span!(
            "request", otel.name = %format_args!("{method} {route}"), otel.kind = "server", trace_id = Empty
        );
        if self.exported {
            span.set_attribute("http.request.method", method.to_string());
            span.set_attribute("http.route", route.to_owned());
        }
        self.begun(span, parent)
    }

    /// The trace of the handling of a task of type `kind`, which was enqueued under the span in `traceparent` (empty:
    /// under none). It is empty if spans are not exported and the task has none.
    pub fn task(self, traceparent: &str, kind: &str) -> Trace {
        let mut headers = HeaderMap::new();
        if let Ok(parent) = HeaderValue::from_str(traceparent) {
            headers.insert(&TRACEPARENT, parent);
        }
        let parent = parent_in(&headers);
        if !self.exported && !parent.has_active_span() {
            return Trace::default();
        }
        let span = tracing::error_span!(
            "task", otel.name = %format_args!("task {kind}"), otel.kind = "consumer", trace_id = Empty
        );
        self.begun(span, parent)
    }

    fn begun(self, span: Span, parent: Context) -> Trace {
        let context = if self.exported { own_context(&span, parent) } else { parent };
        span.record("trace_id", tracing::field::display(context.span().span_context().trace_id()));
        Trace(Some(Box::new(Inner { span, context, exported: self.exported })))
    }
}

/// The caller's context in a request's headers.
fn parent_in(headers: &HeaderMap) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers))
}

/// The `traceparent` that work on behalf of the current request passes on: of the request's span, or, if spans are not
/// exported, the one in its `headers`. Empty if there is none.
pub fn traceparent(headers: &HeaderMap) -> String {
    let mut context = Span::current().context();
    if !context.has_active_span() {
        context = parent_in(headers);
    }
    let mut passed = HeaderMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut HeaderInjector(&mut passed));
    let parent = passed.get(&TRACEPARENT).and_then(|parent| parent.to_str().ok());
    parent.unwrap_or_default().to_owned()
}

/// Makes `span` a child of `parent` and returns its context.
fn own_context(span: &Span, parent: Context) -> Context {
    // Fails only if the span is not exported or has already started; then it begins a new trace.
    let _ = span.set_parent(parent);
    span.context()
}

/// The span of a request or a call, and the context to propagate. The span ends when this is dropped.
#[derive(Debug, Default)]
pub struct Trace(Option<Box<Inner>>);

#[derive(Debug)]
struct Inner {
    span: Span,
    context: Context,
    exported: bool,
}

impl Trace {
    /// The trace of a call to `service` on behalf of this request.
    pub fn call(&self, service: char) -> Self {
        let Some(Inner { context, exported, .. }) = self.0.as_deref() else {
            return Self::default();
        };
        if !exported {
            // Propagate the caller's context to the service unchanged.
            return Self(Some(Box::new(Inner {
                span: Span::none(),
                context: context.clone(),
                exported: false,
            })));
        }
        // Without a parent in `tracing`, which would keep the request's span open until its last call has ended.
        let span = tracing::error_span!(
            parent: None, "call", otel.name = %format_args!("service {service}"), otel.kind = "client"
        );
        let context = own_context(&span, context.clone());
        span.set_attribute("lab.service", service.to_string());
        Self(Some(Box::new(Inner { span, context, exported: true })))
    }

    /// The trace ID in hexadecimal, if there is a trace.
    pub fn id(&self) -> Option<String> {
        let Inner { context, .. } = self.0.as_deref()?;
        Some(context.span().span_context().trace_id().to_string())
    }

    /// Runs `work` inside the span, so that its log lines have the trace ID.
    pub async fn enter<T>(&self, work: impl Future<Output = T>) -> T {
        match self.0.as_deref() {
            Some(Inner { span, .. }) => work.instrument(span.clone()).await,
            None => work.await,
        }
    }

    /// Writes the context into `traceparent` and `tracestate` headers.
    pub fn inject(&self, headers: &mut HeaderMap) {
        if let Some(Inner { context, .. }) = self.0.as_deref() {
            TraceContextPropagator::new().inject_context(context, &mut HeaderInjector(headers));
        }
    }

    /// Records the response status.
    pub fn answered(&self, status: u16) {
        if let Some(Inner { span, exported: true, .. }) = self.0.as_deref() {
            span.set_attribute("http.response.status_code", i64::from(status));
        }
    }

    /// Records a failure and its reason.
    pub fn failed(&self, why: &'static str) {
        if let Some(Inner { span, exported: true, .. }) = self.0.as_deref() {
            span.set_status(Status::error(why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_exporter_only_an_incoming_traceparent_is_propagated() {
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
