//! The orchestrator inside `lab serve`: off until started, changed while it runs, seen in every way.

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{PATIENCE, Server, get, run, send, until};

async fn change(server: &Server, head: &str, body: &str) -> (u16, Value) {
    let answer = send(server.addr, &format!("{head}\ncontent-type: application/json"), body).await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn it_is_off_until_started_and_is_resized_and_drained_while_it_runs() {
    let server = Server::start(&["serve"], &[]);
    let idle = get(server.addr, "/streams").await.json();
    assert_eq!((&idle["state"], &idle["run"]), (&json!("idle"), &Value::Null));
    for (head, parameter, allowed) in [
        ("POST /streams/start?wait=5", "wait", "no parameter"),
        ("POST /streams/stop?wait=5", "wait", "only wait_ms"),
        ("PATCH /streams?zz=1", "zz", "no parameter"),
        ("PATCH /settings?zz=1", "zz", "no parameter"),
        ("POST /streams/in/x?zz=1", "zz", "no parameter"),
    ] {
        let (status, problem) = change(&server, head, "{}").await;
        assert_eq!((status, &problem["parameter"]), (400, &json!(parameter)), "{head}");
        assert_eq!(problem["allowed"], json!(allowed), "{head}");
    }
    for (head, body) in [("POST /streams/stop", ""), ("PATCH /streams", "{}")] {
        let (status, problem) = change(&server, head, body).await;
        assert_eq!((status, &problem["type"]), (409, &json!("/problems/streams-not-running")), "{head}");
    }
    assert_eq!(send(server.addr, "POST /streams/in/x", "a").await.status, 503);

    let (status, problem) = change(&server, "POST /streams/start", r#"{"workers_count":5}"#).await;
    assert_eq!((status, &problem["field"]), (400, &json!("workers_count")), "{problem}");
    let (status, _) = change(&server, "POST /streams/start", r#"{"werkers":5}"#).await;
    assert_eq!(status, 400);
    let (status, running) =
        change(&server, "POST /streams/start", r#"{"stream_interval":100,"overload":"fair"}"#).await;
    assert_eq!((status, &running["state"], &running["overload"]), (200, &json!("running"), &json!("fair")));
    assert_eq!(change(&server, "POST /streams/start", "").await.0, 409, "one run at a time");

    let (status, resized) =
        change(&server, "PATCH /streams", r#"{"workers_count":20,"streams_count":50}"#).await;
    let size = |of: &Value| ["schema", "workers_count", "streams_count"].map(|key| (key, of[key].clone()));
    assert_eq!(
        (status, size(&resized)[1].1.clone(), size(&resized)[2].1.clone()),
        (200, json!(20), json!(50))
    );
    let sent_back =
        Value::from(serde_json::Map::from_iter(size(&resized).map(|(key, value)| (key.to_owned(), value))));
    assert_eq!(change(&server, "PATCH /streams", &sent_back.to_string()).await.0, 200, "{sent_back}");
    let (status, problem) = change(&server, "PATCH /streams", r#"{"streams_count":501}"#).await;
    assert_eq!((status, &problem["field"]), (400, &json!("streams_count")));
    until(server.addr, "/streams", |answer| {
        (answer.json()["run"]["processed"].as_u64() > Some(100)).then_some(())
    })
    .await;
    let (status, mine) = change(&server, "POST /streams/in/mine", "one\ntwo\n").await;
    assert_eq!(
        (status, mine),
        (200, json!({"schema": "lab/streams-received/1", "accepted": 2, "dropped": 0, "skipped": 0}))
    );

    let (status, stopped) = change(&server, "POST /streams/stop?wait_ms=60000", "").await;
    let report = &stopped["run"];
    assert_eq!((status, &stopped["state"]), (200, &json!("idle")), "{stopped}");
    assert_eq!((&report["balances"], &report["queued"]), (&json!(true), &json!(0)), "{report}");

    // The same terms wherever one looks.
    let audit = get(server.addr, "/streams/audit").await.json();
    let (code, out, _) = run(&["audit", "streams", "--url", &server.url(""), "--json"], &[]);
    assert_eq!((code, serde_json::from_str::<Value>(&out).expect("JSON")), (0, audit.clone()));
    let metrics = get(server.addr, "/metrics").await.body;
    for (series, term) in
        [("streams_chunks_generated_total", "generated"), ("streams_chunks_processed_total", "processed")]
    {
        assert!(metrics.contains(&format!("\n{series} {}\n", audit[term])), "{series}: {audit}");
        assert_eq!(audit[term], report[term], "{term}");
    }
    let (code, table, _) = run(&["audit", "streams", "--url", &server.url("")], &[]);
    assert!(code == 0 && table.contains("generated") && table.contains("in_progress"), "{table}");
}

#[tokio::test]
async fn whoever_may_not_change_it_may_look() {
    let server =
        Server::start(&["serve"], &[("LAB_ADMIN_TOKEN", "tell-nobody"), ("STREAMS_ENABLED", "true")]);
    for head in ["POST /streams/start", "POST /streams/stop", "PATCH /streams"] {
        assert_eq!(change(&server, head, "{}").await.0, 401, "{head}");
    }
    let running = get(server.addr, "/streams").await.json();
    assert_eq!(running["state"], "running", "STREAMS_ENABLED starts it");
    let (status, _) =
        change(&server, "PATCH /streams\nauthorization: Bearer tell-nobody", r#"{"workers_count":60}"#).await;
    assert_eq!(status, 200);
    server.signal(Signal::TERM);
    let (status, rest) = server.wait();
    assert!(status.success(), "the stop drains the streams: {rest}");
}

#[tokio::test]
async fn it_can_be_watched_as_events_and_as_a_page() {
    let server = Server::start(&["serve"], &[("STREAMS_ENABLED", "true"), ("LAB_UNREADY_MS", "0")]);
    let mut viewer = TcpStream::connect(server.addr).await.expect("connected");
    viewer
        .write_all(b"GET /streams HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n")
        .await
        .expect("sent");
    let mut seen = String::new();
    let watch = async {
        while seen
            .matches("event: status\ndata: {\"schema\":\"lab/streams-status/1\",\"state\":\"running\"")
            .count()
            < 3
        {
            let mut piece = [0; 4096];
            let length = viewer.read(&mut piece).await.expect("bytes");
            assert!(length > 0, "it ended: {seen}");
            seen += &String::from_utf8_lossy(&piece[..length]);
        }
    };
    tokio::time::timeout(PATIENCE, watch).await.expect("three pictures");
    assert!(seen.to_lowercase().contains("content-type: text/event-stream"), "{seen}");

    let page = send(server.addr, "GET /streams\naccept: text/html,application/xhtml+xml", "").await;
    assert_eq!((page.status, page.headers["content-type"].as_str()), (200, "text/html; charset=utf-8"));
    for part in [
        "<nav aria-label=\"Main\">",
        "/assets/run.js?v=",
        "data-figure=\"dropped\"",
        "id=\"run-button\"",
        "<svg class=\"strip\"",
    ] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    assert!(page.headers["content-security-policy"].contains("script-src 'self'"));
    let landing = send(server.addr, "GET /\naccept: text/html", "").await.body;
    assert!(!landing.contains("/pipeline"), "what this server does not have is not linked");
    assert!(landing.contains("<a href=\"/streams\">Streams</a>"), "{landing}");

    let wrong = send(server.addr, "TRACE /streams/stop?wait=", "").await;
    assert_eq!(wrong.status, 405, "of a method that it has not, a route does not look at the parameters");
    server.signal(Signal::TERM);
    let (status, rest) = server.wait();
    assert!(status.success(), "a viewer does not hold the stop up: {rest}");
}
