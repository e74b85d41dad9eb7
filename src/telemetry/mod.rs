//! Everything that is measured leaves the process here: recorded once, pulled and pushed.
//!
//! ```text
//!   instruments ──> SdkMeterProvider ──> Prometheus reader ──> /metrics (pulled, always)
//!                         └────────────> periodic reader ────> OTLP     (pushed, when an endpoint is set)
//!   spans ──┬─────> SdkTracerProvider ─> batch processor ────> OTLP     (when an endpoint is set)
//!           └─ trace id
//!   log lines ────> stderr
//! ```
//!
//! Names are those that Prometheus shows, on both ways. Counters are named without `_total`, which
//! both translators add; no instrument has a unit, which both would append ([`Instruments`]
//! ensures both). Without an endpoint there is no push reader, no tracer and no thread. Pushes go through an
//! HTTP client that the caller hands in. Start telemetry before the Tokio runtime and end it after the runtime,
//! as the last thing: [`Telemetry::flush`].

mod alloc;
mod buckets;
mod export;
mod instruments;
mod logs;
mod metric;
mod process;
mod trace;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context as _;
use opentelemetry::{metrics::MeterProvider as _, trace::TracerProvider as _};
use opentelemetry_http::HttpClient;
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    metrics::{MeterProviderBuilder, PeriodicReader, SdkMeterProvider},
    trace::SdkTracerProvider,
};
use tokio::time::Instant;

pub use buckets::Buckets;
pub use instruments::{
    Counter, CounterBy, Described, Durations, DurationsBy, Instruments, Kind, Number, Observed, UpDownCounter,
};
pub use logs::LogFormat;
pub use metric::Metric;
pub use trace::{Trace, Tracing};

use crate::{
    choice,
    config::{Allowed, HttpUrl, Invalid, Misfit},
    shutdown::Shutdown,
    time,
};

/// How long the last export may take.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

time!(
    /// Time between two pushes of metrics.
    pub ExportIntervalMs = 100 ms to 10 m in milliseconds
);
time!(
    /// How long one push may take.
    pub ExportTimeoutMs = 100 ms to 10 m in milliseconds
);
time!(
    /// The service level objective: an answer within it is good.
    pub SloMs = 1 ms to 60 s in milliseconds
);
choice! {
    /// The protocol spoken to an OTLP receiver; there is one.
    pub enum Protocol {
        /// OTLP over HTTP, as protobuf.
        HttpProtobuf = "http/protobuf",
    }
}

/// Where telemetry goes.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Telemetry")]
pub struct Config {
    /// Push metrics and traces by OTLP over HTTP (protobuf) to this base URL; unset: nothing is pushed
    #[arg(long = "otlp-endpoint", env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = HttpUrl::ALLOWED)]
    pub endpoint: Option<HttpUrl>,
    /// The protocol of those pushes (port 4318 of a collector)
    #[arg(long = "otlp-protocol", env = "OTEL_EXPORTER_OTLP_PROTOCOL", default_value = "http/protobuf",
          value_name = Protocol::ALLOWED)]
    pub protocol: Protocol,
    /// How long one attempt at a push may take; a failed one is tried again within this time
    #[arg(long = "otlp-timeout-ms", env = "OTEL_EXPORTER_OTLP_TIMEOUT", default_value = "10000",
          value_name = ExportTimeoutMs::ALLOWED)]
    pub timeout_ms: ExportTimeoutMs,
    /// Time between two pushes
    #[arg(long = "export-interval-ms", env = "OTEL_METRIC_EXPORT_INTERVAL", default_value = "2000",
          value_name = ExportIntervalMs::ALLOWED)]
    pub export_interval_ms: ExportIntervalMs,
    /// Record nothing: no metrics, no traces (to measure what telemetry costs)
    #[arg(
        long = "telemetry-disabled",
        env = "OTEL_SDK_DISABLED",
        default_value = "false",
        value_name = "true or false"
    )]
    pub disabled: bool,
    /// How log lines on stderr look
    #[arg(long = "log-format", env = "LOG_FORMAT", default_value = "text", value_name = LogFormat::ALLOWED)]
    pub log_format: LogFormat,
    /// The service level objective: the histograms have an edge there
    #[arg(long = "slo-ms", env = "LAB_SLO_MS", default_value = "1500",
          value_name = SloMs::ALLOWED)]
    pub slo_ms: SloMs,
    /// The name of this process among others, unless the environment names it.
    #[arg(skip = logs::SCOPE)]
    pub service_name: &'static str,
}

