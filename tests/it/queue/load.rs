//! `lab queue load`, at queues that keep what they accepted and at one that does not.

use axum::{
    Json, Router,
    http::StatusCode,
    routing::{get, post},
};
use serde_json::{Value, json};

use crate::support::{Server, run};

/// A worker whose work takes no time and does not fail.
const AT_ONCE: [(&str, &str); 2] = [("QUEUE_SIMULATE", "constant:0"), ("QUEUE_SIMULATE_ERROR_RATE", "0")];

fn load(url: &str, more: &[&str]) -> (i32, String, String) {
    let arguments = ["queue", "load", "--url", url, "--rate", "200"];
    run(&[&arguments[..], more].concat(), &[])
}

#[test]
fn every_accepted_task_is_followed_to_its_end() {
    for (arguments, prefix) in [(&["queue", "api"][..], ""), (&[], "/queue")] {
        let server = Server::start(arguments, &AT_ONCE);
        let more =
            ["-n", "40", "--types", "email,report", "--priorities", "high,low", "--wait", "60s", "--json"];
        let (code, out, err) = load(&server.url(""), &more);
        assert_eq!(code, 0, "{out}{err}");
        let report: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!((&report["offered"], &report["accepted"]), (&json!(40), &json!(40)), "{out}");
        assert_eq!((&report["missing"], &report["unfinished"]), (&json!(0), &json!(0)), "{out}");
        assert_eq!(report["states"], json!({ "succeeded": 40 }), "{out}");
        assert_eq!((&report["balances"], &report["waited"]), (&json!(true), &json!(true)), "{out}");
        assert_eq!((&report["end_to_end"]["n"], &report["wait"]["n"]), (&json!(40), &json!(40)), "{out}");
        assert!(
            report["url"].as_str().is_some_and(|url| url.trim_end_matches('/').ends_with(prefix)),
            "{out}"
        );

        // The queue itself may be named, too.
        let (code, out, err) =
            load(&server.url(prefix), &["-n", "4", "--arrivals", "poisson", "--seed", "7"]);
        assert_eq!(code, 0, "{out}{err}");
        assert!(out.contains("accepted 4 ") && out.contains("nothing accepted is missing"), "{out}");
    }
}

#[test]
fn a_refused_task_is_no_accepted_one() {
    let server = Server::start(&["queue", "api"], &[("QUEUE_TASKS_LIMIT", "3"), ("QUEUE_EXEC", "none=true")]);
    let (code, out, err) = load(&server.url(""), &["-n", "5", "--json"]);
    assert_eq!(code, 0, "{out}{err}");
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&report["accepted"], &report["refused"]), (&json!(3), &json!({ "429": 2 })), "{out}");
    assert_eq!(report["states"], json!({ "pending": 3 }), "{out}");
    // No worker takes their type: they do not end in time.
    let (code, out, _) = load(&server.url(""), &["-n", "1"]);
    assert!(code == 1 && out.contains("FAILED: nothing was accepted"), "{out}");
}

#[test]
fn a_load_that_waits_for_tasks_that_do_not_end_fails() {
    let server = Server::start(&["queue", "api"], &[("QUEUE_EXEC", "none=true")]);
    let (code, out, _) = load(&server.url(""), &["-n", "2", "--wait", "1s"]);
    assert!(code == 1 && out.contains("FAILED: 2 tasks not ended in time"), "{out}");
}

/// Accepts every task and knows none of them.
async fn forgetful() -> String {
    let accept = || async {
        let id = lab::queue::TaskId::new().to_string();
        (StatusCode::ACCEPTED, Json(json!({ "status": "queued", "task_id": id })))
    };
    let audit = json!({ "enqueued": 0, "done": 0, "equation": "enqueued = done" });
    let routes = Router::new()
        .route("/stats", get(|| async { Json(json!({ "schema": "lab/queue-stats/1" })) }))
        .route("/queue/audit", get(move || async { Json(audit) }))
        .route("/metrics", get(|| async { "" }))
        .route("/task", post(accept))
        .route("/task/{id}", get(|| async { StatusCode::NOT_FOUND }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_and_missing_fails() {
    let url = forgetful().await;
    let (code, out, err) = tokio::task::block_in_place(|| load(&url, &["-n", "12", "--wait", "60s"]));
    assert!(code == 1 && out.contains("FAILED: 12 tasks accepted and missing"), "{out}{err}");
}

#[test]
fn a_server_without_a_queue_and_no_server_are_told_apart() {
    let service = Server::start(&["service", "a"], &[]);
    let (code, _, err) = load(&service.url("/"), &["-n", "1"]);
    assert!(code == 1 && err.contains("has no queue"), "{err}");
    let (code, _, err) = load("http://127.0.0.1:1/", &["-n", "1"]);
    assert!(code == 3 && err.contains("nothing listens"), "{err}");
    let (code, _, err) = load("http://127.0.0.1:1/", &["-n", "1", "--seed", "7"]);
    assert!(code == 2 && err.contains("--seed"), "{err}");
}
