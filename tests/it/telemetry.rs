//! Both ways out of the telemetry room: names and labels as Prometheus shows them, against a real
//! OTLP receiver.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post, serve::Listener};
use lab::{
    shutdown::Shutdown,
    telemetry::{Flushed, Telemetry},
};
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::metric::Data,
    trace::v1::Span,
};
use prost::Message as _;
use rustix::process::Signal;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::{
    goldens,
    support::{PATIENCE, Server, get, send, serve_args},
};

/// What `lab` shows, as the list of goldens has it.
fn expected() -> BTreeMap<String, BTreeSet<String>> {
    let of_lab = goldens::metrics().iter().filter(|metric| metric.commands.iter().any(|of| of == "lab"));
    of_lab.map(|metric| (metric.name.clone(), metric.labels.clone())).collect()
}

/// A receiver of OTLP over HTTP.
#[derive(Clone, Default)]
struct Receiver {
    received: Arc<Mutex<Received>>,
    more: Arc<Notify>,
}

#[derive(Default)]
struct Received {
    metrics: Option<ExportMetricsServiceRequest>,
    metric_pushes: usize,
    spans: Vec<Span>,
}

impl Receiver {
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        (Self::at(listener), url)
    }

    fn at(listener: impl Listener<Addr: std::fmt::Debug>) -> Self {
        let receiver = Self::default();
        let router = Router::new()
            .route("/v1/metrics", post(metrics))
            .route("/v1/traces", post(traces))
            .with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    /// Waits until what has been received satisfies `done`.
    async fn until<T>(&self, done: impl Fn(&Received) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let more = self.more.notified();
                if let Some(found) = done(&self.received.lock().expect("no panic")) {
                    return found;
                }
                more.await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("in time")
    }
}

/// Takes connections over TLS.
pub(crate) struct Encrypted(pub(crate) TcpListener, pub(crate) TlsAcceptor);

impl Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, addr) = self.0.accept().await.expect("a connection");
            // One who does not trust this server goes.
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, addr);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

async fn metrics(State(receiver): State<Receiver>, body: Bytes) -> StatusCode {
    let request = ExportMetricsServiceRequest::decode(body).expect("OTLP");
    {
        let mut received = receiver.received.lock().expect("no panic");
        received.metrics = Some(request);
        received.metric_pushes += 1;
    }
    receiver.more.notify_waiters();
    StatusCode::OK
}

async fn traces(State(receiver): State<Receiver>, body: Bytes) -> StatusCode {
    let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
    let spans = request
        .resource_spans
        .into_iter()
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans);
    receiver.received.lock().expect("no panic").spans.extend(spans);
    receiver.more.notify_waiters();
    StatusCode::OK
}

fn labels(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes
        .iter()
        .map(|pair| {
            let value = match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
                Some(Value::StringValue(text)) => text.clone(),
                Some(Value::IntValue(number)) => number.to_string(),
                other => panic!("{other:?}"),
            };
            (pair.key.clone(), value)
        })
        .collect()
}

pub(crate) type Series = BTreeMap<(String, BTreeMap<String, String>), f64>;

/// What the Collector's translation makes of a push: counters gain `_total`, a unit would be
/// appended, a histogram is counted.
fn translated(request: &ExportMetricsServiceRequest) -> Series {
    let mut series = Series::new();
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    for metric in scopes.flat_map(|scope| &scope.metrics) {
        assert_eq!(metric.unit, "", "{}: a unit would be appended to the name", metric.name);
        let number =
            |value: &Option<opentelemetry_proto::tonic::metrics::v1::number_data_point::Value>| match value {
                Some(opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsDouble(number)) => {
                    *number
                }
                Some(opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsInt(number)) => {
                    *number as f64
                }
                None => f64::NAN,
            };
        match metric.data.as_ref().expect("data") {
            Data::Sum(sum) => {
                assert_eq!(sum.aggregation_temporality, 2, "{}: cumulative", metric.name);
                let suffix = if sum.is_monotonic { "_total" } else { "" };
                for point in &sum.data_points {
                    series.insert(
                        (format!("{}{suffix}", metric.name), labels(&point.attributes)),
                        number(&point.value),
                    );
                }
            }
            Data::Gauge(gauge) => {
                for point in &gauge.data_points {
                    series.insert((metric.name.clone(), labels(&point.attributes)), number(&point.value));
                }
            }
            Data::Histogram(histogram) => {
                for point in &histogram.data_points {
                    assert!(point.explicit_bounds.contains(&1500.0), "an edge at the SLO");
                    series.insert((metric.name.clone(), labels(&point.attributes)), point.count as f64);
                }
            }
            other => panic!("{}: {other:?}", metric.name),
        }
    }
    series
}

