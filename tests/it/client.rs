//! The HTTP client against servers that behave and servers that do not: each way to fail has its name.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::http::{Request, StatusCode};
use bytes::Bytes;
use lab::{
    client::{Bounds, Client, Failure},
    config::HttpUrl,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};

use crate::{
    services::{bad_server, reads_head},
    support::{PATIENCE, run},
};

const PATIENT: Bounds = Bounds { time: PATIENCE, body_bytes: 100 };

fn url(addr: SocketAddr) -> HttpUrl {
    format!("http://{addr}/").parse().expect("a URL")
}

async fn ask(url: &HttpUrl, bounds: Bounds) -> Result<(StatusCode, Bytes), Failure> {
    let client = Client::for_url(url).expect("a client");
    let request = || Request::get(url.uri()).body(Bytes::new()).expect("a request");
    let whole = client.fetch(request(), bounds).await;
    // For the status alone it goes the same way.
    let status = client.status(request(), bounds).await;
    assert_eq!(status, whole.as_ref().map(|answer| answer.status()).map_err(Clone::clone));
    whole.map(|answer| (answer.status(), answer.into_body()))
}

async fn says(answer: &'static str) -> HttpUrl {
    let behave = move |mut stream: TcpStream| async move {
        reads_head(&mut stream).await;
        // The other side may have gone.
        let _ = stream.write_all(answer.as_bytes()).await;
    };
    url(bad_server(behave).await)
}

#[tokio::test]
async fn each_kind_of_failure_has_a_name() {
    // Bound, so that nobody else can listen there, and not listening.
    let held = tokio::net::TcpSocket::new_v4().expect("a socket");
    held.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let refused = ask(&url(held.local_addr().expect("an address")), PATIENT).await;
    assert_eq!(refused, Err(Failure::Refused));

    // No name's part may be longer than 63 letters: nobody is asked for it.
    let nameless: HttpUrl = format!("http://{}.invalid/", "x".repeat(64)).parse().expect("a URL");
    let lost = ask(&nameless, PATIENT).await.expect_err("no address");
    assert!(matches!(&lost, Failure::NotResolved(_)) && lost.is_unreachable(), "{lost:?}");

    let silent = bad_server(|stream| async move {
        let _held = stream;
        std::future::pending::<()>().await;
    });
    let short = Duration::from_millis(100);
    let late = ask(&url(silent.await), Bounds { time: short, ..PATIENT }).await;
    assert_eq!(late, Err(Failure::TimedOut(short)));

    for bad in ["", "SSH-2.0-x\r\n\r\n"] {
        let none = ask(&says(bad).await, PATIENT).await.expect_err(bad);
        assert!(matches!(&none, Failure::NoAnswer(_)) && !none.is_unreachable(), "{none:?}");
    }
    let broken = says("HTTP/1.1 200 X\r\ncontent-length: 99\r\n\r\nhalf").await;
    assert_eq!(ask(&broken, PATIENT).await, Err(Failure::BrokeOff));

    let five = says("HTTP/1.1 404 X\r\ncontent-length: 5\r\n\r\n12345").await;
    assert_eq!(ask(&five, PATIENT).await, Ok((StatusCode::NOT_FOUND, Bytes::from_static(b"12345"))));
    let large = ask(&five, Bounds { body_bytes: 4, ..PATIENT }).await;
    assert_eq!(large, Err(Failure::TooLarge(4)));
    assert!(ask(&five, Bounds { body_bytes: 5, ..PATIENT }).await.is_ok());
}

#[tokio::test]
async fn connections_are_kept() {
    let made = Arc::new(AtomicUsize::new(0));
    let counted = made.clone();
    let server = bad_server(move |mut stream| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            while reads_head(&mut stream).await.ends_with("\r\n\r\n") {
                stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\nok").await.expect("sent");
            }
        }
    });
    let url = url(server.await);
    let client = Client::for_url(&url).expect("a client");
    for _ in 0..100 {
        let request = Request::get(url.uri()).body(Bytes::new()).expect("a request");
        assert_eq!(client.status(request, PATIENT).await, Ok(StatusCode::OK));
    }
    // A new one may be begun before the last has come back.
    assert!(made.load(Ordering::Relaxed) < 50, "{made:?}");
}

/// Runs `lab ARGUMENTS` beside this test's servers.
async fn lab(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let owned = |text: &str| text.to_owned();
    let arguments: Vec<String> = arguments.iter().copied().map(owned).collect();
    let environment: Vec<(String, String)> =
        environment.iter().map(|(name, value)| (owned(name), owned(value))).collect();
    let running = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        run(&arguments, &environment)
    });
    running.await.expect("no panic")
}

