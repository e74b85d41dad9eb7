//! Metrics, traces and logs: recorded once, scraped by Prometheus and pushed by OTLP.
//!
//! ```text
//!   instruments ──> SdkMeterProvider ──> Prometheus reader ──> /metrics (pulled, always)
//!                         └────────────> periodic reader ────> OTLP     (pushed, when an endpoint is set)
//!   spans ──┬─────> SdkTracerProvider ─> batch processor ────> OTLP     (when an endpoint is set)
//!           └─ trace id
//!   log lines ────> stderr
//! ```
//!
//! A metric has the same name on both paths. Inside OpenTelemetry, counters have no `_total` suffix and instruments
//! have no unit, because both exporters append them to the name ([`Instruments`] ensures this). Without an endpoint
//! there is no push reader, no tracer and no thread. Pushes use an HTTP client that the caller passes in. Start
//! telemetry before the Tokio runtime, and call [`Telemetry::flush`] as the last step of the process.

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
use opentelemetry::{KeyValue, metrics::MeterProvider as _, trace::TracerProvider as _};
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
pub use logs::{LogFormat, check_log_filter};
pub use metric::Metric;
pub use trace::{Trace, Tracing, traceparent};

use crate::{
    choice,
    config::{Allowed, HttpUrl, Invalid, Misfit},
    shutdown::Shutdown,
    time,
};

/// The time limit of the last export.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

time!(
    /// The time between two pushes of metrics.
    pub ExportIntervalMs = 100 ms to 10 m in milliseconds
);
time!(
    /// The time limit of one push.
    pub ExportTimeoutMs = 100 ms to 10 m in milliseconds
);
time!(
    /// The service level objective: a response within this time is good.
    pub SloMs = 1 ms to 60 s in milliseconds
);
choice! {
    /// The OTLP protocol; only one is supported.
    pub enum Protocol {
        /// OTLP over HTTP, as protobuf.
        HttpProtobuf = "http/protobuf",
    }
}

/// The settings of telemetry.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Telemetry")]
pub struct Config {
    /// Push metrics and traces by OTLP over HTTP (protobuf) to this base URL; unset: nothing is pushed
    #[arg(long = "otlp-endpoint", env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = HttpUrl::ALLOWED)]
    pub endpoint: Option<HttpUrl>,
    /// The protocol of the pushes (a collector receives it on port 4318)
    #[arg(long = "otlp-protocol", env = "OTEL_EXPORTER_OTLP_PROTOCOL", default_value = "http/protobuf",
          value_name = Protocol::ALLOWED)]
    pub protocol: Protocol,
    /// The time limit of one push, with its retries
    #[arg(long = "otlp-timeout-ms", env = "OTEL_EXPORTER_OTLP_TIMEOUT", default_value = "10000",
          value_name = ExportTimeoutMs::ALLOWED)]
    pub timeout_ms: ExportTimeoutMs,
    /// Time between two pushes
    #[arg(long = "export-interval-ms", env = "OTEL_METRIC_EXPORT_INTERVAL", default_value = "2000",
          value_name = ExportIntervalMs::ALLOWED)]
    pub export_interval_ms: ExportIntervalMs,
    /// Record no metrics and no traces (to measure the overhead of telemetry)
    #[arg(
        long = "telemetry-disabled",
        env = "OTEL_SDK_DISABLED",
        default_value = "false",
        value_name = "true or false"
    )]
    pub disabled: bool,
    /// The format of the log lines on stderr
    #[arg(long = "log-format", env = "LOG_FORMAT", default_value = "text", value_name = LogFormat::ALLOWED)]
    pub log_format: LogFormat,
    /// The service level objective: every histogram has a bucket boundary there
    #[arg(long = "slo-ms", env = "LAB_SLO_MS", default_value = "1500",
          value_name = SloMs::ALLOWED)]
    pub slo_ms: SloMs,
    /// The service name of this process, unless the environment sets one.
    #[arg(skip = logs::SCOPE)]
    pub service_name: &'static str,
    /// Whether processes of this kind run beside each other: then each names itself as an instance, because two that
    /// push under one name would overwrite each other's series.
    #[arg(skip)]
    pub is_replica: bool,
}

/// The metric and trace providers. Clones share them.
#[derive(Debug, Clone)]
pub struct Telemetry {
    meters: SdkMeterProvider,
    tracers: Option<SdkTracerProvider>,
    registry: prometheus::Registry,
    slo_ms: u64,
    process: Instruments,
    stop: Arc<OnceLock<Shutdown>>,
}

/// The result of the last export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// All data was exported, or no collector is configured.
    Whole,
    /// The time limit was reached.
    InPart,
    /// A second signal arrived.
    Skipped,
}

