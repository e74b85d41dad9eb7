//! The baseline with the same work: for each endpoint of the lab, a plain axum handler that does the same.
//!
//! It makes two calls that take no time: in sequence, on two spawned tasks, one behind a semaphore, or under a
//! deadline. Each call is timed, and the response is JSON of the same form. The difference to the lab is the lab's
//! overhead: limits, overrides, counts, metrics, cancellation, simulated services.

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, http::StatusCode, routing::get};
use serde::Serialize;
use tokio::{sync::Semaphore, time::Instant};

use crate::latency::milliseconds;

/// Permits of the semaphore: as many as `ASYNC_LIMIT` in the lab's arm, so they never run out.
const PERMITS: usize = 10_000;
/// The deadline: the lab's default.
const DEADLINE: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Body {
    strategy: &'static str,
    a: Call,
    b: Call,
    #[serde(skip_serializing_if = "Option::is_none")]
    semaphore_wait_ms: Option<f64>,
    total_ms: f64,
}

#[derive(Serialize)]
struct Call {
    outcome: &'static str,
    ms: f64,
}

/// A call that takes no time.
async fn call() -> Call {
    let begun = Instant::now();
    Call { outcome: "ok", ms: ms_since(begun) }
}

fn ms_since(begun: Instant) -> f64 {
    milliseconds(begun.elapsed())
}

fn answer(strategy: &'static str, begun: Instant, a: Call, b: Call) -> Json<Body> {
    Json(Body { strategy, a, b, semaphore_wait_ms: None, total_ms: ms_since(begun) })
}

/// The four endpoints.
pub(super) fn routes() -> Router {
    let semaphore = Arc::new(Semaphore::new(PERMITS));
    Router::new()
        .route("/sync", get(sync))
        .route("/async", get(spawned))
        .route("/async-limited", get(async move || limited(&semaphore).await))
        .route("/async-timeout", get(timed))
}

async fn sync() -> Json<Body> {
    let begun = Instant::now();
    let a = call().await;
    let b = call().await;
    answer("sync", begun, a, b)
}

async fn spawned() -> Result<Json<Body>, StatusCode> {
    let begun = Instant::now();
    let (a, b) = tokio::join!(tokio::spawn(call()), tokio::spawn(call()));
    let failed = |_| StatusCode::INTERNAL_SERVER_ERROR;
    Ok(answer("async", begun, a.map_err(failed)?, b.map_err(failed)?))
}

async fn limited(semaphore: &Semaphore) -> Result<Json<Body>, StatusCode> {
    let begun = Instant::now();
    let behind_the_semaphore = async {
        let _permit = semaphore.acquire().await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        let waited = ms_since(begun);
        Ok::<_, StatusCode>((call().await, waited))
    };
    let (a, b) = tokio::join!(call(), behind_the_semaphore);
    let (b, waited) = b?;
    let Json(answer) = answer("async-limited", begun, a, b);
    Ok(Json(Body { semaphore_wait_ms: Some(waited), ..answer }))
}

async fn timed() -> Result<Json<Body>, StatusCode> {
    let begun = Instant::now();
    let both = async { tokio::join!(call(), call()) };
    let (a, b) = tokio::time::timeout(DEADLINE, both).await.map_err(|_| StatusCode::GATEWAY_TIMEOUT)?;
    Ok(answer("async-timeout", begun, a, b))
}
