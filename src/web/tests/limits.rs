//! Clients that are slow, large, or many.

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};

use super::support::{PATIENCE, Server};
use crate::web::{BodyLimit, Limits, RouteLimit};

/// What a limit under test allows; nothing that is to succeed must be within it.
const SHORT_MS: u64 = 50;

fn app() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/sink", post(async |body: Bytes| body.len().to_string()))
}

#[tokio::test]
async fn a_head_that_never_ends_closes_the_connection() {
    let limits = Limits { header_timeout_ms: SHORT_MS, ..Limits::default() };
    let server = Server::limited(limits, app());
    let mut slow = server.connect().await;
    slow.send("GET / HTTP/1.1\r\nhost:").await;
    let mut silent = server.connect().await;
    // On a busy machine even a whole head may come too late: then once more.
    let (mut idle, answer) = loop {
        let mut client = server.connect().await;
        let sent = client.try_send(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        if let (Ok(()), Some(answer)) = (sent, client.answer().await) {
            break (client, answer);
        }
    };
    assert_eq!(answer.body, "hello");
    for client in [&mut slow, &mut silent, &mut idle] {
        assert!(client.answer().await.is_none());
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_a_408() {
    let limits = Limits { body_timeout_ms: SHORT_MS, ..Limits::default() };
    let server = Server::limited(limits, app());
    let mut client = server.connect().await;
    client.send("POST /sink HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nabc").await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.problem()["type"], "/problems/request-timeout");
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn a_body_above_the_limit_is_a_413_announced_or_streamed() {
    let limits = Limits { body_limit_bytes: 1_000, ..Limits::default() };
    let server = Server::limited(limits, app());
    let fits = "x".repeat(1_000);
    let request = format!("POST /sink HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{fits}");
    assert_eq!(server.ask(&request).await.body, "1000");

    // Far more than the socket's buffers hold unread is on its way when the answer comes back.
    let large = "x".repeat(4_000_000);
    for head in [
        format!("content-length: {}\r\n\r\n", large.len()),
        format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n", large.len()),
    ] {
        let mut client = server.connect().await;
        client.send(&format!("POST /sink HTTP/1.1\r\nhost: localhost\r\n{head}")).await;
        client.send(&large).await;
        let answer = client.answer().await.expect("an answer that no reset overtakes");
        assert_eq!(answer.status, 413);
        assert_eq!(answer.problem()["body_limit_bytes"], 1_000);
    }
}

#[tokio::test]
async fn an_encoded_body_is_a_415_with_the_supported_encoding() {
    let server = Server::limited(Limits::default(), app());
    for (coding, status) in [("gzip", 415), ("identity", 200), ("identity, br", 415)] {
        let head = format!("POST /sink HTTP/1.1\r\nhost: localhost\r\ncontent-encoding: {coding}\r\n");
        let answer = server.ask(&format!("{head}content-length: 3\r\n\r\nabc")).await;
        assert_eq!(answer.status, status, "{coding}");
        if status == 415 {
            assert_eq!(answer.problem()["type"], "/problems/unsupported-media-type");
            assert_eq!(answer.header("accept-encoding"), Some("identity"));
        }
        let empty = server.ask(&format!("{head}content-length: 0\r\n\r\n")).await;
        assert_eq!(empty.status, 200, "nothing is there to be decoded");
    }
}

#[tokio::test]
async fn a_head_above_the_limit_is_hypers_431() {
    let limits = Limits { head_limit_bytes: 8 * 1024, ..Limits::default() };
    let server = Server::limited(limits, app());
    let filler = "x".repeat(9 * 1024);
    let answer = server.ask(&format!("GET / HTTP/1.1\r\nhost: localhost\r\nfiller: {filler}\r\n\r\n")).await;
    assert_eq!((answer.status, answer.body.as_str()), (431, ""));
}

#[tokio::test]
async fn a_client_that_never_reads_is_given_up() {
    // More than the socket buffers of both ends take, so that the write stalls.
    const ANSWER_BYTES: usize = 64 * 1024 * 1024;
    let limits = Limits { write_stall_timeout_ms: SHORT_MS, ..Limits::default() };
    let app = Router::new().route("/huge", get(async || vec![0; ANSWER_BYTES]));
    let server = Server::limited(limits, app);
    let mut client = server.connect().await;
    client.send("GET /huge HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    // It is still connected while the server drains, which it can only do by giving up the client.
    client.first_byte().await;
    assert!(server.stop().await.clean);
    drop(client);
}

#[tokio::test]
async fn one_connection_too_many_gets_a_503() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let server = Server::limited(limits, app());
    let mut first = server.connect().await;
    first.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(first.answer().await.unwrap().status, 200);

    let mut second = server.connect().await;
    second.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let answer = second.answer().await.unwrap();
    assert_eq!(answer.problem()["type"], "/problems/unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("connection"), Some("close"));
    second.ended().await;
    let refused = "web_connections_refused_total";
    assert_eq!(server.series(refused, &[("reason", "limit")]), Some(1));
    assert_eq!(server.series(refused, &[("reason", "descriptors")]), Some(0));
    assert_eq!(server.series("web_connections", &[]), Some(1));

    drop(first);
    let admitted = async {
        while server.get("/").await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, admitted).await.expect("the place is free again");
}

#[tokio::test]
async fn goodbyes_do_not_hold_more_than_their_bound() {
    let limits = Limits { connections: 0, ..Limits::default() };
    let server = Server::limited(limits, app());
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(server.connect().await);
    }
    for client in &mut silent {
        client.ended().await;
    }
    assert!(server.stop().await.clean);
}

#[tokio::test]
async fn a_streamed_body_is_passed_to_its_handler_with_a_timeout_per_piece() {
    use futures_util::StreamExt as _;
    let count = async |body: axum::body::Body| {
        let mut pieces = body.into_data_stream();
        let mut bytes = 0;
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) => bytes += piece.len(),
                Err(_) => return format!("{bytes} broken"),
            }
        }
        format!("{bytes} whole")
    };
    let routes = vec![RouteLimit { under: "/in/", body: BodyLimit::Streamed }];
    let limits = Limits { body_limit_bytes: 1_000, routes, ..Limits::default() };
    let app = app().route("/in/{name}", post(count));
    let server = Server::limited(limits.clone(), app.clone());
    let large = "x".repeat(100_000);
    let head = "POST /in/a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n";
    assert_eq!(server.ask(&format!("{head}{large}")).await.body, "100000 whole");
    let impatient = Server::limited(Limits { body_timeout_ms: SHORT_MS, ..limits }, app);
    let mut stalled = impatient.connect().await;
    stalled.send(&format!("{head}abc")).await;
    assert_eq!(stalled.answer().await.unwrap().body, "3 broken");
}
