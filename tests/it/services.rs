//! Services as processes of their own, and real ones that misbehave.

use std::net::SocketAddr;

use futures_util::future::join_all;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::support::{Server, at_rest, get, send};

fn lab(a: &Server, b: &Server, more: &[(&str, &str)]) -> Server {
    let (a, b) = (a.url("/"), b.url("/"));
    let mut environment = vec![("SERVICE_A_URL", a.as_str()), ("SERVICE_B_URL", b.as_str())];
    environment.extend(more);
    Server::start(&["serve"], &environment)
}

#[tokio::test]
async fn a_strategy_works_with_services_as_processes_which_notice_disconnected_callers() {
    let a = Server::start(&["service", "a", "--service-a-latency=uniform:1,5"], &[]);
    // Half of B's calls take far longer than the deadline, the others far less.
    let latency = "bimodal:1,60000,0.5";
    let b = Server::start(&["service", "b", "--service-b-latency", latency, "--service-b-error-rate=0"], &[]);
    let lab = lab(&a, &b, &[("ASYNC_TIMEOUT_MS", "10000")]);
    let alone = Server::start(
        &["serve"],
        &[
            ("SERVICE_A_LATENCY", "uniform:1,5"),
            ("SERVICE_B_LATENCY", latency),
            ("SERVICE_B_ERROR_RATE", "0"),
            ("ASYNC_TIMEOUT_MS", "10000"),
        ],
    );
    let statuses = async |server: &Server| -> Vec<u16> {
        let paths = (0..100).map(|seed| format!("/async-timeout?seed={seed}"));
        join_all(paths.map(async |path| get(server.addr, &path).await.status)).await
    };
    // The process draws what the lab would have drawn.
    let (remote, simulated) = tokio::join!(statuses(&lab), statuses(&alone));
    assert_eq!(remote, simulated);
    let late = remote.iter().filter(|status| **status == 504).count() as u64;
    assert!(
        (20..80).contains(&late) && remote.iter().all(|status| matches!(status, 200 | 504)),
        "{remote:?}"
    );
    let quick = remote.iter().position(|status| *status == 200).expect("a quick one");
    for path in ["/sync", "/async", "/async-limited"] {
        assert_eq!(get(lab.addr, &format!("{path}?seed={quick}")).await.status, 200, "{path}");
    }

    // Both processes must agree on what became of the calls, and nothing works on for nobody.

    let at_lab = at_rest(lab.addr).await;
    let at_b = at_rest(b.addr).await;
    assert!(at_lab.balances() && at_b.balances());
    let (seen, own) = (&at_lab.service.services["shared B"], &at_b.service.services["B"]);
    assert_eq!(seen.cancelled, late);
    assert_eq!(own.orphaned, Some(0), "aborted, not orphaned");
    assert_eq!((own.cancelled, own.started), (late, seen.started));

    // What happens behind a URL is unknown, never 0.
    assert_eq!((seen.orphaned, at_lab.service.sum.orphaned), (None, None));
    let audit = get(lab.addr, "/service/audit").await.json();
    assert!(audit["orphaned"].is_null());
    assert_eq!(audit["orphaned_why"], "service_behind_url");
    let metrics = get(lab.addr, "/metrics").await.body;
    assert!(!metrics.contains("service_orphaned_total{"));
    assert!(metrics.contains("service_inflight{endpoint=\"shared\",service=\"B\"} 0"));
    assert_eq!(get(lab.addr, "/sync?b=constant:1").await.status, 400, "a real B has its own time");
}

#[tokio::test]
async fn a_service_that_continues_counts_its_orphaned_calls() {
    let b = Server::start(
        &["service", "b", "--service-b-latency=constant:5000", "--service-b-on-caller-gone=continue"],
        &[("SERVICE_B_ERROR_RATE", "0")],
    );
    let mut callers = Vec::new();
    for _ in 0..10 {
        let mut stream = TcpStream::connect(b.addr).await.expect("connected");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
        callers.push(stream);
    }
    crate::support::until(b.addr, "/audit", |answer| {
        (answer.json()["sheets"]["service"]["started"] == 10).then_some(())
    })
    .await;
    drop(callers);
    let sum = at_rest(b.addr).await.service.sum;
    assert_eq!((sum.completed, sum.cancelled, sum.orphaned), (10, 0, Some(10)));
    assert!(sum.orphaned_ms.expect("known") > 0.0);
}

/// A server that treats each connection with `behave`.
pub(crate) async fn bad_server<F>(behave: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(behave(stream));
        }
    });
    addr
}

pub(crate) async fn reads_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

