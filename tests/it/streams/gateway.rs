//! Real streams over TCP and HTTP, well-behaved and not.

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{PATIENCE, Server, get, send, until};

/// `lab streams` with a gateway, and where that listens.
fn gateway(flags: &[&str]) -> (Server, SocketAddr) {
    let fixed = ["streams", "--listen", "127.0.0.1:0", "--quiet"];
    let mut server = Server::start(&[&fixed, flags].concat(), &[]);
    let line = server.line_with("taking streams");
    let addr = line.strip_prefix("taking streams on tcp://").unwrap_or_else(|| panic!("{line}"));
    let addr = addr.parse().expect("an address");
    (server, addr)
}

/// Sends bytes as one stream and closes it.
async fn stream(addr: SocketAddr, bytes: &[u8]) {
    let mut peer = TcpStream::connect(addr).await.expect("connected");
    peer.write_all(bytes).await.expect("sent");
    peer.shutdown().await.expect("closed");
    ended(&mut peer).await;
}

/// Waits until the other side closed the connection.
async fn ended(peer: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end as well.
    let end = peer.read_to_end(&mut rest);
    let _ = tokio::time::timeout(PATIENCE, end).await.expect("the connection is closed");
    assert!(rest.is_empty(), "the gateway says nothing");
}

/// Waits until the streams' status is as `done` wants it.
async fn status(server: &Server, done: impl Fn(&Value) -> bool) -> Value {
    until(server.addr, "/streams", |answer| Some(answer.json()).filter(|status| done(status))).await
}

async fn metric(server: &Server, series: &str) -> u64 {
    let text = get(server.addr, "/metrics").await.body;
    let line =
        text.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("no {series}: {text}"));
    line.rsplit_once(' ').expect("a value").1.parse().expect("a number")
}

fn settled(status: &Value, generated: u64) -> bool {
    let run = &status["run"];
    run["generated"] == generated && run["queued"] == 0 && run["in_progress"] == 0 && status["peers"] == 0
}

#[tokio::test]
async fn each_connection_is_a_stream_of_lines() {
    let (server, addr) = gateway(&["--sink", "file:out", "--framing", "lines"]);
    assert_eq!(status(&server, |_| true).await["streams_count"], 0, "no generated streams beside real ones");
    let (first, second) = tokio::join!(stream(addr, b"one\ntwo\nthree"), stream(addr, b"four\n\nsix\n"));
    let ((), ()) = (first, second);
    status(&server, |status| settled(status, 6)).await;
    assert_eq!(metric(&server, "streams_peers_total").await, 2);
    let mut lines: Vec<String> = std::fs::read_to_string(server.directory().join("out"))
        .expect("a file")
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    assert_eq!(lines, ["", "four", "one", "six", "three", "two"]);
}

#[tokio::test]
async fn frames_with_a_length_may_hold_any_byte() {
    let (server, addr) = gateway(&["--sink", "file:out", "--framing", "length"]);
    let bytes = [b"\0\0\0\x03a\nb".as_slice(), b"\0\0\0\x00", b"\0\0\0\x02\xff\0"].concat();
    stream(addr, &bytes).await;
    status(&server, |status| settled(status, 3)).await;
    assert_eq!(std::fs::read(server.directory().join("out")).expect("a file").len(), bytes.len());
}

