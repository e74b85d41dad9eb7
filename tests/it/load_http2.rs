//! `lab load --http2` against servers that end connections and streams, written frame by frame.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use http_body_util::Full;
use hyper::{
    Response,
    body::Bytes,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::load::{load, server};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200`, by its place in the static table.
const STATUS_200: &[u8] = &[0x88];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn answer(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, STATUS_200)
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

fn go_away(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

/// A frame that a client sent: its kind, flags and stream.
async fn next_frame(tcp: &mut TcpStream) -> Option<(u8, u8, u32)> {
    let mut head = [0; 9];
    tcp.read_exact(&mut head).await.ok()?;
    let [a, b, c, kind, flags, stream @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    tcp.read_exact(&mut payload).await.ok()?;
    Some((kind, flags, u32::from_be_bytes(stream)))
}

/// At the end of a reply: the server says no more. It reads on, for a socket that is closed with bytes unread resets the
/// connection, and the reset can overtake what was said.
const HANG_UP: &[u8] = b"hang up";

/// A server that says `settings`, and to each request, by its place on the connection from 1 and its stream, what
/// `reply` says.
async fn speaks(
    settings: &'static [u8],
    reply: impl Fn(u32, u32) -> Vec<u8> + Send + Sync + 'static,
) -> SocketAddr {
    let reply = Arc::new(reply);
    server(move |mut tcp| {
        let reply = Arc::clone(&reply);
        async move {
            let mut preface = [0; 24];
            // A client may come and go as it likes.
            if tcp.read_exact(&mut preface).await.is_err()
                || tcp.write_all(&frame(SETTINGS, 0, 0, settings)).await.is_err()
            {
                return;
            }
            let mut requests = 0;
            while let Some((kind, flags, stream)) = next_frame(&mut tcp).await {
                let bytes = match kind {
                    SETTINGS if flags == 0 => frame(SETTINGS, 1, 0, &[]),
                    HEADERS => {
                        requests += 1;
                        reply(requests, stream)
                    }
                    _ => continue,
                };
                let last = bytes.strip_suffix(HANG_UP);
                if tcp.write_all(last.unwrap_or(&bytes)).await.is_err()
                    || last.is_some() && tcp.shutdown().await.is_err()
                {
                    return;
                }
            }
        }
    })
    .await
}

/// As many streams at a time as nginx allows.
const STREAMS_128: &[u8] = &[0, 3, 0, 0, 0, 128];

#[tokio::test]
async fn requests_that_the_server_did_not_process_are_resent() {
    const PER_CONNECTION: u32 = 100;
    // As nginx with keepalive_requests: what comes after the last one is left out.
    let retiring = speaks(STREAMS_128, |place, stream| match place {
        ..PER_CONNECTION => answer(stream),
        PER_CONNECTION => [go_away(stream, 0), answer(stream)].concat(),
        _ => Vec::new(),
    });
    // The answers come after the end was said.
    let slow = speaks(STREAMS_128, |place, stream| match place {
        ..PER_CONNECTION => Vec::new(),
        PER_CONNECTION => {
            let answers = (0..PER_CONNECTION).map(|place| answer(2 * place + 1));
            std::iter::once(go_away(stream, 11)).chain(answers).flatten().collect()
        }
        _ => Vec::new(),
    });
    let refused = Arc::new(AtomicU64::new(0));
    let refusing = speaks(&[], {
        let refused = Arc::clone(&refused);
        move |_, stream| match refused.fetch_add(1, SeqCst) % 3 {
            2 => answer(stream),
            _ => reset(stream, 7),
        }
    });
    for (addr, connections) in [(retiring.await, 5), (slow.await, 5), (refusing.await, 1)] {
        for method in ["GET", "POST"] {
            let url = format!("http://{addr}/");
            let arguments = [&url, "--http2", "--schedule", "burst 500", "-X", method, "-d", "body"];
            let (code, result) = load(&arguments).await;
            let measured = &result["measured"];
            assert_eq!((code, &measured["statuses"]), (0, &json!({ "200": 500 })), "{}", measured["causes"]);
            let opened = json!({ "opened": connections, "broken_idle": 0 });
            assert_eq!(result["connections"], opened, "{method}");
        }
    }
    assert!(refused.load(SeqCst) >= 2 * 3 * 500);
}

#[tokio::test]
async fn each_http2_error_code_has_its_own_count() {
    let codes = [
        "no_error",
        "protocol_error",
        "internal_error",
        "flow_control_error",
        "settings_timeout",
        "stream_closed",
        "frame_size_error",
        "refused_stream",
        "cancel",
        "compression_error",
        "connect_error",
        "enhance_your_calm",
        "inadequate_security",
        "http_1_1_required",
        "unknown_error",
    ];
    let streams = (0..)
        .zip(codes)
        .map(|(code, name)| (format!("http2_{name}"), speaks(&[], move |_, s| reset(s, code))));
    let mut cases = Vec::new();
    for (cause, addr) in streams {
        cases.push((cause, addr.await));
    }
    let head = |stream| frame(HEADERS, END_HEADERS, stream, STATUS_200);
    let begun = move |stream| [head(stream), frame(DATA, 0, stream, b"half")].concat();
    let cut = server(|mut tcp| async move { drop(tcp.read_u8().await) });
    cases.extend([
        (
            "http2_cancel".to_owned(),
            speaks(&[], move |_, stream| [begun(stream), reset(stream, 8)].concat()).await,
        ),
        // A stream that nobody opened ends the connection.
        ("http2_protocol_error".to_owned(), speaks(&[], move |_, stream| answer(stream + 100)).await),
        (
            "body_cut_short".to_owned(),
            speaks(&[], move |_, stream| [begun(stream), HANG_UP.to_vec()].concat()).await,
        ),
        ("closed_before_answer".to_owned(), speaks(&[], |_, _| HANG_UP.to_vec()).await),
        ("closed_before_answer".to_owned(), cut.await),
    ]);
    let check = async |(cause, addr): (String, SocketAddr)| {
        let url = format!("http://{addr}/");
        let (code, result) = load(&[&url, "--http2", "--schedule", "burst 1", "--timeout", "60s"]).await;
        let causes = &result["measured"]["causes"];
        assert_eq!((code, causes), (1, &json!({ cause.as_str(): 1 })), "{addr}");
        let outcome = if cause == "http2_refused_stream" { "refused" } else { "failed" };
        let outcomes = result["measured"]["recorder"]["by_outcome"].as_object().expect("outcomes");
        assert_eq!(outcomes.keys().collect::<Vec<_>>(), [outcome], "{cause}");
    };
    futures_util::future::join_all(cases.into_iter().map(check)).await;
}

/// A server of one protocol whose answers have a header of so many bytes and so many more.
async fn talks_long(http2: bool, bytes: usize, lines: usize) -> SocketAddr {
    server(move |tcp| async move {
        let answer = service_fn(move |_| async move {
            let mut answer = Response::builder().header("x-long", "x".repeat(bytes));
            for line in 0..lines {
                answer = answer.header("x-line", line);
            }
            answer.body(Full::new(Bytes::from_static(b"hello")))
        });
        let io = TokioIo::new(tcp);
        // A client may come and go as it likes.
        if http2 {
            let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(io, answer).await;
        } else {
            let _ = http1::Builder::new().serve_connection(io, answer).await;
        }
    })
    .await
}

#[tokio::test]
async fn heads_have_one_limit_over_every_protocol() {
    let mut cases = Vec::new();
    for http2 in [false, true] {
        // The long line, content-length and date are among the hundred.
        for (bytes, lines, fits) in
            [(20_000, 0, true), (60_000, 97, true), (1, 98, false), (70_000, 0, false), (100_000, 0, false)]
        {
            cases.push((http2, bytes, lines, fits));
        }
    }
    let check = async |(http2, bytes, lines, fits)| {
        let url = format!("http://{}/", talks_long(http2, bytes, lines).await);
        let protocol = if http2 { "--http2" } else { "--http1" };
        // One connection carries them all, one after another.
        let arguments =
            [&url, protocol, "--rate", "20", "--for", "250ms", "--connections", "1", "--slo-ms", "60s"];
        let (code, result) = load(&arguments).await;
        let causes = if fits { json!({}) } else { json!({ "head_too_large": 5 }) };
        let measured = &result["measured"];
        assert_eq!((code, &measured["causes"]), (i32::from(!fits), &causes), "{http2} {bytes} {lines}");
    };
    futures_util::future::join_all(cases.into_iter().map(check)).await;
}