#[tokio::test]
async fn health_and_audit_use_lab_addr_unless_a_url_is_given() {
    let heads = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = heads.clone();
    let server = bad_server(move |mut stream| {
        let seen = seen.clone();
        async move {
            let head = reads_head(&mut stream).await;
            seen.lock().expect("no panic").push(head.lines().next().unwrap_or_default().to_owned());
            let body =
                r#"{"sheets":{"service":{"equation":"started = completed","started":1,"completed":1}}}"#;
            let answer = format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            // The one who asks may have gone.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let port = server.port();
    let (everywhere, url) = (format!("0.0.0.0:{port}"), format!("http://127.0.0.1:{port}"));
    let page = format!("{url}/page");
    let nobody = "127.0.0.1:1";
    for (arguments, addr) in [
        (vec!["health"], everywhere.as_str()),
        (vec!["health", url.as_str()], nobody),
        (vec!["health", page.as_str()], nobody),
        (vec!["health", "--addr", everywhere.as_str()], nobody),
        (vec!["audit", "service"], everywhere.as_str()),
        (vec!["audit", "service", "--url", url.as_str()], nobody),
    ] {
        let (code, out, err) = lab(&arguments, &[("LAB_ADDR", addr)]).await;
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
    }
    assert_eq!(
        *heads.lock().expect("no panic"),
        ["/healthz", "/healthz", "/page", "/healthz", "/audit", "/audit"]
            .map(|path| format!("GET {path} HTTP/1.1"))
    );
}

#[tokio::test]
async fn an_unreachable_server_ends_with_3_and_a_bad_response_with_1() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let addr = nobody.to_string();
    for (arguments, other) in [
        (vec!["health"], "`lab health URL`"),
        (vec!["audit", "http"], "--url"),
        (vec!["audit", "streams"], "--url"),
    ] {
        let (code, out, err) = lab(&arguments, &[("LAB_ADDR", &addr)]).await;
        let expected = format!(
            "lab: nothing listens on http://{addr}: start a server with `lab`, or name another with {other}\n"
        );
        assert_eq!((code, out.as_str(), err), (3, "", expected), "{arguments:?}");
    }
    let nameless = format!("http://{}.invalid:8080", "x".repeat(64));
    let (code, _, err) = lab(&["audit", "http", "--url", &nameless], &[]).await;
    assert!(code == 3 && err.contains("cannot be resolved") && err.contains(&nameless), "{code} {err}");

    let ill = says("HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n").await;
    let garbage = says("HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\n{}").await;
    let broken = says("HTTP/1.1 200 X\r\ncontent-length: 99\r\n\r\nhalf").await;
    for (system, url, why) in [
        ("http", &ill, "answered 503 Service Unavailable"),
        ("http", &garbage, "did not answer with balance sheets: it is not a server of the lab\n"),
        ("streams", &broken, "the answer broke off"),
    ] {
        let (code, _, err) = lab(&["audit", system, "--url", &url.to_string()], &[]).await;
        assert!(code == 1 && err.contains(why) && err.contains(&url.origin()), "{code} {err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    let (code, _, err) = lab(&["health"], &[("LAB_ADDR", "127.0.0.1:0")]).await;
    assert!(code == 2 && err.contains("LAB_ADDR"), "{code} {err}");
    let (code, _, err) = lab(&["health", "ftp://x"], &[]).await;
    assert!(code == 2 && err.contains("https://"), "{code} {err}");
}

#[tokio::test]
async fn an_https_server_is_called_if_it_is_trusted_and_otherwise_tls_gives_the_reason() {
    let (acceptor, pem) = crate::load::certificate();
    let server = bad_server(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            reads_head(&mut stream).await;
            // The one who asks may have gone.
            let _ = stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\nok").await;
            let _ = stream.shutdown().await;
        }
    });
    let url = format!("https://localhost:{}/", server.await.port());
    let directory = tempfile::tempdir().expect("a directory");
    let trusted = directory.path().join("trusted.pem");
    let file = trusted.to_str().expect("text");
    std::fs::write(&trusted, pem).expect("written");
    let (code, out, err) = lab(&["health", &url], &[("SSL_CERT_FILE", file)]).await;
    assert_eq!((code, out.as_str()), (0, "ok\n"), "{err}");
    std::fs::write(&trusted, crate::load::certificate().1).expect("written");
    let (code, _, err) = lab(&["health", &url], &[("SSL_CERT_FILE", file)]).await;
    assert!(code == 1 && err.contains("TLS failed: invalid peer certificate"), "{code} {err}");
    let plain = bad_server(|mut stream| async move {
        // It takes the beginning of TLS for a bad request. The one who asks may have gone.
        let _ = stream.write_all(b"HTTP/1.1 400 X\r\n\r\n").await;
    });
    let plain = format!("https://{}/", plain.await);
    let (code, _, err) = lab(&["health", &plain], &[("SSL_CERT_FILE", file)]).await;
    assert!(code == 1 && err.contains("TLS failed"), "{code} {err}");
}