/// The same from an exposition.
pub(crate) fn scraped(text: &str) -> Series {
    let mut series = Series::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = match name.split_once('{') {
            Some((name, labels)) => (name, labels.trim_end_matches('}')),
            None => (name, ""),
        };
        if name.ends_with("_bucket") || name.ends_with("_sum") || name == "target_info" {
            continue;
        }
        let labels = labels
            .split(',')
            .filter_map(|label| label.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned()))
            .collect();
        let name = name.strip_suffix("_count").unwrap_or(name);
        series.insert((name.to_owned(), labels), value.parse().expect("a number"));
    }
    series
}

pub(crate) fn names(series: &Series) -> BTreeMap<String, BTreeSet<String>> {
    let mut names = BTreeMap::<String, BTreeSet<String>>::new();
    for (name, labels) in series.keys() {
        names.entry(name.clone()).or_default().extend(labels.keys().cloned());
    }
    names
}

#[tokio::test]
async fn both_paths_show_the_same_names_labels_and_counts() {
    let (receiver, url) = Receiver::start().await;
    let server = Server::start(
        &[],
        &[
            ("SERVICE_A_LATENCY", "constant:1"),
            ("SERVICE_B_LATENCY", "constant:2"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
            ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
        ],
    );
    // Series exist before the first request, and start at 0.
    let first = scraped(&get(server.addr, "/metrics").await.body);
    let zero = |name: &str, labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(first.get(&(name.to_owned(), labels)), Some(&0.0), "{name}");
    };
    for endpoint in ["/sync", "/async", "/async-limited", "/async-timeout"] {
        for status in ["200", "400", "499", "502", "503", "504"] {
            zero("http_requests_total", &[("endpoint", endpoint), ("method", "GET"), ("status", status)]);
        }
        for reason in ["limit_wait", "safety_stop"] {
            zero("http_shed_total", &[("endpoint", endpoint), ("reason", reason)]);
        }
        zero("http_request_duration_ms", &[("endpoint", endpoint), ("outcome", "ok")]);
        zero("http_inflight", &[("endpoint", endpoint)]);
        for service in ["A", "B"] {
            zero("service_orphaned_total", &[("endpoint", endpoint), ("service", service)]);
        }
    }
    for service in ["A", "B"] {
        zero("service_errors_total", &[("service", service)]);
        for outcome in ["ok", "cancelled"] {
            zero("service_duration_ms", &[("outcome", outcome), ("service", service)]);
        }
    }
    zero("serviceB_semaphore_wait_ms", &[("outcome", "acquired")]);
    // Of outcomes that a counter counts there is no series before they come.
    assert!(!first.keys().any(|(name, labels)| {
        name == "http_request_duration_ms" && labels["outcome"] != "ok"
            || name == "service_duration_ms" && labels["outcome"] == "error"
    }));

    for path in ["/sync", "/async", "/async-limited", "/async-timeout"] {
        for _ in 0..25 {
            get(server.addr, path).await;
        }
    }
    get(server.addr, "/healthz").await;
    crate::goldens::handle_a_task(&server, "/queue").await;
    let requests = |series: &Series| -> f64 {
        series.iter().filter(|((name, _), _)| name == "http_requests_total").map(|(_, count)| count).sum()
    };
    let pushed = receiver
        .until(|received| {
            let series = translated(received.metrics.as_ref()?);
            (requests(&series) == 100.0).then_some(series)
        })
        .await;
    let shown = scraped(&get(server.addr, "/metrics").await.body);
    assert_eq!(names(&shown), expected());
    assert_eq!(names(&pushed), expected());
    for (key, count) in &shown {
        if key.0.starts_with("http_request") || key.0.starts_with("service_") {
            assert_eq!(pushed.get(key), Some(count), "{key:?}");
        }
    }
}

