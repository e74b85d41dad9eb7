//! An exporter that says once that the collector is away, and once that it is back.
//!
//! Totals are cumulative, so an export that fails loses nothing but its moment: a line every two
//! seconds would say nothing new. How often it failed is a metric.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::{KeyValue, metrics::Meter};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};

/// How pushes have gone so far.
#[derive(Debug, Clone, Default)]
pub(super) struct ExportCounts(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    ok: AtomicU64,
    failed: AtomicU64,
}

impl ExportCounts {
    /// Shows them as `telemetry_exports_total{outcome}`.
    pub(super) fn observe(self, meter: &Meter) {
        meter
            .u64_observable_counter("telemetry_exports")
            .with_description("Pushes of metrics to the collector, by outcome (ok, failed)")
            .with_callback(move |observer| {
                observer.observe(self.0.ok.load(Ordering::Relaxed), &[KeyValue::new("outcome", "ok")]);
                observer
                    .observe(self.0.failed.load(Ordering::Relaxed), &[KeyValue::new("outcome", "failed")]);
            })
            .build();
    }
}

/// Watches the exports of `inner`, which go to `endpoint`.
pub(super) fn watch<E>(inner: E, endpoint: String) -> (Watched<E>, ExportCounts) {
    let counts = ExportCounts::default();
    let watched = Watched { inner, endpoint, away: AtomicBool::new(false), counts: counts.clone() };
    (watched, counts)
}

/// See [`watch`].
#[derive(Debug)]
pub(super) struct Watched<E> {
    inner: E,
    endpoint: String,
    away: AtomicBool,
    counts: ExportCounts,
}

impl<E: PushMetricExporter> PushMetricExporter for Watched<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.inner.export(metrics).await;
        let counter = match result {
            Ok(()) => &self.counts.0.ok,
            Err(_) => &self.counts.0.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let was_away = self.away.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !was_away => {
                tracing::warn!(endpoint = %self.endpoint, %error, "telemetry cannot be pushed; trying on");
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
