//! `/healthz` (alive), `/readyz` (ready for work), `/version`.
//!
//! The server is not ready while it stops, and while a check fails or takes longer than [`CHECK_TIMEOUT_MS`]. Checks
//! run concurrently. The reason of a failure is logged but not part of the response, because an error may contain an
//! address or a user name.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::{Json, Problem};
use crate::document;
use crate::output::Named;
use crate::shutdown::Shutdown;

const CHECK_TIMEOUT_MS: u64 = 1_000;
const NO_STORE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// The health routes of a server.
pub struct Health {
    shutdown: Shutdown,
    checks: Vec<Check>,
}

/// A named check that must succeed before a server reports that it is ready.
pub struct Check {
    name: &'static str,
    run: Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
}

impl Health {
    /// Ready until `shutdown` begins.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, checks: Vec::new() }
    }

    /// Adds checks that must succeed before the server reports that it is ready.
    #[must_use]
    pub fn with(mut self, checks: impl IntoIterator<Item = Check>) -> Self {
        self.checks.extend(checks);
        self
    }

    /// The three routes.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/version", get(version))
            .with_state(Arc::new(self))
    }
}

/// The OpenAPI description of the health routes.
#[derive(OpenApi)]
#[openapi(paths(healthz, readyz, version), components(schemas(Problem)))]
pub struct HealthApi;

/// The program's name and version: the response to `GET /version`.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Version {
    /// The program's name.
    pub name: &'static str,
    /// Its version, as released.
    pub version: &'static str,
}

document!(Version as "lab/version/1");

impl Version {
    /// This build.
    pub const CURRENT: Self = Self { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") };
}

/// The response to `GET /readyz` when the server is ready.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ready {
    /// The result of each check, by its name.
    pub checks: BTreeMap<&'static str, &'static str>,
}

document!(Ready as "lab/ready/1");

// utoipa's macro needs type names without generics.
type NamedReady = Named<Ready>;
type NamedVersion = Named<Version>;

/// The process is alive.
#[utoipa::path(get, path = "/healthz", tag = "health",
    responses((status = 200, description = "Alive", body = String)))]
async fn healthz() -> Response {
    (NO_STORE, "ok\n").into_response()
}

/// The server accepts work: it is not stopping, and its checks succeed.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "Ready; each check by name", body = NamedReady),
    (status = 503, description = "Stopping, or a check failed", body = Problem,
     content_type = "application/problem+json")))]
async fn readyz(State(health): State<Arc<Health>>) -> Response {
    if health.shutdown.is_stopping() {
        let stopping = Problem::of(StatusCode::SERVICE_UNAVAILABLE).detail("stopping");
        return (NO_STORE, stopping).into_response();
    }
    let outcomes = join_all(health.checks.iter().map(Check::outcome)).await;
    let ready = outcomes.iter().all(|outcome| *outcome == "ok");
    let checks: BTreeMap<_, _> = health.checks.iter().map(|check| check.name).zip(outcomes).collect();
    if ready {
        (NO_STORE, Json(Ready { checks })).into_response()
    } else {
        let failing = Problem::of(StatusCode::SERVICE_UNAVAILABLE)
            .detail("a dependency does not answer")
            .with("checks", serde_json::json!(checks));
        (NO_STORE, failing).into_response()
    }
}

/// The program's name and version.
#[utoipa::path(get, path = "/version", tag = "health",
    responses((status = 200, description = "Name and version", body = NamedVersion)))]
async fn version() -> Json<Version> {
    Json(Version::CURRENT)
}

impl Check {
    /// A check that calls `check`. The reason of a failure is logged, but not part of the response.
    pub fn new<F, Fut, E>(name: &'static str, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        let run = move || {
            let outcome = check();
            async move { outcome.await.map_err(|error| error.to_string()) }.boxed()
        };
        Self { name, run: Box::new(run) }
    }

    async fn outcome(&self) -> &'static str {
        let bound = Duration::from_millis(CHECK_TIMEOUT_MS);
        match tokio::time::timeout(bound, (self.run)()).await {
            Ok(Ok(())) => "ok",
            Ok(Err(error)) => {
                tracing::warn!(check = self.name, error, "not ready");
                "failed"
            }
            Err(_) => {
                tracing::warn!(check = self.name, "not ready: no answer in time");
                "timed out"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;

    async fn ask(routes: Router, path: &str) -> (StatusCode, Value) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = routes.oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_names_failed_and_timed_out_checks() {
        let health = Health::new(Shutdown::new(None, Duration::ZERO)).with([
            Check::new("store", async || Ok::<_, String>(())),
            Check::new("redis", async || Err("redis://user:secret@host refused")),
            Check::new("slow", std::future::pending::<Result<(), String>>),
        ]);
        let (status, body) = ask(health.routes(), "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["checks"], json!({"store": "ok", "redis": "failed", "slow": "timed out"}));
    }

    #[tokio::test]
    async fn a_stopping_server_is_alive_but_not_ready() {
        let shutdown = Shutdown::new(None, Duration::from_secs(5));
        let routes = Health::new(shutdown.clone()).routes();
        assert_eq!(ask(routes.clone(), "/readyz").await.0, StatusCode::OK);
        shutdown.trigger();
        assert_eq!(ask(routes.clone(), "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(ask(routes.clone(), "/healthz").await.0, StatusCode::OK);
        assert_eq!(ask(routes, "/version").await.1["name"], "lab");
    }
}