#[tokio::test]
async fn a_misbehaving_real_service_is_a_failure_with_a_reason() {
    let says = |answer: &'static str| {
        bad_server(move |mut stream| async move {
            reads_head(&mut stream).await;
            // The other side may have gone.
            let _ = stream.write_all(answer.as_bytes()).await;
        })
    };
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("an address")
    };
    let silent = bad_server(|stream| async move {
        let _held = stream;
        std::future::pending::<()>().await;
    });
    for (addr, request, error) in [
        (nobody, "{}", "connection refused"),
        (says("").await, "{}", "no answer"),
        (says("HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n").await, "{}", "answered with a failure"),
        (
            says("HTTP/1.1 302 X\r\nlocation: /\r\ncontent-length: 0\r\n\r\n").await,
            "{}",
            "answered with a failure",
        ),
        (says("HTTP/1.1 200 X\r\ncontent-length: 99\r\n\r\nhalf").await, "{}", "the answer broke off"),
        (
            says("HTTP/1.1 200 X\r\ncontent-length: 20\r\n\r\nfar too long for this").await,
            r#"{"answer_limit_bytes":10}"#,
            "the answer is too large",
        ),
        (silent.await, r#"{"timeout_ms":150}"#, "timed out"),
    ] {
        let url = format!("http://{addr}/");
        let lab = Server::start(
            &["serve"],
            &[
                ("SERVICE_A_LATENCY", "constant:0"),
                ("SERVICE_B_URL", &url),
                ("SERVICE_B_REQUEST", request),
                ("ASYNC_TIMEOUT_MS", "60000"),
            ],
        );
        for path in ["/sync", "/async", "/async-limited", "/async-timeout"] {
            let answer = get(lab.addr, path).await;
            assert_eq!((answer.status, &answer.json()["b"]["error"]), (502, &error.into()), "{path}");
        }
        let audit = at_rest(lab.addr).await;
        assert!(audit.balances());
        assert!(audit.service.services.iter().any(|(name, ledger)| name.ends_with('B') && ledger.failed > 0));
    }
}

#[tokio::test]
async fn a_real_service_gets_the_configured_requests() {
    let (sender, mut heads) = tokio::sync::mpsc::channel(4);
    let addr = bad_server(move |mut stream| {
        let sender = sender.clone();
        async move {
            let head = reads_head(&mut stream).await;
            let mut body = [0; 7];
            stream.read_exact(&mut body).await.expect("a body");
            sender.send((head, body)).await.expect("room");
            stream.write_all(b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n").await.expect("sent");
        }
    })
    .await;
    let url = format!("http://{addr}/work?x=1");
    let request =
        r#"{"method":"POST","headers":{"x-tenant":"t1"},"body":"{\"n\":1}","success":["2xx","404"]}"#;
    let collector = bad_server(|mut stream| async move {
        reads_head(&mut stream).await;
    })
    .await;
    let lab = Server::start(
        &["serve"],
        &[
            ("SERVICE_A_LATENCY", "constant:0"),
            ("SERVICE_B_URL", &url),
            ("SERVICE_B_REQUEST", request),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{collector}")),
        ],
    );
    let parent = "GET /sync\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(send(lab.addr, parent, "").await.status, 200, "404 is a success by the rule");
    let received = tokio::time::timeout(crate::support::PATIENCE, heads.recv()).await;
    let (head, body) = received.expect("in time").expect("a request");
    assert!(head.starts_with("POST /work?x=1 HTTP/1.1"), "{head}");
    for line in ["x-tenant: t1", "lab-call: 1-0-0", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-"] {
        assert!(head.contains(line), "{line:?}: {head}");
    }
    assert!(!head.contains("b7ad6b7169203331"), "the service's parent is the call's span: {head}");
    assert_eq!(&body, b"{\"n\":1}");
}

#[tokio::test]
async fn a_real_service_is_called_over_tls_if_it_is_trusted() {
    let (acceptor, pem) = crate::load::certificate();
    let addr = bad_server(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut head = [0; 1024];
            // The one who asks may have gone.
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\nok").await;
            let _ = stream.shutdown().await;
        }
    })
    .await;
    let directory = tempfile::tempdir().expect("a directory");
    let (_, stranger) = crate::load::certificate();
    let url = format!("https://localhost:{}/", addr.port());
    for (trusted, status) in [(pem, 200), (stranger, 502)] {
        let file = directory.path().join("trusted.pem");
        std::fs::write(&file, trusted).expect("written");
        let file = file.to_str().expect("text");
        let lab = Server::start(
            &["serve"],
            &[("SERVICE_A_LATENCY", "constant:0"), ("SERVICE_B_URL", &url), ("SSL_CERT_FILE", file)],
        );
        let answer = get(lab.addr, "/sync").await;
        assert_eq!(answer.status, status, "{}", answer.body);
        if status == 502 {
            assert_eq!(answer.json()["b"]["error"], "TLS failed");
        }
    }
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "").expect("written");
    let nobody = empty.to_str().expect("text");
    let (code, _, err) = crate::support::run(
        &["serve"],
        &[
            ("SERVICE_B_URL", &url),
            ("SSL_CERT_FILE", nobody),
            ("SSL_CERT_DIR", nobody),
            ("LAB_ADDR", "127.0.0.1:0"),
        ],
    );
    assert!(code == 1 && err.contains("SSL_CERT_FILE") && err.lines().count() == 1, "{err}");
}