impl Telemetry {
    /// Builds the providers. If there is an endpoint, `http` creates an HTTP client for the metrics and one for the
    /// traces; its argument is the time limit of a push. The client's futures run on threads without a Tokio runtime.
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
        let resource = resource(config);
        let (mut meters, registry) = scraped()?;
        meters = meters.with_resource(resource.clone());
        let Some(base) = &config.endpoint else {
            return Ok(Self::of(meters, None, registry, slo_ms));
        };
        let Push { url, timeout } = Push::of(&METRICS, base, config.timeout_ms)?;
        let results = export::PushResults::default();
        let metrics = opentelemetry_otlp::MetricExporter::builder()
            .with_http()
            .with_http_client(results.with_reasons(http(&url, timeout)?))
            .with_endpoint(url.to_string())
            .with_timeout(timeout)
            .build()
            .context("building the OTLP metrics exporter")?;
        let metrics = results.counted(metrics, url.to_string());
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
        results.observe(&telemetry.process);
        Ok(telemetry)
    }

    /// Metrics for [`render`](Self::render) only, without pushes and traces.
    ///
    /// # Errors
    /// When the reader cannot be built.
    pub fn scraped(slo_ms: u64) -> anyhow::Result<Self> {
        let (meters, registry) = scraped()?;
        Ok(Self::of(meters, None, registry, slo_ms))
    }

    fn of(
        meters: MeterProviderBuilder,
        tracers: Option<SdkTracerProvider>,
        registry: prometheus::Registry,
        slo_ms: u64,
    ) -> Self {
        let meters = meters.build();
        let process = Instruments::new(meters.meter(logs::SCOPE)).with_edge_ms(slo_ms);
        process::observe(&process);
        Self { meters, tracers, registry, slo_ms, process, stop: Arc::default() }
    }

    /// The service level objective: a response within this time is good.
    pub fn slo(&self) -> Duration {
        Duration::from_millis(self.slo_ms)
    }

    /// Instruments for one system, with their own catalogue.
    pub fn instruments(&self) -> Instruments {
        Instruments::new(self.meters.meter(logs::SCOPE)).with_edge_ms(self.slo_ms)
    }

    /// Instruments for what belongs to no system: the process, its runtime, its pushes, its server.
    pub fn process_instruments(&self) -> &Instruments {
        &self.process
    }

    /// With which rooms start their spans.
    pub fn tracing(&self) -> Tracing {
        Tracing { exported: self.tracers.is_some() }
    }

    /// Sends log lines to stderr, and spans to the exporter if there is one. Only the first call in a process has an
    /// effect.
    pub fn init_logs(&self, config: &Config) {
        logs::init(config.log_format, self.tracers.as_ref().map(|tracers| tracers.tracer(logs::SCOPE)));
    }

    /// Adds the metrics of the current Tokio runtime: tasks, queue depth, busy share.
    pub fn observe_runtime(&self) {
        process::observe_runtime(&self.process, tokio::runtime::Handle::current());
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

    /// Limits [`flush`](Self::flush) to this shutdown's drain deadline and its second signal.
    pub fn stops_with(&self, shutdown: &Shutdown) {
        // A process has only one shutdown.
        let _ = self.stop.set(shutdown.clone());
    }

    /// Exports the remaining metrics and traces concurrently: until the drain deadline, for at most five seconds,
    /// and not after a second signal. Call it last.
    pub async fn flush(&self) -> Flushed {
        let deadline = self.stop.get().and_then(Shutdown::drain_deadline);
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let limit = left.unwrap_or(FLUSH_LIMIT).min(FLUSH_LIMIT);
        let aborted = self.stop.get().map(|stop| stop.aborted().clone()).unwrap_or_default();
        let (meters, tracers) = (self.meters.clone(), self.tracers.clone());
        // The SDK's own time limits are longer, and not all of them can be configured.
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

/// Adds the metrics of a process that pushes: the process, the current Tokio runtime, and the pushes.
pub fn observe_process(instruments: &Instruments) {
    process::observe(instruments);
    process::observe_runtime(instruments, tokio::runtime::Handle::current());
    export::PushResults::default().observe(instruments);
}

/// A provider with a Prometheus registry.
fn scraped() -> anyhow::Result<(MeterProviderBuilder, prometheus::Registry)> {
    let registry = prometheus::Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()
        .context("building the Prometheus reader")?;
    Ok((SdkMeterProvider::builder().with_reader(exporter), registry))
}

fn resource(config: &Config) -> Resource {
    let attributes = std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let builder = Resource::builder();
    let named = std::env::var_os("OTEL_SERVICE_NAME").is_some() || attributes.contains("service.name=");
    let builder = if named { builder } else { builder.with_service_name(config.service_name) };
    let builder = match config.is_replica && !attributes.contains("service.instance.id=") {
        true => builder.with_attribute(KeyValue::new("service.instance.id", instance_name())),
        false => builder,
    };
    builder.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build()
}

/// What this process is called among others of its kind: this machine's name, and its number.
pub fn instance_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = Some(host.trim()).filter(|host| !host.is_empty()).unwrap_or("process");
    format!("{host}:{}", std::process::id())
}

/// Metrics or traces: the OTLP path, and the variables that override the common ones.
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

/// The URL and the time limit of one signal's pushes.
struct Push {
    url: HttpUrl,
    timeout: Duration,
}

impl Push {
    /// From the signal's own variables if they are set (the URL is then used unchanged), and from the common settings
    /// otherwise.
    fn of(signal: &Signal, base: &HttpUrl, timeout_ms: ExportTimeoutMs) -> Result<Self, Misfit> {
        let url = match variable(signal.endpoint)? {
            Some(url) => url,
            None => base
                .below(signal.path)
                .map_err(|invalid| Misfit { variable: "OTEL_EXPORTER_OTLP_ENDPOINT", invalid })?,
        };
        let timeout_ms = variable(signal.timeout)?.unwrap_or(timeout_ms);
        Ok(Self { url, timeout: timeout_ms.get() })
    }
}

/// Reads a standard OpenTelemetry variable that has no flag; an empty one counts as unset.
fn variable<T: std::str::FromStr<Err = Invalid>>(name: &'static str) -> Result<Option<T>, Misfit> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.parse().map(Some).map_err(|invalid| Misfit { variable: name, invalid })
        }
        _ => Ok(None),
    }
}
