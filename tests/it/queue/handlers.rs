//! The handler that posts tasks to a server.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::support::{Server, run, send, until};

/// What a receiver got.
type Received = Arc<Mutex<Vec<(HeaderMap, String)>>>;

/// A server that answers with `statuses` one after another, and then with the last one.
async fn receiver(statuses: &'static [u16]) -> (SocketAddr, Received) {
    let received = Received::default();
    let kept = received.clone();
    let answer = move |headers: HeaderMap, body: String| {
        let mut kept = kept.lock().expect("no panic");
        let status = statuses[kept.len().min(statuses.len() - 1)];
        kept.push((headers, body));
        async move {
            // 599 stands for a 503 whose answer is longer than what is read of one.
            let (status, said) = match status {
                599 => (StatusCode::SERVICE_UNAVAILABLE, "x".repeat(1 << 20)),
                status => (StatusCode::from_u16(status).expect("a status"), "said so".to_owned()),
            };
            (status, [("retry-after", "0"), ("location", "/elsewhere")], said)
        }
    };
    let router = axum::Router::new().route("/work", axum::routing::post(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    (addr, received)
}

async fn task_of(statuses: &'static [u16], state: &str) -> (Value, Vec<(HeaderMap, String)>) {
    let (addr, received) = receiver(statuses).await;
    let http = format!("email=http://{addr}/work");
    let environment = [
        ("QUEUE_HTTP", http.as_str()),
        ("QUEUE_HTTP_PRIVATE", "127.0.0.1"),
        ("QUEUE_BACKOFF_MS", "1"),
        // A busy machine does not let it expire.
        ("QUEUE_LEASE_MS", "10m"),
    ];
    let server = Server::start(&["queue", "api"], &environment);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let head = format!("POST /task\ncontent-type: application/json\ntraceparent: {trace}");
    let body = json!({ "type": "email", "payload": { "to": "user@example.com" }, "max_attempts": 3 });
    let queued = send(server.addr, &head, &body.to_string()).await.json();
    let id = queued["task_id"].as_str().expect("an id");
    let task = until(server.addr, &format!("/task/{id}"), |answer| {
        let task = answer.json();
        (task["state"] == state).then_some(task)
    })
    .await;
    let received = received.lock().expect("no panic").clone();
    for (attempt, (headers, body)) in (1..).zip(&received) {
        let header = |name: &str| headers[name].to_str().expect("text");
        assert_eq!(body, r#"{"to":"user@example.com"}"#);
        assert_eq!((header("idempotency-key"), header("lab-task-id")), (id, id));
        assert_eq!(
            (header("lab-task-token"), header("lab-task-attempt")),
            (&*attempt.to_string(), &*attempt.to_string())
        );
        assert_eq!((header("lab-task-type"), header("content-type")), ("email", "application/json"));
        assert_eq!(&header("traceparent")[..35], &trace[..35]);
    }
    (task, received)
}

#[tokio::test]
async fn a_task_is_posted_and_the_status_is_the_verdict() {
    let (task, received) = task_of(&[200], "succeeded").await;
    assert_eq!((received.len(), &task["failures"]), (1, &json!(0)));
    let (task, received) = task_of(&[503, 429, 200], "succeeded").await;
    assert_eq!((received.len(), &task["failures"]), (3, &json!(2)));
    let (task, received) = task_of(&[599, 200], "succeeded").await;
    assert_eq!((received.len(), &task["failures"]), (2, &json!(1)));
    let (task, received) = task_of(&[500], "dead").await;
    assert_eq!((received.len(), &task["dead_because"]), (3, &json!("exhausted")));
    assert_eq!(task["last_error"], "answered 500 Internal Server Error: said so");
    for status in [&[404][..], &[302]] {
        let (task, received) = task_of(status, "dead").await;
        assert_eq!((received.len(), &task["dead_because"]), (1, &json!("final")), "{status:?}");
    }
}

#[tokio::test]
async fn private_addresses_are_reached_only_if_they_are_listed() {
    for url in ["http://127.0.0.1:9/", "http://[::1]:9/", "http://169.254.169.254/latest", "http://10.0.0.1/"]
    {
        let http = format!("email={url}");
        let (code, _, stderr) = run(&["queue", "api", "--http", &http], &[]);
        assert!(
            code == 2 && stderr.contains("QUEUE_HTTP") && stderr.contains("public"),
            "{url}: {code} {stderr}"
        );
    }
    // A name is looked up for each connection.
    let (addr, received) = receiver(&[200]).await;
    let http = format!("email=http://localhost:{}/work", addr.port());
    let server =
        Server::start(&["queue", "api"], &[("QUEUE_HTTP", http.as_str()), ("QUEUE_BACKOFF_MS", "1")]);
    let body = json!({ "type": "email", "max_attempts": 3 });
    let queued =
        send(server.addr, "POST /task\ncontent-type: application/json", &body.to_string()).await.json();
    let id = queued["task_id"].as_str().expect("an id");
    let task = until(server.addr, &format!("/task/{id}"), |answer| {
        let task = answer.json();
        (task["state"] == "dead").then_some(task)
    })
    .await;
    assert_eq!((&task["dead_because"], &task["attempts"]), (&json!("final"), &json!(1)), "{task}");
    let error = task["last_error"].as_str().expect("an error");
    let says = |text: &str| error.contains(text);
    assert!(says("localhost has the address") && says("QUEUE_HTTP_PRIVATE") && !says("resolved"), "{error}");
    assert!(says("127.0.0.1") || says("::1"), "{error}");
    assert!(received.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn a_command_gets_its_arguments_from_the_configuration_alone() {
    for exec in ["email=echo {}", "email=echo {to}", "email=", "echo", "no type=echo"] {
        let (code, _, stderr) = run(&["queue", "api", "--exec", exec], &[]);
        assert_eq!(code, 2, "{exec}: {stderr}");
    }
}
