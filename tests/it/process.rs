//! The lab as a process: signals, hostile clients, limits of the door.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Barrier,
    task::JoinSet,
};

use crate::support::{Answer, PATIENCE, Server, at_rest, get, program, send, until};

const QUICK: [(&str, &str); 3] = [
    ("SERVICE_A_LATENCY", "uniform:1,5"),
    ("SERVICE_B_LATENCY", "uniform:10,60"),
    ("SERVICE_B_ERROR_RATE", "0"),
];

#[tokio::test]
async fn the_command_without_arguments_serves_the_lab() {
    let server = Server::start(&[], &QUICK);
    for path in ["/sync", "/async", "/async-limited", "/async-timeout"] {
        assert_eq!(get(server.addr, path).await.status, 200, "{path}");
    }
    let page = send(server.addr, "GET /\naccept: text/html", "").await;
    assert!(page.headers["content-security-policy"].contains("default-src 'none'"));
    // Every link of the first page leads somewhere.
    let links: Vec<&str> = page
        .body
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|link| link.starts_with('/'))
        .collect();
    assert!(links.len() > 10, "{links:?}");
    for link in links {
        assert_eq!(get(server.addr, link).await.status, 200, "{link}");
    }
    // So does every GET of the OpenAPI document.
    let document = get(server.addr, "/openapi.json").await.json();
    for path in ["/metrics", "/docs/reference", "/openapi.json"] {
        assert!(document["paths"][path]["get"]["responses"]["200"]["content"].is_object(), "{path}");
    }
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            for (status, answer) in operation["responses"].as_object().expect("answers") {
                let is_problem = answer["content"]["application/problem+json"].is_object();
                assert!(is_problem || !status.starts_with(['4', '5']), "{method} {path}: {status}: {answer}");
            }
        }
    }
    let paths = document["paths"].as_object().expect("paths");
    // There is no task yet.
    let is_there =
        |(path, item): &(&String, &serde_json::Value)| item.get("get").is_some() && !path.contains("{id}");
    for (path, _) in paths.iter().filter(is_there) {
        let path = path.replace("{name}", "not-found");
        assert_eq!(get(server.addr, &path).await.status, 200, "{path}");
    }
    server.signal(Signal::TERM);
    let (status, rest) = server.wait();
    assert_eq!(status.code(), Some(0), "{rest}");
}

#[tokio::test]
async fn clients_that_vanish_are_counted_under_each_policy() {
    // 1,200 connections a policy.
    lab::web::raise_descriptor_limit();
    futures_util::future::join_all(["abort", "dequeue", "continue"].map(clients_that_vanish)).await;
}

async fn clients_that_vanish(gone: &'static str) {
    let mut environment = QUICK.to_vec();
    environment.extend([
        ("SERVICE_B_ON_CALLER_GONE", gone),
        ("ASYNC_LIMIT", "2000"),
        ("ASYNC_TIMEOUT_MS", "60000"),
    ]);
    let server = Server::start(&["serve"], &environment);
    let addr = server.addr;
    let path = |number: u32| ["/sync", "/async", "/async-limited", "/async-timeout"][(number % 4) as usize];
    let mut leaving = Vec::new();
    for number in 0..400_u32 {
        let mut stream = TcpStream::connect(addr).await.expect("connected");
        // Long enough for all to have come before the first is answered.
        let request = format!("GET {}?b=constant:20000 HTTP/1.1\r\nhost: localhost\r\n\r\n", path(number));
        stream.write_all(request.as_bytes()).await.expect("sent");
        leaving.push(stream);
    }
    until(addr, "/audit", |answer| (answer.json()["sheets"]["http"]["started"] == 400).then_some(())).await;
    let mut staying = JoinSet::new();
    for number in 0..800_u32 {
        staying.spawn(async move { assert_eq!(get(addr, path(number)).await.status, 200) });
    }
    drop(leaving);
    staying.join_all().await;
    let audit = at_rest(addr).await;
    let http = audit.http.as_ref().expect("a lab");
    assert!(audit.balances(), "{gone}: {audit:?}");
    assert_eq!((http.sum.started, http.sum.completed, http.sum.cancelled), (1_200, 800, 400), "{gone}");
    let detached = audit.service.services["/async B"].orphaned.expect("simulated");
    assert!(detached > 0, "{gone}: detached tasks orphan their calls");
    // The same terms from the outside, and from Prometheus' side.
    let metrics = get(addr, "/metrics").await.body;
    let cancelled: f64 = metrics
        .lines()
        .filter(|line| line.starts_with("http_requests_total{") && line.contains("status=\"499\""))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    assert_eq!(cancelled as u64, http.sum.cancelled);
    let url = server.url("");
    let (code, printed, _) = tokio::task::spawn_blocking(move || {
        crate::support::run(&["audit", "http", "--json", "--url", &url], &[])
    })
    .await
    .expect("no panic");
    let printed: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!((code, &printed["cancelled"]), (0, &http.sum.cancelled.into()));
}

