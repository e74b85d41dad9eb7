//! The program itself: `lab queue api` and `lab queue worker` as processes, with tasks by HTTP and work by HTTP.
//!
//! ```text
//!   poster (a key a batch) ──HTTP──> lab queue api ──proxy──> Redis <──proxy── lab queue worker ──HTTP──> receiver
//!      └ offered, accepted ──> history <── started, failed, effect ────────────────────────────────────────┘
//! ```

use std::{
    collections::HashSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::{Path as Segment, State},
    http::{HeaderMap, Request, StatusCode, header},
    routing::post,
};
use bytes::Bytes;
use lab::client::{Bounds, Client};
use parking_lot::Mutex;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::history::{History, What};

/// Tasks of a batch.
const BATCH_TASKS: usize = 8;
/// Between two batches of a poster.
const BATCH_PAUSE: Duration = Duration::from_millis(120);
/// Before an API that does not answer is asked again.
const AWAY: Duration = Duration::from_millis(50);
/// How long an API may take to answer, and how long its answer may be.
const BOUNDS: Bounds = Bounds { time: Duration::from_secs(20), body_bytes: 1 << 20 };

/// The processes that were killed. What one has sent may arrive later: then nobody waits for it, and no work begins.
pub(super) type Gone = Arc<Mutex<HashSet<String>>>;

/// Where workers send their tasks: their work is done here.
pub(super) async fn receive(history: History, gone: Gone) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let routes = Router::new().route("/{who}", post(work)).with_state((history, gone));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    addr
}

/// Does what the payload says. The connection ends with the worker, and this with the connection.
async fn work(
    State((history, gone)): State<(History, Gone)>,
    Segment(who): Segment<String>,
    headers: HeaderMap,
    payload: Bytes,
) -> StatusCode {
    let text = |name: &str| headers[name].to_str().expect("text").to_owned();
    let (history, id) = (history.of(&who), text("lab-task-id"));
    let delivery = text("lab-task-token").parse().expect("a number");
    {
        let gone = gone.lock();
        if gone.contains(&who) {
            return StatusCode::GONE;
        }
        history.note(&id, What::Started { delivery });
    }
    let payload: Value = serde_json::from_slice(&payload).expect("JSON");
    // The work of the task.
    tokio::time::sleep(Duration::from_millis(payload["ms"].as_u64().expect("a number"))).await;
    if payload["fails"] == true && text("lab-task-attempt") == "1" {
        history.note(&id, What::Failed { delivery });
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    history.note(&id, What::Effect { delivery });
    StatusCode::NO_CONTENT
}

/// Posts batches to the API whose log the file at `address` names, until `stop`; the last one is answered.
pub(super) async fn post_batches(
    name: String,
    log: impl Fn() -> PathBuf,
    seed: u64,
    history: History,
    stop: CancellationToken,
) {
    let mut draws = ChaCha8Rng::seed_from_u64(seed);
    let history = history.of(&name);
    for number in 0.. {
        let batch = format!("{name}/{number}");
        let body = body(&mut draws).to_string();
        let answer = loop {
            if let Some(answer) = post_batch(&log(), &batch, &body).await {
                break answer;
            }
            // It has no sign of coming back.
            tokio::time::sleep(AWAY).await;
        };
        let tasks = answer["tasks"].as_array().expect("tasks");
        let ids = || tasks.iter().map(|task| task["task_id"].as_str().expect("an id"));
        assert_eq!(ids().count(), BATCH_TASKS, "{answer}");
        // Under which names they were offered is known now.
        history.write(ids().map(|id| (id, What::Offered { batch: batch.clone() })));
        history.write(ids().map(|id| (id, What::Accepted)));
        if stop.is_cancelled() {
            return;
        }
        // The pace of the load.
        tokio::time::sleep(BATCH_PAUSE).await;
    }
}

/// The body of a batch.
fn body(draws: &mut ChaCha8Rng) -> Value {
    let tasks = (0..BATCH_TASKS).map(|_| {
        let ms: u64 =
            if draws.random_bool(0.1) { draws.random_range(100..400) } else { draws.random_range(0..20) };
        let payload = json!({ "ms": ms, "fails": draws.random_bool(0.1) });
        let delay_ms: u64 = if draws.random_bool(0.2) { draws.random_range(1..300) } else { 0 };
        let (priority, kind, group) = [
            ("high", "a", Value::Null),
            ("normal", "a", Value::Null),
            ("normal", "b", json!("x")),
            ("normal", "b", json!("y")),
            ("low", "c", Value::Null),
        ][draws.random_range(0..5)]
        .clone();
        json!({ "type": kind, "priority": priority, "group": group, "payload": payload, "delay_ms": delay_ms })
    });
    json!({ "tasks": tasks.collect::<Vec<_>>() })
}

/// Sends a batch once. Its answer, if it was accepted.
async fn post_batch(log: &Path, key: &str, body: &str) -> Option<Value> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let url = text.lines().find_map(|line| line.strip_prefix("listening on "))?;
    let url = format!("{}/tasks", url.split_whitespace().next()?).parse().expect("a URL");
    let client = Client::for_url(&url).expect("a client");
    let request = Request::post(url.uri().clone())
        .header(header::CONTENT_TYPE, "application/json")
        .header("idempotency-key", key)
        .body(Bytes::from(body.to_owned()))
        .expect("a request");
    let answer = client.fetch(request, BOUNDS).await.ok()?;
    let may_change = answer.status().is_server_error() || answer.status() == StatusCode::TOO_MANY_REQUESTS;
    let said = String::from_utf8_lossy(answer.body()).into_owned();
    assert!(answer.status() == StatusCode::ACCEPTED || may_change, "{key}: {said}");
    (!may_change).then(|| serde_json::from_str(&said).expect("JSON"))
}
