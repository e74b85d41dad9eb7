//! What comes back: every error as a problem, panics, departed clients, counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::sync::Notify;

use super::support::{PATIENCE, Server};
use crate::web::{Json, Limits, peer};

fn app() -> Router {
    Router::new()
        .route("/peer", get(async || peer().map(|peer| peer.to_string()).unwrap_or_default()))
        .route("/panic", get(async || -> String { panic!("on purpose") }))
        .route("/echo", post(async |Json(body): Json<BTreeMap<String, Vec<u32>>>| axum::Json(body)))
        .route("/busy", get(async || StatusCode::SERVICE_UNAVAILABLE))
        .route("/items/{id}", get(async |axum::extract::Path(id): axum::extract::Path<u32>| id.to_string()))
}

#[tokio::test]
async fn every_error_is_a_problem() {
    let server = Server::start(app());

    let missing = server.get("/nowhere").await;
    assert_eq!(missing.problem()["type"], "/problems/not-found");

    let method = server.ask("POST /peer HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(method.problem()["type"], "/problems/method-not-allowed");
    assert_eq!(method.header("allow"), Some("get,head"));

    let path = server.get("/items/many").await;
    assert_eq!(path.status, 400);
    assert!(path.problem()["detail"].as_str().unwrap().contains("`many`"), "{path:?}");

    let busy = server.get("/busy").await;
    assert_eq!(busy.problem()["status"], 503);
    assert_eq!(busy.header("retry-after"), Some("1"));

    let echo = |kind: &str, body: &str| {
        format!(
            "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let good = server.ask(&echo("application/json", "{\"a\":[1,2]}")).await;
    assert_eq!((good.status, good.body.as_str()), (200, "{\"a\":[1,2]}"));
    let shape = server.ask(&echo("application/json", "{\"a\":[1,\"two\"]}")).await;
    assert_eq!(shape.status, 400);
    assert_eq!(shape.problem()["field"], "a[1]");
    assert_eq!(server.ask(&echo("application/json", "[")).await.problem()["status"], 400);
    assert_eq!(server.ask(&echo("text/plain", "[]")).await.problem()["status"], 415);
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_server_lives_on() {
    let server = Server::start(app());
    let answer = server.get("/panic").await;
    assert_eq!(answer.problem()["type"], "/problems/internal-error");
    assert!(!answer.body.contains("on purpose"));
    let peer = server.get("/peer").await;
    assert!(peer.body.starts_with("127.0.0.1:"), "{peer:?}");
}

#[tokio::test]
async fn hyper_answers_what_is_not_http_with_an_empty_400() {
    let server = Server::start(app());
    let mut client = server.connect().await;
    client.send("\u{1}nonsense\r\n\r\n").await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (400, ""));
    client.ended().await;
}

/// Fires when dropped.
struct OnDrop(Arc<Notify>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_disconnecting_client_cancels_its_handler() {
    let (entered, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let server = Server::with(Default::default(), Default::default(), |_, metrics| {
        let (entered, dropped) = (Arc::clone(&entered), Arc::clone(&dropped));
        let wait = async move || {
            let _guard = OnDrop(dropped);
            entered.notify_one();
            std::future::pending::<()>().await;
        };
        metrics.count_requests(Router::new().route("/wait", get(wait)))
    });
    let mut client = server.connect().await;
    client.send("GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    entered.notified().await;
    drop(client);
    tokio::time::timeout(PATIENCE, dropped.notified()).await.unwrap();
    let cancelled = [("route", "/wait"), ("status", "cancelled")];
    assert_eq!(server.series("web_requests_total", &cancelled), Some(1));
    assert!(server.stop().await.clean);
}

#[tokio::test]
async fn requests_are_counted_by_template_never_by_path() {
    let server =
        Server::with(Default::default(), Default::default(), |_, metrics| metrics.count_requests(app()));
    server.get("/items/7001").await;
    server.get("/nowhere/7002").await;
    server.get("/panic").await;
    server.ask("BREW /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    for (route, method, status) in [
        ("/items/{id}", "GET", "200"),
        ("unmatched", "GET", "404"),
        ("/panic", "GET", "500"),
        ("unmatched", "other", "404"),
    ] {
        let labels = [("route", route), ("method", method), ("status", status)];
        assert_eq!(server.series("web_requests_total", &labels), Some(1), "{labels:?}");
    }
    let metrics = server.scrape();
    for raw in ["7001", "7002", "BREW"] {
        assert!(!metrics.contains(raw), "{raw} in {metrics}");
    }
}

#[tokio::test]
async fn requests_refused_before_routing_are_counted() {
    let limits = Limits { body_limit_bytes: 10, ..Limits::default() };
    let server = Server::with(limits, Default::default(), |_, metrics| metrics.count_wrong_methods(app()));
    let large = format!("filler: {}\r\n", "x".repeat(20_000));
    for (request, status, kind) in [
        ("GET /peer HTTP/1.1\r\n\r\n", 400, "bad-request"),
        ("GET /peer HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n", 400, "bad-request"),
        ("GET /peer HTTP/1.1\r\nhost: a b\r\n\r\n", 400, "bad-request"),
        ("GET /peer HTTP/1.1\r\nhost: rebound.example\r\n\r\n", 421, "misdirected"),
        ("GET http://rebound.example/peer HTTP/1.1\r\nhost: localhost\r\n\r\n", 421, "misdirected"),
        ("POST /echo HTTP/1.1\r\nhost: localhost\r\nsec-fetch-site: cross-site\r\n\r\n", 403, "forbidden"),
        ("POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 11\r\n\r\n", 413, "body-too-large"),
        ("PUT /peer HTTP/1.1\r\nhost: localhost\r\n\r\n", 405, "method-not-allowed"),
        ("GET /peer HTTP/1.1\r\nhost: localhost\r\nhost\r\n\r\n", 400, ""),
        (&format!("GET /peer HTTP/1.1\r\nhost: localhost\r\n{large}\r\n"), 431, ""),
    ] {
        let answer = server.ask(request).await;
        assert_eq!(answer.status, status, "{request}");
        if !kind.is_empty() {
            assert_eq!(answer.problem()["type"], format!("/problems/{kind}"), "{request}");
        }
        assert_eq!(answer.header("allow"), (status == 405).then_some("get,head"), "{request}");
    }
    // hyper's own refusals are counted when their connections have ended.
    let counted = |method: &str, status: &str| {
        server.series("web_requests_total", &[("route", "refused"), ("method", method), ("status", status)])
    };
    for (method, status, count) in [
        ("GET", "400", 3),
        ("GET", "421", 2),
        ("POST", "403", 1),
        ("POST", "413", 1),
        ("PUT", "405", 1),
        ("other", "400", 1),
        ("other", "431", 1),
    ] {
        let seen = async {
            while counted(method, status) != Some(count) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("{method} {status}"));
    }
    let old = server.ask("GET /peer HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.status, 200, "HTTP/1.0 needs no Host");
}