#[tokio::test]
async fn connections_that_violate_the_limits_are_closed_and_counted() {
    let flags = ["--framing", "length", "--frame-limit-bytes", "1000", "--peer-idle-ms"];
    let (server, addr) = gateway(&[&flags[..], &["600000"]].concat());
    stream(addr, b"\0\0\0\x05abc").await;
    assert_eq!(metric(&server, "streams_peer_faults_total{reason=\"half_frame\"}").await, 1);

    let mut endless = TcpStream::connect(addr).await.expect("connected");
    endless.write_all(&[0xff; 4]).await.expect("sent");
    ended(&mut endless).await;
    assert_eq!(metric(&server, "streams_peer_faults_total{reason=\"frame_too_long\"}").await, 1);

    let (impatient, to_impatient) = gateway(&[&flags[..], &["300"]].concat());
    let mut silent = TcpStream::connect(to_impatient).await.expect("connected");
    ended(&mut silent).await;
    let mut dripping = TcpStream::connect(to_impatient).await.expect("connected");
    let (mut reading, mut writing) = dripping.split();
    let drip = async {
        // Bytes that never make a frame do not keep a place, however often one comes; 1,000 are announced.
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        let mut sent = writing.write_all(b"\0\0\x03\xe8").await;
        while sent.is_ok() {
            pace.tick().await;
            sent = writing.write_all(b"x").await;
        }
        std::future::pending::<()>().await;
    };
    let mut rest = Vec::new();
    tokio::select! {
        _ = reading.read_to_end(&mut rest) => {}
        () = drip => {}
    }
    until(impatient.addr, "/metrics", |answer| {
        answer.body.contains("streams_peer_faults_total{reason=\"idle\"} 2").then_some(())
    })
    .await;

    stream(addr, b"\0\0\0\x02ok").await;
    let run = status(&server, |status| settled(status, 1)).await["run"].clone();
    assert_eq!(
        (run["processed"].as_u64(), run["dropped"].as_u64()),
        (Some(1), Some(0)),
        "the good one got through"
    );
}

#[tokio::test]
async fn an_endless_line_is_cut_at_the_limit() {
    let (server, addr) = gateway(&["--frame-limit-bytes", "1000"]);
    let mut endless = TcpStream::connect(addr).await.expect("connected");
    let sent = async {
        let mut bytes = 0_u64;
        while endless.write_all(&[b'x'; 4096]).await.is_ok() {
            bytes += 4096;
        }
        bytes
    };
    let sent = tokio::time::timeout(PATIENCE, sent).await.expect("it is closed");
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    assert_eq!(metric(&server, "streams_peer_faults_total{reason=\"frame_too_long\"}").await, 1);
}

#[tokio::test]
async fn long_lines_are_skipped_on_request_and_closed_connections_are_logged() {
    let wire = format!("one\r\n{}\r\ntwo\r\n", "x".repeat(1_001));
    let (server, addr) =
        gateway(&["--frame-limit-bytes", "1000", "--long-lines", "skip", "--sink", "file:out"]);
    stream(addr, wire.as_bytes()).await;
    status(&server, |status| settled(status, 2)).await;
    let posted = send(server.addr, "POST /streams/in/a", &wire).await.json();
    assert_eq!((posted["accepted"].as_u64(), posted["skipped"].as_u64()), (Some(2), Some(1)), "{posted}");
    status(&server, |status| settled(status, 4)).await;
    assert_eq!(metric(&server, "streams_lines_skipped_total").await, 2);
    let mut lines = std::fs::read_to_string(server.directory().join("out")).expect("a file");
    lines = lines.replace("two", "one");
    assert_eq!(lines, "one\n".repeat(4));

    let (mut server, addr) = gateway(&["--frame-limit-bytes", "1000"]);
    stream(addr, wire.as_bytes()).await;
    let line = server.line_with("a stream was closed");
    assert!(line.contains("a frame is longer than frame_limit_bytes"), "{line}");
    assert!(line.contains("from=127.0.0.1:") && line.contains("stream=tcp-0 accepted=1"), "{line}");
}

#[tokio::test]
async fn ten_thousand_connections_are_limited_and_counted() {
    const PEERS: usize = 10_000;
    let (mut server, addr) = gateway(&["--peers-limit", "200"]);
    let mut kept = Vec::new();
    for at in 0..PEERS {
        let peer = TcpStream::connect(addr).await.expect("connected");
        if at < 200 {
            kept.push(peer);
        } else if at == 200 {
            // All places are taken from here on; who comes later finds none.
            status(&server, |status| status["peers"] == 200).await;
        }
    }
    let refused = format!("streams_peers_refused_total{{reason=\"too_many_peers\"}} {}", PEERS - 200);
    until(server.addr, "/metrics", |answer| answer.body.contains(&refused).then_some(())).await;
    let line = server.line_with("streams are refused");
    assert!(line.contains("the limit of connected peers is reached from=127.0.0.1:"), "{line}");
    for peer in &mut kept {
        peer.write_all(b"still here\n").await.expect("sent");
    }
    drop(kept);
    let run = status(&server, |status| settled(status, 200)).await["run"].clone();
    assert_eq!(run["processed"], 200);
}

