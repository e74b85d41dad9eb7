//! Wraps the exporter: it logs once when pushes begin to fail, with the reason, and once when they succeed again.
//!
//! A log line for every failed push would add nothing: totals are cumulative, so a failed push loses only one point
//! in time. A metric counts the failures.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};
use parking_lot::Mutex;

use super::instruments::Instruments;
use crate::metrics;

metrics! {
    /// Pushes of metrics to the collector, by outcome (ok, failed)
    EXPORTS: "telemetry_exports_total" by "outcome";
}

/// The results of the pushes so far. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct PushResults(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    ok: AtomicU64,
    failed: AtomicU64,
    failing: AtomicBool,
    /// Why the last request failed. The exporter's own error says only "network error".
    reason: Mutex<Option<String>>,
}

impl PushResults {
    /// Registers `telemetry_exports_total{outcome}`.
    pub(super) fn observe(self, instruments: &Instruments) {
        instruments.observe(move || Some(self.clone())).show_by(EXPORTS, |Self(counts)| {
            [("ok", &counts.ok), ("failed", &counts.failed)]
                .map(|(outcome, count)| ([outcome], count.load(Ordering::Relaxed)))
        });
    }

    /// Wraps an HTTP client and remembers why its last request failed.
    pub(super) fn with_reasons<H>(&self, inner: H) -> WithReasons<H> {
        WithReasons { inner, results: self.clone() }
    }

    /// Wraps an exporter to `endpoint`: counts its pushes and logs changes between success and failure.
    pub(super) fn counted<E>(&self, inner: E, endpoint: String) -> Counted<E> {
        Counted { inner, endpoint, results: self.clone() }
    }
}

/// See [`PushResults::with_reasons`].
#[derive(Debug)]
pub(super) struct WithReasons<H> {
    inner: H,
    results: PushResults,
}

#[async_trait]
impl<H: HttpClient> HttpClient for WithReasons<H> {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let result = self.inner.send_bytes(request).await;
        let reason = result.as_ref().err().map(ToString::to_string);
        *self.results.0.reason.lock() = reason;
        result
    }
}

/// See [`PushResults::counted`].
#[derive(Debug)]
pub(super) struct Counted<E> {
    inner: E,
    endpoint: String,
    results: PushResults,
}

impl<E: PushMetricExporter> PushMetricExporter for Counted<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.inner.export(metrics).await;
        let Counts { ok, failed, failing, reason } = &*self.results.0;
        let counter = if result.is_ok() { ok } else { failed };
        counter.fetch_add(1, Ordering::Relaxed);
        let was_failing = failing.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !was_failing => {
                let reason = reason.lock().take().unwrap_or_else(|| error.to_string());
                tracing::warn!(endpoint = %self.endpoint, %reason, "telemetry cannot be pushed; trying again");
            }
            Ok(()) if was_failing => tracing::info!(endpoint = %self.endpoint, "telemetry is pushed again"),
            _ => {}
        }
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}