#[tokio::test]
async fn a_stop_under_load_loses_no_accepted_request() {
    let mut environment = QUICK.to_vec();
    environment.push(("LAB_UNREADY_MS", "300"));
    let server = Server::start(&["serve"], &environment);
    let addr = server.addr;
    let answered = Arc::new(AtomicU64::new(0));
    let loaded = Arc::new(Barrier::new(41));
    let mut clients = JoinSet::new();
    for number in 0..40_usize {
        let (answered, loaded) = (answered.clone(), loaded.clone());
        clients.spawn(async move {
            let path = ["/sync", "/async", "/async-limited", "/async-timeout"][number % 4];
            let mut rounds = 0;
            // Until the listener is closed: a refused connection was not accepted.
            'connections: while let Ok(mut stream) = TcpStream::connect(addr).await {
                loop {
                    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
                    if stream.write_all(request.as_bytes()).await.is_err() {
                        panic!("the connection was closed under a request");
                    }
                    let answer = read_answer(&mut stream).await.expect("a whole answer");
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    answered.fetch_add(1, Ordering::Relaxed);
                    rounds += 1;
                    if rounds == 3 {
                        loaded.wait().await;
                    }
                    // A well-behaved client: told to close, it does.
                    if answer.headers.get("connection").is_some_and(|value| value == "close") {
                        continue 'connections;
                    }
                }
            }
        });
    }
    loaded.wait().await;
    server.signal(Signal::TERM);
    clients.join_all().await;
    let (status, rest) = server.wait();
    assert_eq!(status.code(), Some(0), "{rest}");
    assert!(answered.load(Ordering::Relaxed) >= 120);
}

#[tokio::test]
async fn a_server_that_is_stopping_is_alive_and_not_ready() {
    let server = Server::start(&["serve"], &[("LAB_UNREADY_MS", "60000")]);
    let addr = server.addr;
    server.signal(Signal::TERM);
    until(addr, "/readyz", |answer| (answer.status == 503).then_some(())).await;
    assert_eq!(get(addr, "/healthz").await.status, 200);
    // A second one ends it without waiting, and nothing was left.
    server.signal(Signal::TERM);
    let (status, rest) = tokio::task::spawn_blocking(|| server.wait()).await.expect("no panic");
    assert_eq!(status.code(), Some(0), "{rest}");
}

async fn read_answer(stream: &mut TcpStream) -> Option<Answer> {
    let mut raw = Vec::new();
    loop {
        if let Some(answer) = Answer::parse(&raw) {
            return Some(answer);
        }
        let mut chunk = [0; 4096];
        match tokio::time::timeout(PATIENCE, stream.read(&mut chunk)).await {
            Ok(Ok(n)) if n > 0 => raw.extend_from_slice(&chunk[..n]),
            _ => return None,
        }
    }
}