#[tokio::test]
async fn under_fair_a_stream_without_a_place_is_refused() {
    let (server, addr) = gateway(&["--overload", "fair", "--buffer-size", "100"]);
    let mut peers = Vec::new();
    for _ in 0..100 {
        peers.push(TcpStream::connect(addr).await.expect("connected"));
    }
    status(&server, |status| status["peers"] == 100).await;
    let mut refused = TcpStream::connect(addr).await.expect("connected");
    ended(&mut refused).await;
    assert_eq!(metric(&server, "streams_peers_refused_total{reason=\"no_slot\"}").await, 1);
    assert_eq!(send(server.addr, "POST /streams/in/late", "x").await.status, 503);
}

#[tokio::test]
async fn block_makes_the_client_wait_and_loses_nothing() {
    const LINES: usize = 3_000;
    let flags =
        ["--overload", "block", "--buffer-size", "100", "--workers-count", "10", "--unbounded-ranges"];
    let (server, addr) = gateway(&[&flags[..4], &["--workers-count", "200"]].concat());
    // 200 workers take 3,000 lines in half a second: the peer is held up for most of that.
    stream(addr, "a line\n".repeat(LINES).as_bytes()).await;
    let run = status(&server, |status| settled(status, LINES as u64)).await["run"].clone();
    assert_eq!((run["processed"].as_u64(), run["dropped"].as_u64()), (Some(LINES as u64), Some(0)));
}

#[tokio::test]
async fn a_posted_body_is_a_stream_and_the_response_counts_its_chunks() {
    let (server, _) =
        gateway(&["--frame-limit-bytes", "1000", "--buffer-size", "100", "--workers-count", "10"]);
    let answer = send(server.addr, "POST /streams/in/sensor-1", "a\nb\nc").await;
    assert_eq!(
        (answer.status, answer.json()),
        (
            200,
            serde_json::json!({"schema": "lab/streams-received/1", "accepted": 3, "dropped": 0, "skipped": 0})
        )
    );

    let flood = "x\n".repeat(5_000);
    let answer = send(server.addr, "POST /streams/in/flood", &flood).await.json();
    let (accepted, dropped) =
        (answer["accepted"].as_u64().expect("a count"), answer["dropped"].as_u64().expect("a count"));
    assert!(accepted + dropped == 5_000 && accepted >= 100 && dropped > 0, "{answer}");

    // Far more than the server takes as a whole body, in pieces.
    let mut peer = TcpStream::connect(server.addr).await.expect("connected");
    peer.write_all(b"POST /streams/in/long HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .expect("sent");
    let piece = format!("{}\n", "y".repeat(999)).repeat(10);
    for _ in 0..20 {
        peer.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).await.expect("sent");
    }
    peer.write_all(b"0\r\n\r\n").await.expect("sent");
    let mut raw = Vec::new();
    peer.read_to_end(&mut raw).await.expect("answered");
    let answer = crate::support::Answer::parse(&raw).expect("an answer").json();
    assert_eq!(answer["accepted"].as_u64().unwrap() + answer["dropped"].as_u64().unwrap(), 200, "{answer}");

    let long = send(server.addr, "POST /streams/in/x", &format!("ok\n{}", "z".repeat(1_001))).await;
    assert_eq!((long.status, long.json()["accepted"].as_u64().map(|n| n <= 1)), (413, Some(true)));
    for name in ["a%20b", "%2e%2e%2f", "%2e%2e", &"n".repeat(65)] {
        assert_eq!(send(server.addr, &format!("POST /streams/in/{name}"), "x").await.status, 400, "{name}");
    }
    let run = status(&server, |status| status["peers"] == 0).await["run"].clone();
    assert_eq!(run["balances"], true);
}

#[tokio::test]
async fn a_stop_closes_the_connections_and_drains_their_chunks() {
    let (server, addr) = gateway(&["--sink", "file:out"]);
    let mut peer = TcpStream::connect(addr).await.expect("connected");
    peer.write_all(b"one\ntwo\nhalf a li").await.expect("sent");
    status(&server, |status| status["run"]["generated"] == 2).await;
    server.signal(rustix::process::Signal::TERM);
    ended(&mut peer).await;
    let (status, _, directory) = server.wait_for_what_it_left();
    assert!(status.success());
    let text = std::fs::read_to_string(directory.path().join("out")).expect("a file");
    assert_eq!(text, "one\ntwo\n");
}