#[tokio::test]
async fn the_metrics_of_an_idle_server_are_small() {
    let server = Server::start(&[], &[]);
    let shown = get(server.addr, "/metrics").await.body;
    assert!(shown.len() < 200_000, "{} bytes", shown.len());
}

#[test]
fn only_the_telemetry_room_creates_instruments() {
    let rust = |path: &&String| path.starts_with("src/") && path.ends_with(".rs");
    let outside =
        crate::house::files().iter().filter(rust).filter(|path| !path.starts_with("src/telemetry/"));
    let named = outside.filter(|path| {
        let text = crate::house::read(path);
        text.contains("opentelemetry::metrics") || text.contains("opentelemetry_sdk::metrics")
    });
    assert_eq!(named.collect::<Vec<_>>(), Vec::<&String>::new());
}

#[tokio::test]
async fn a_request_is_a_span_with_a_child_per_call_and_the_last_export_comes_at_the_end() {
    let (receiver, url) = Receiver::start().await;
    let server = Server::start(
        &["serve"],
        &[
            ("SERVICE_A_LATENCY", "constant:1"),
            ("SERVICE_B_LATENCY", "constant:2"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
            ("OTEL_METRIC_EXPORT_INTERVAL", "600000"),
            ("LAB_UNREADY_MS", "0"),
        ],
    );
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let head = format!("GET /async\ntraceparent: 00-{trace}-b7ad6b7169203331-01");
    assert_eq!(send(server.addr, &head, "").await.status, 200);
    // The caller said: not sampled.
    let head = "GET /sync\ntraceparent: 00-11111111111111111111111111111111-b7ad6b7169203331-00";
    assert_eq!(send(server.addr, head, "").await.status, 200);
    server.signal(Signal::TERM);
    let (status, rest) = tokio::task::spawn_blocking(|| server.wait()).await.expect("no panic");
    assert_eq!(status.code(), Some(0), "{rest}");

    let received = receiver.received.lock().expect("no panic");
    let series = translated(received.metrics.as_ref().expect("flushed at the end"));
    assert_eq!(received.metric_pushes, 1, "the interval never came");
    let counted: f64 =
        series.iter().filter(|((name, _), _)| name == "http_requests_total").map(|(_, count)| count).sum();
    assert_eq!(counted, 2.0);
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(received.spans.len(), 3, "unsampled requests export nothing");
    assert!(received.spans.iter().all(|span| hex(&span.trace_id) == trace));
    let request = received.spans.iter().find(|span| span.name == "GET /async").expect("the request");
    assert_eq!(hex(&request.parent_span_id), "b7ad6b7169203331");
    assert_eq!(labels(&request.attributes)["http.response.status_code"], "200");
    for call in ["service A", "service B"] {
        let span = received.spans.iter().find(|span| span.name == call).expect(call);
        assert_eq!(span.parent_span_id, request.span_id, "{call}");
    }
}

#[tokio::test]
async fn a_log_line_inside_a_request_carries_its_trace_id_when_there_is_a_trace() {
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let (receiver, url) = Receiver::start().await;
    for environment in [vec![], vec![("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str())]] {
        let exported = !environment.is_empty();
        let mut server = Server::start(&["serve"], &environment);
        let change = "PATCH /settings\ncontent-type: application/json";
        let traced = format!("{change}\ntraceparent: 00-{trace}-b7ad6b7169203331-01");
        assert_eq!(send(server.addr, &traced, r#"{"async_limit":7}"#).await.status, 200);
        let line = server.line_with("settings changed");
        assert!(line.contains(&format!("trace_id={trace}")), "{line}");
        // Without a caller's trace there is one of its own where spans are exported, and none elsewhere.
        assert_eq!(send(server.addr, change, r#"{"async_limit":8}"#).await.status, 200);
        let line = server.line_with("settings changed");
        assert!(!line.contains(trace), "{line}");
        assert_eq!(line.contains("trace_id="), exported, "{line}");
        server.signal(Signal::TERM);
        let (status, rest) = tokio::task::spawn_blocking(|| server.wait()).await.expect("no panic");
        assert_eq!(status.code(), Some(0), "{rest}");
    }
    let received = receiver.received.lock().expect("no panic");
    let patches = received.spans.iter().filter(|span| span.name == "PATCH /settings");
    assert_eq!(patches.count(), 2, "{:?}", received.spans);
}

#[tokio::test]
async fn telemetry_is_pushed_over_tls_to_a_trusted_collector() {
    let (acceptor, pem) = crate::load::certificate();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
    let receiver = Receiver::at(Encrypted(listener, acceptor));
    let directory = tempfile::tempdir().expect("a directory");
    let trusted = directory.path().join("trusted.pem");
    std::fs::write(&trusted, pem).expect("written");
    let environment = [
        ("SERVICE_A_LATENCY", "constant:1"),
        ("SERVICE_B_LATENCY", "constant:2"),
        ("SERVICE_B_ERROR_RATE", "0"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
        ("LAB_UNREADY_MS", "0"),
        ("SSL_CERT_FILE", trusted.to_str().expect("text")),
    ];
    let server = Server::start(&["serve"], &environment);
    let head = "GET /sync\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    send(server.addr, head, "").await;
    receiver.until(|received| (received.metric_pushes > 1).then_some(())).await;
    server.signal(Signal::TERM);
    let (status, log) = tokio::task::spawn_blocking(|| server.wait()).await.expect("no panic");
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(
        receiver.received.lock().expect("no panic").spans.len(),
        3,
        "the last export, after the runtime"
    );

    // A stranger's one push, at the end.
    std::fs::write(&trusted, crate::load::certificate().1).expect("written");
    let server =
        Server::start(&["serve"], &[&environment[..], &[("OTEL_METRIC_EXPORT_INTERVAL", "600000")]].concat());
    server.signal(Signal::TERM);
    let (_, log) = tokio::task::spawn_blocking(|| server.wait()).await.expect("no panic");
    assert!(
        log.contains("telemetry cannot be pushed") && log.contains("TLS failed: invalid peer certificate"),
        "{log}"
    );
    std::fs::write(&trusted, "").expect("written");
    let (code, _, err) = tokio::task::spawn_blocking(move || {
        let nobody = trusted.to_str().expect("text");
        let trust = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
            ("SSL_CERT_FILE", nobody),
            ("SSL_CERT_DIR", nobody),
        ];
        crate::support::run(&["serve"], &trust)
    })
    .await
    .expect("it runs");
    assert!(code == 1 && err.contains("SSL_CERT_FILE") && err.lines().count() == 1, "{err}");
}

/// A collector that takes pushes until it is told to go; then it hangs, or nothing listens there any more.
async fn leaving_collector(hangs: bool, leave: CancellationToken) -> String {
    let leaving = leave.clone();
    let take = async move |_: Bytes| {
        if leaving.is_cancelled() {
            std::future::pending::<()>().await;
        }
    };
    let router = Router::new().route("/v1/metrics", post(take));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let serving = axum::serve(listener, router);
        if hangs { serving.await } else { serving.with_graceful_shutdown(leave.cancelled_owned()).await }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_or_hanging_collector_costs_one_log_line_and_no_request() {
    for (hangs, reason) in [(false, "connection refused"), (true, "timed out after 2s")] {
        let leave = CancellationToken::new();
        let url = leaving_collector(hangs, leave.clone()).await;
        let server = Server::start(
            &["serve"],
            &[
                ("SERVICE_A_LATENCY", "constant:1"),
                ("SERVICE_B_LATENCY", "constant:2"),
                ("SERVICE_B_ERROR_RATE", "0"),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
                ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
            ],
        );
        leave.cancel();
        let log = with_collector_away(server).await;
        assert!(log.contains(reason), "{log}");
    }
}

/// Sees that a server whose collector is away serves and ends, and returns its log.
async fn with_collector_away(server: Server) -> String {
    crate::support::until(server.addr, "/metrics", |answer| {
        let failed = answer
            .body
            .lines()
            .find(|line| line.starts_with("telemetry_exports_total{outcome=\"failed\"}"))?;
        let failed: f64 = failed.rsplit(' ').next()?.parse().ok()?;
        (failed >= 3.0).then_some(())
    })
    .await;
    assert_eq!(get(server.addr, "/sync").await.status, 200);
    server.signal(Signal::TERM);
    let (status, log) = tokio::task::spawn_blocking(|| server.wait()).await.expect("no panic");
    assert_eq!(status.code(), Some(0));
    assert_eq!(log.matches("telemetry cannot be pushed").count(), 1, "{log}");
    assert!(!log.contains("ERROR"), "{log}");
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_push_ends_at_the_drain_deadline() {
    let leave = CancellationToken::new();
    let url = leaving_collector(true, leave.clone()).await;
    leave.cancel();
    let server = Server::start(
        &["serve"],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url), ("LAB_DRAIN_MS", "1000"), ("LAB_UNREADY_MS", "0")],
    );
    server.signal(Signal::TERM);
    let (_, log) = tokio::task::spawn_blocking(|| server.wait()).await.expect("no panic");
    let (_, told) = log
        .split_once("the last metrics and traces were not pushed within ")
        .unwrap_or_else(|| panic!("{log}"));
    let ms: u64 = told.split_once(" ms").expect("a unit").0.parse().expect("a number");
    assert!(ms <= 1_000, "{log}");
}

/// An exporter's client that says when it was asked, and never answers.
#[derive(Debug, Clone, Default)]
struct Hanging(Arc<tokio::sync::Notify>);

#[async_trait::async_trait]
impl opentelemetry_http::HttpClient for Hanging {
    async fn send_bytes(
        &self,
        _: axum::http::Request<Bytes>,
    ) -> Result<axum::http::Response<Bytes>, opentelemetry_http::HttpError> {
        self.0.notify_one();
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_skips_the_last_push() {
    let args = serve_args(&["--otlp-endpoint", "http://127.0.0.1:1"]);
    let client = Hanging::default();
    let telemetry = Telemetry::start(&args.telemetry, |_, _| Ok(client.clone())).expect("telemetry");
    let shutdown = Shutdown::new(None, Duration::ZERO);
    telemetry.stops_with(&shutdown);
    let flushing = tokio::spawn({
        let telemetry = telemetry.clone();
        async move { telemetry.flush().await }
    });
    client.0.notified().await;
    shutdown.abort();
    assert_eq!(flushing.await.expect("no panic"), Flushed::Skipped);
    assert_eq!(telemetry.flush().await, Flushed::Skipped, "and begins none");
}

#[tokio::test]
async fn without_an_endpoint_nothing_is_pushed_and_disabled_nothing_is_recorded() {
    let server = Server::start(
        &["serve"],
        &[("SERVICE_A_LATENCY", "constant:1"), ("SERVICE_B_LATENCY", "constant:1")],
    );
    let shown = scraped(&get(server.addr, "/metrics").await.body);
    assert!(!shown.keys().any(|(name, _)| name.starts_with("telemetry_exports")));
    let silent = Server::start(&["serve"], &[("OTEL_SDK_DISABLED", "true")]);
    assert_eq!(get(silent.addr, "/metrics").await.body, "");
}

#[tokio::test]
async fn the_load_generator_pushes_its_measurements() {
    let (receiver, url) = Receiver::start().await;
    let target = Server::start(&["service", "b", "--service-b-latency=constant:5"], &[]);
    let arguments = ["load", &target.url("/"), "--rate", "100", "--for", "1s"].map(str::to_owned);
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), url)];
    let (code, out, err) = tokio::task::spawn_blocking(move || {
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        crate::support::run(&arguments.each_ref().map(String::as_str), &environment)
    })
    .await
    .expect("it runs");
    assert_eq!(code, 0, "{out}{err}");
    let received = receiver.received.lock().expect("no panic");
    let series = translated(received.metrics.as_ref().expect("flushed at the end"));
    let labels = names(&series);
    let pushed = received.metrics.iter().flat_map(|request| &request.resource_metrics);
    let pushed = pushed.flat_map(|resource| &resource.scope_metrics).flat_map(|scope| &scope.metrics);
    let mut own = BTreeSet::new();
    for metric in pushed.filter(|metric| metric.name.starts_with("load_")) {
        let kind = if matches!(metric.data, Some(Data::Histogram(_))) { "histogram" } else { "gauge" };
        let labels = labels[&metric.name].iter().cloned().collect::<Vec<_>>().join(",");
        own.insert(format!("{}{{{labels}}} {kind}: lab load", metric.name));
    }
    goldens::check("metrics_of_load", own);
    let of = |name: &str| {
        series.iter().filter(|((known, _), _)| known == name).map(|(_, value)| value).sum::<f64>()
    };
    assert_eq!(
        (of("load_request_duration_ms"), of("load_send_lag_ms"), of("load_inflight")),
        (100.0, 100.0, 0.0)
    );
}
