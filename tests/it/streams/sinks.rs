//! Sinks that fail, and what that does to the balance.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
    serve::Listener,
};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::{load::certificate, support::run, telemetry::Encrypted};

#[derive(Clone, Default)]
struct Receiver {
    attempts: Arc<Mutex<BTreeMap<String, u32>>>,
}

/// Refuses each chunk's first attempt for now, and chunks of 5, 10, ... bytes for good.
async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let name = |name: &str| headers[name].to_str().expect("text").to_owned();
    let chunk = format!("{}/{}", name("lab-stream"), name("lab-chunk"));
    let attempt = {
        let mut attempts = receiver.attempts.lock().expect("no panic");
        let attempt = attempts.entry(chunk).or_default();
        *attempt += 1;
        *attempt
    };
    match attempt {
        _ if body.len().is_multiple_of(5) => StatusCode::UNPROCESSABLE_ENTITY,
        1 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    (listener, addr)
}

fn receiver(listener: impl Listener<Addr: std::fmt::Debug>) -> Receiver {
    let receiver = Receiver::default();
    let app = Router::new().route("/chunks", post(receive)).with_state(receiver.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    receiver
}

async fn streams(flags: Vec<String>) -> (i32, Value) {
    streams_in(flags, Vec::new()).await
}

async fn streams_in(flags: Vec<String>, environment: Vec<(&'static str, String)>) -> (i32, Value) {
    let fixed = ["streams", "--addr", "127.0.0.1:0", "--duration", "1s", "--json"];
    let flags: Vec<String> = fixed.iter().map(|flag| (*flag).to_owned()).chain(flags).collect();
    let ran = tokio::task::spawn_blocking(move || {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        run(&flags, &environment)
    });
    let (code, out, err) = ran.await.expect("no panic");
    (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_retried_only_after_failures_that_may_pass() {
    let (listener, addr) = listener().await;
    let receiver = receiver(listener);
    let sink = format!("http:http://{addr}/chunks");
    let flags = ["--sink", &sink, "--sink-timeout-ms", "60000", "--stream-interval", "200"];
    let (code, report) = streams(flags.map(str::to_owned).to_vec()).await;
    assert_eq!((code, &report["balances"]), (1, &Value::Bool(true)), "its sink lost chunks");
    let attempts = receiver.attempts.lock().expect("no panic");
    let (tried_once, tried_twice) = (
        attempts.values().filter(|tries| **tries == 1).count(),
        attempts.values().filter(|tries| **tries == 2).count(),
    );
    assert_eq!(
        tried_once + tried_twice,
        attempts.len(),
        "refused for good, or delivered at the second attempt"
    );
    assert_eq!(report["dropped_by"]["sink"], tried_once);
    assert_eq!(report["processed"], tried_twice);
    assert!(tried_once > 0 && tried_twice > 0, "{tried_once} and {tried_twice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_over_tls_reach_a_trusted_receiver() {
    let (acceptor, pem) = certificate();
    let (listener, addr) = listener().await;
    let receiver = receiver(Encrypted(listener, acceptor));
    let directory = tempfile::tempdir().expect("a directory");
    let trusted = directory.path().join("trusted.pem");
    std::fs::write(&trusted, pem).expect("written");
    let url = format!("https://localhost:{}/chunks", addr.port());
    let flags =
        ["--sink", &url, "--sink-timeout-ms", "60000", "--stream-interval", "200", "--streams-count", "10"];
    let trust = vec![("SSL_CERT_FILE", trusted.to_str().expect("text").to_owned())];
    let (code, report) = streams_in(flags.map(str::to_owned).to_vec(), trust).await;
    assert_eq!((code, &report["balances"]), (1, &Value::Bool(true)), "its sink lost chunks");
    let delivered = receiver.attempts.lock().expect("no panic").values().filter(|tries| **tries == 2).count();
    assert_eq!(report["processed"], delivered);
    assert!(delivered > 0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_sink_loses_every_chunk_but_the_balance_holds() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let url = format!("http://{gone}/");
    let flags = ["--sink", &url, "--sink-retries", "1", "--streams-count", "20"].map(str::to_owned).to_vec();
    let (code, report) = streams(flags).await;
    assert_eq!((code, &report["balances"]), (1, &Value::Bool(true)), "its sink lost chunks");
    assert!(report["generated"].as_u64() > Some(0), "{report}");
    assert_eq!(report["dropped_by"]["sink"], report["generated"]);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_chunks_are_lost_but_the_balance_holds() {
    let flags = ["--sink", "file:/dev/full", "--framing", "length"].map(str::to_owned).to_vec();
    let (code, report) = streams(flags).await;
    assert_eq!((code, &report["balances"]), (1, &Value::Bool(true)), "its sink lost chunks");
    assert!(report["generated"].as_u64() > Some(0), "{report}");
    assert_eq!(report["dropped_by"]["sink"], report["generated"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_opened_makes_the_start_fail() {
    let (code, out, err) = tokio::task::spawn_blocking(|| {
        let flags =
            ["streams", "--addr", "127.0.0.1:0", "--sink", "file:no/such/place", "--framing", "length"];
        run(&flags, &[])
    })
    .await
    .expect("no panic");
    assert_eq!(code, 1, "{out}");
    assert!(err.contains("no/such/place"), "{err}");
}
