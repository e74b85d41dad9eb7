//! An exporter that logs once that the collector cannot be reached and why, and once that it can again.
//!
//! Totals are cumulative, so an export that fails loses only its own point in time: a line every two
//! seconds would say nothing new. How often it failed is a metric.

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

/// How pushes have gone so far. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    ok: AtomicU64,
    failed: AtomicU64,
    away: AtomicBool,
    /// Why the last request got no answer. The exporter says no more than "network error".
    reason: Mutex<Option<String>>,
}

impl Watch {
    /// Shows them as `telemetry_exports_total{outcome}`.
    pub(super) fn observe(self, instruments: &Instruments) {
        instruments.observe(move || Some(self.clone())).show_by(EXPORTS, |Self(counts)| {
            [("ok", &counts.ok), ("failed", &counts.failed)]
                .map(|(outcome, count)| ([outcome], count.load(Ordering::Relaxed)))
        });
    }

    /// Keeps why requests of `inner` fail.
    pub(super) fn reasons<H>(&self, inner: H) -> WithReasons<H> {
        WithReasons { inner, watch: self.clone() }
    }

    /// Watches the exports of `inner`, which go to `endpoint`.
    pub(super) fn exports<E>(&self, inner: E, endpoint: String) -> Watched<E> {
        Watched { inner, endpoint, watch: self.clone() }
    }
}

/// See [`Watch::reasons`].
#[derive(Debug)]
pub(super) struct WithReasons<H> {
    inner: H,
    watch: Watch,
}

#[async_trait]
impl<H: HttpClient> HttpClient for WithReasons<H> {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let result = self.inner.send_bytes(request).await;
        let reason = result.as_ref().err().map(ToString::to_string);
        *self.watch.0.reason.lock() = reason;
        result
    }
}

/// See [`Watch::exports`].
#[derive(Debug)]
pub(super) struct Watched<E> {
    inner: E,
    endpoint: String,
    watch: Watch,
}

impl<E: PushMetricExporter> PushMetricExporter for Watched<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.inner.export(metrics).await;
        let Seen { ok, failed, away, reason } = &*self.watch.0;
        let counter = if result.is_ok() { ok } else { failed };
        counter.fetch_add(1, Ordering::Relaxed);
        let was_away = away.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !was_away => {
                let reason = reason.lock().take().unwrap_or_else(|| error.to_string());
                tracing::warn!(endpoint = %self.endpoint, %reason, "telemetry cannot be pushed; trying again");
            }
            Ok(()) if was_away => tracing::info!(endpoint = %self.endpoint, "telemetry is pushed again"),
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