#[tokio::test]
async fn a_drain_names_its_stragglers_and_a_second_signal_ends_it() {
    let slow = [("SERVICE_B_LATENCY", "constant:600000"), ("LAB_UNREADY_MS", "0")];
    for (drain_ms, signals, code) in [("300", 1, 1), ("600000", 2, 130)] {
        let mut environment = slow.to_vec();
        environment.push(("LAB_DRAIN_MS", drain_ms));
        let server = Server::start(&["serve"], &environment);
        let addr = server.addr;
        let mut client = TcpStream::connect(addr).await.expect("connected");
        client.write_all(b"GET /sync HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
        until(addr, "/audit", |answer| (answer.json()["sheets"]["http"]["in_flight"] == 1).then_some(()))
            .await;
        server.signal(Signal::TERM);
        if signals == 2 {
            // The first must have been heard: the listener closes after it.
            while TcpStream::connect(addr).await.is_ok() {
                tokio::task::yield_now().await;
            }
            server.signal(Signal::INT);
        }
        let (status, rest) = tokio::task::spawn_blocking(|| server.wait()).await.expect("no panic");
        assert_eq!(status.code(), Some(code), "{rest}");
        assert!(rest.contains("left behind: 1 on /sync, "), "{rest}");
    }
}

#[tokio::test]
async fn a_browser_finds_the_favicon() {
    let server = Server::start(&["service", "a"], &[]);
    let mark = get(server.addr, "/favicon.ico").await;
    assert_eq!((mark.status, mark.headers["content-type"].as_str()), (200, "image/svg+xml"));
    assert!(mark.headers.contains_key("etag"), "{:?}", mark.headers);
}

#[tokio::test]
async fn requests_that_are_too_large_too_slow_or_not_http_are_refused() {
    let server = Server::start(&["serve"], &QUICK);
    let impatient = Server::start(&["serve"], &[("LAB_HEADER_TIMEOUT_MS", "300")]);
    let addr = server.addr;
    let large = "x".repeat(70_000);
    for head in ["GET /sync", "PATCH /settings\ncontent-type: application/json"] {
        let answer = send(addr, head, &large).await;
        assert_eq!(answer.status, 413, "{head}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    let bad = send(addr, "PATCH /settings\ncontent-type: application/json", r#"{"async_limit":0}"#).await;
    assert_eq!(bad.status, 400);
    assert_eq!(bad.json()["field"], "async_limit");
    assert!(bad.json()["detail"].as_str().expect("text").contains("a whole number from 1 to 10000"));
    let unknown = send(addr, "PATCH /settings\ncontent-type: application/json", r#"{"asink":1}"#).await;
    assert_eq!(unknown.status, 400);
    for head in ["PATCH /settings", "PATCH /streams", "POST /streams/start"] {
        let positional = send(addr, &format!("{head}\ncontent-type: application/json"), "[5]").await;
        assert_eq!(positional.status, 400, "{head}");
    }
    for (head, status) in [
        ("GET /nowhere", 404),
        ("POST /sync", 405),
        ("DELETE /settings", 405),
        ("PATCH /settings", 415),
        ("PATCH /settings\ncontent-type: application/json\norigin: http://elsewhere", 403),
        ("POST /streams/in/a\norigin: http://elsewhere", 403),
        ("PATCH /settings\ncontent-type: application/json\nhost: rebound.example", 400),
    ] {
        let answer = send(addr, head, "{}").await;
        assert_eq!(answer.status, status, "{head}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{head}");
    }
    // Slow heads: the connection is closed, by the server.
    let mut slow = TcpStream::connect(impatient.addr).await.expect("connected");
    slow.write_all(b"GET /sync HTTP/1.1\r\nhost: la").await.expect("sent");
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, slow.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "a head that never ends must not hold a connection");
    // An endless head is cut off, long before its end.
    let mut endless = TcpStream::connect(addr).await.expect("connected");
    let (mut reading, mut writing) = endless.split();
    let feeding = async {
        let begun = writing.write_all(b"GET / HTTP/1.1\r\n").await;
        let mut fed = begun;
        while fed.is_ok() {
            fed = writing.write_all(b"x-more: and more\r\n").await;
        }
        fed
    };
    let mut raw = Vec::new();
    let cut_off = async {
        tokio::select! {
            fed = feeding => assert!(fed.is_err()),
            // The answer, if the reset does not overtake it.
            _ = reading.read_to_end(&mut raw) => {}
        }
    };
    tokio::time::timeout(PATIENCE, cut_off).await.expect("in time");
    assert!(raw.is_empty() || raw.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&raw));
    // Not HTTP at all.
    let mut noise = TcpStream::connect(addr).await.expect("connected");
    noise.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n").await.expect("sent");
    let mut raw = Vec::new();
    tokio::time::timeout(PATIENCE, noise.read_to_end(&mut raw)).await.expect("in time").expect("closed");
    assert!(raw.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&raw));
    assert_eq!(get(addr, "/healthz").await.status, 200);
}

#[tokio::test]
async fn changing_settings_needs_the_token_if_there_is_one() {
    let mut environment = QUICK.to_vec();
    environment.push(("LAB_ADMIN_TOKEN", "s3cret-of-the-test"));
    environment.push(("RUST_LOG", "trace"));
    let server = Server::start(&["serve"], &environment);
    let addr = server.addr;
    let patch = "PATCH /settings\ncontent-type: application/json";
    let body = r#"{"async_limit":7}"#;
    assert_eq!(send(addr, patch, body).await.status, 401);
    let wrong = format!("{patch}\nauthorization: Bearer s3cret");
    assert_eq!(send(addr, &wrong, body).await.status, 401);
    let right = format!("{patch}\nauthorization: Bearer s3cret-of-the-test");
    assert_eq!(send(addr, &right, body).await.json()["async_limit"], 7);
    let foreign = format!("{right}\norigin: http://elsewhere");
    assert_eq!(send(addr, &foreign, body).await.status, 403);
    // Traded for a cookie, as a page does.
    let form = "POST /session\ncontent-type: application/x-www-form-urlencoded";
    let signed_in = send(addr, form, "token=s3cret-of-the-test").await;
    let cookie = &signed_in.headers["set-cookie"];
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let with_cookie = format!("{patch}\ncookie: {}", cookie.split(';').next().expect("a pair"));
    assert_eq!(send(addr, &with_cookie, r#"{"async_limit":8}"#).await.json()["async_limit"], 8);
    assert!(send(addr, "GET /\naccept: text/html", "").await.body.contains("Sign in"));
    server.signal(Signal::TERM);
    let (_, log) = tokio::task::spawn_blocking(|| server.wait()).await.expect("no panic");
    assert!(log.contains("settings changed"));
    assert!(!log.contains("s3cret"), "a secret in the log");
}

#[test]
fn the_servers_of_a_benchmark_end_with_it_even_by_kill_9() {
    use procfs::process::{Process, all_processes};

    let directory = tempfile::tempdir().expect("a directory");
    let mut bench = program(directory.path(), &["bench", "http", "--for", "60s"], &[])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the program runs");
    let parent = i32::try_from(bench.id()).expect("an id");
    // Identified by the start as well: an id is used again.
    let children = || -> Vec<(i32, u64)> {
        let all = all_processes().expect("processes").filter_map(|process| process.ok()?.stat().ok());
        all.filter(|stat| stat.ppid == parent).map(|stat| (stat.pid, stat.starttime)).collect()
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while children().len() < 3 {
        assert!(tokio::time::Instant::now() < deadline, "its servers start");
        std::thread::yield_now();
    }
    let servers = children();
    bench.kill().expect("killed");
    bench.wait().expect("ended");
    let lives = |&(pid, start): &(i32, u64)| {
        let stat = Process::new(pid).ok().and_then(|process| process.stat().ok());
        stat.is_some_and(|stat| stat.starttime == start && stat.state != 'Z')
    };
    while servers.iter().any(lives) {
        assert!(tokio::time::Instant::now() < deadline, "its servers end: {servers:?}");
        std::thread::yield_now();
    }
}