/// The providers. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Telemetry {
    meters: SdkMeterProvider,
    tracers: Option<SdkTracerProvider>,
    registry: prometheus::Registry,
    slo_ms: u64,
    house: Instruments,
    stop: Arc<OnceLock<Shutdown>>,
}

/// The result of the last export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Everything was exported, or there is no collector.
    Whole,
    /// The time ran out.
    InPart,
    /// A second signal came.
    Skipped,
}

impl Telemetry {
    /// Builds the providers. `http` makes the client of one signal's pushes, each within a time; it is called
    /// only when there is an endpoint. Its futures are driven by threads without a Tokio runtime.
    ///
    /// # Errors
    /// When an exporter cannot be built.
    pub fn start<H: HttpClient + 'static>(
        config: &Config,
        http: impl Fn(&HttpUrl, Duration) -> anyhow::Result<H>,
    ) -> anyhow::Result<Self> {
        let slo_ms = config.slo_ms.ms();
        if config.disabled {
            return Ok(Self::of(SdkMeterProvider::builder(), None, prometheus::Registry::new(), slo_ms));
        }
        let resource = resource(config.service_name);
        let (mut meters, registry) = pulled()?;
        meters = meters.with_resource(resource.clone());
        let Some(base) = &config.endpoint else {
            return Ok(Self::of(meters, None, registry, slo_ms));
        };
        let Push { url, timeout } = Push::of(&METRICS, base, config.timeout_ms)?;
        let watch = export::Watch::default();
        let metrics = opentelemetry_otlp::MetricExporter::builder()
            .with_http()
            .with_http_client(watch.reasons(http(&url, timeout)?))
            .with_endpoint(url.to_string())
            .with_timeout(timeout)
            .build()
            .context("building the OTLP metrics exporter")?;
        let metrics = watch.exports(metrics, url.to_string());
        let interval = config.export_interval_ms.get();
        meters = meters.with_reader(PeriodicReader::builder(metrics).with_interval(interval).build());
        let Push { url, timeout } = Push::of(&TRACES, base, config.timeout_ms)?;
        let spans = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(http(&url, timeout)?)
            .with_endpoint(url.to_string())
            .with_timeout(timeout)
            .build()
            .context("building the OTLP trace exporter")?;
        let tracers = SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(spans).build();
        let telemetry = Self::of(meters, Some(tracers), registry, slo_ms);
        watch.observe(&telemetry.house);
        Ok(telemetry)
    }

    /// Metrics that only [`render`](Self::render) shows: nothing is pushed and nothing traced.
    ///
    /// # Errors
    /// When the reader cannot be built.
    pub fn scraped(slo_ms: u64) -> anyhow::Result<Self> {
        let (meters, registry) = pulled()?;
        Ok(Self::of(meters, None, registry, slo_ms))
    }

    fn of(
        meters: MeterProviderBuilder,
        tracers: Option<SdkTracerProvider>,
        registry: prometheus::Registry,
        slo_ms: u64,
    ) -> Self {
        let meters = meters.build();
        let house = Instruments::new(meters.meter(logs::SCOPE)).with_edge_ms(slo_ms);
        process::observe(&house);
        Self { meters, tracers, registry, slo_ms, house, stop: Arc::default() }
    }

    /// An answer within this is good.
    pub fn slo(&self) -> Duration {
        Duration::from_millis(self.slo_ms)
    }

    /// The kit for one system's instruments, with a catalogue of its own.
    pub fn instruments(&self) -> Instruments {
        Instruments::new(self.meters.meter(logs::SCOPE)).with_edge_ms(self.slo_ms)
    }

    /// The kit for what belongs to no system: the process, its runtime, its pushes, its server.
    pub fn house(&self) -> &Instruments {
        &self.house
    }

    /// How rooms begin their spans.
    pub fn tracing(&self) -> Tracing {
        Tracing { exported: self.tracers.is_some() }
    }

    /// Sends log lines to stderr, and spans to the exporter if there is one. Once for a process; later calls
    /// change nothing.
    pub fn init_logs(&self, config: &Config) {
        logs::init(config.log_format, self.tracers.as_ref().map(|tracers| tracers.tracer(logs::SCOPE)));
    }

    /// Observes the runtime it is called in: tasks, queue depth, busy share.
    pub fn observe_runtime(&self) {
        process::observe_runtime(&self.house, tokio::runtime::Handle::current());
    }

    /// All metrics in Prometheus' text format.
    ///
    /// # Errors
    /// When a metric cannot be encoded.
    pub fn render(&self) -> anyhow::Result<String> {
        prometheus::TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .context("encoding the metrics")
    }

    /// Has [`flush`](Self::flush) end with this stop.
    pub fn stops_with(&self, shutdown: &Shutdown) {
        // A process has one.
        let _ = self.stop.set(shutdown.clone());
    }

    /// Exports what is left, both signals side by side: within what is left of the stop's drain, for at most
    /// five seconds, and not after a second signal. The last thing a process does.
    pub async fn flush(&self) -> Flushed {
        let deadline = self.stop.get().and_then(Shutdown::drain_deadline);
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let limit = left.unwrap_or(FLUSH_LIMIT).min(FLUSH_LIMIT);
        let aborted = self.stop.get().map(|stop| stop.aborted().clone()).unwrap_or_default();
        let (meters, tracers) = (self.meters.clone(), self.tracers.clone());
        // The SDK's own limits are longer, and not all of them can be set.
        let flushing = tokio::time::timeout(limit, async {
            let metrics = tokio::task::spawn_blocking(move || meters.shutdown());
            let traces = tokio::task::spawn_blocking(move || tracers.map(|tracers| tracers.shutdown()));
            // Failed pushes are counted and logged by the exporter.
            let _ = tokio::join!(metrics, traces);
        });
        match aborted.run_until_cancelled(flushing).await {
            Some(Ok(())) => Flushed::Whole,
            Some(Err(_)) => {
                tracing::warn!("the last metrics and traces were not pushed within {} ms", limit.as_millis());
                Flushed::InPart
            }
            None => Flushed::Skipped,
        }
    }
}

/// Observes what a process shows that pushes its metrics: itself, the runtime this is called in, the pushes.
pub fn observe_process(instruments: &Instruments) {
    process::observe(instruments);
    process::observe_runtime(instruments, tokio::runtime::Handle::current());
    export::Watch::default().observe(instruments);
}

/// A provider whose metrics are pulled from the registry.
fn pulled() -> anyhow::Result<(MeterProviderBuilder, prometheus::Registry)> {
    let registry = prometheus::Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()
        .context("building the Prometheus reader")?;
    Ok((SdkMeterProvider::builder().with_reader(exporter), registry))
}

fn resource(name: &'static str) -> Resource {
    let builder = Resource::builder();
    let named = std::env::var_os("OTEL_SERVICE_NAME").is_some()
        || std::env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|text| text.contains("service.name="));
    let builder = if named { builder } else { builder.with_service_name(name) };
    builder.with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build()
}

/// A kind of telemetry with the variables that are its own.
struct Signal {
    path: &'static str,
    endpoint: &'static str,
    timeout: &'static str,
}

const METRICS: Signal = Signal {
    path: "/v1/metrics",
    endpoint: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    timeout: "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
};
const TRACES: Signal = Signal {
    path: "/v1/traces",
    endpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    timeout: "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
};

/// Where one signal is pushed, and how long a push may take.
struct Push {
    url: HttpUrl,
    timeout: Duration,
}

impl Push {
    /// The signal's own variables where they are set (the URL as it stands), else what all signals have.
    fn of(signal: &Signal, base: &HttpUrl, timeout_ms: ExportTimeoutMs) -> Result<Self, Misfit> {
        let url = match own(signal.endpoint)? {
            Some(url) => url,
            None => base
                .below(signal.path)
                .map_err(|invalid| Misfit { variable: "OTEL_EXPORTER_OTLP_ENDPOINT", invalid })?,
        };
        let timeout_ms = own(signal.timeout)?.unwrap_or(timeout_ms);
        Ok(Self { url, timeout: timeout_ms.get() })
    }
}

/// The value of a variable that is no setting of the program's own; an empty one counts as unset.
fn own<T: std::str::FromStr<Err = Invalid>>(variable: &'static str) -> Result<Option<T>, Misfit> {
    match std::env::var(variable) {
        Ok(text) if !text.is_empty() => {
            text.parse().map(Some).map_err(|invalid| Misfit { variable, invalid })
        }
        _ => Ok(None),
    }
}
