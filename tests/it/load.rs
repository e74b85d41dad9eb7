//! `lab load` as people run it: against servers that behave and servers that do not.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
        server::WebPkiClientVerifier,
    },
};

use crate::support::{PATIENCE, Server, program, run};

/// Runs `lab load` to its end, with `--json`.
pub(crate) async fn load(arguments: &[&str]) -> (i32, Value) {
    let arguments: Vec<String> =
        ["load"].iter().chain(arguments).chain(&["--json"]).map(ToString::to_string).collect();
    let running = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&arguments, &[])
    });
    let (code, out, err) = tokio::time::timeout(PATIENCE, running).await.expect("in time").expect("it runs");
    (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out} {err}")))
}

/// A server that treats each connection with `behave`.
pub(crate) async fn server<F>(behave: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
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

/// Whether a request's head has come; without a body it ends with an empty line.
async fn reads_head(stream: &mut TcpStream) -> bool {
    let mut tail = [0_u8; 4];
    while tail != *b"\r\n\r\n" {
        tail.rotate_left(1);
        match stream.read_u8().await {
            Ok(byte) => tail[3] = byte,
            Err(_) => return false,
        }
    }
    true
}

/// Answers every request with these bytes.
async fn says(answer: &'static str, then_holds: bool) -> SocketAddr {
    server(move |mut stream| async move {
        if reads_head(&mut stream).await {
            // The other side may have gone.
            let _ = stream.write_all(answer.as_bytes()).await;
            if then_holds {
                std::future::pending::<()>().await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn each_kind_of_misbehaviour_has_its_own_count() {
    let refused = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("an address")
    };
    let endless = server(|mut stream| async move {
        if reads_head(&mut stream).await && stream.write_all(b"HTTP/1.1 200 OK\r\n").await.is_ok() {
            while stream.write_all(b"x-more: and more and more and more\r\n").await.is_ok() {}
        }
    })
    .await;
    let part = "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf";
    let cases = [
        ("closed_before_answer", says("", false).await.to_string()),
        ("closed_before_answer", says("HTTP/1.1 200 OK\r\nx-half: ", false).await.to_string()),
        ("no_answer_in_time", says("", true).await.to_string()),
        ("body_cut_short", says(part, false).await.to_string()),
        ("body_not_in_time", says(part, true).await.to_string()),
        ("not_http", says("SSH-2.0-OpenSSH_9.2\r\n\r\n", false).await.to_string()),
        ("not_http", says("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", false).await.to_string()),
        ("head_too_large", endless.to_string()),
        ("connection_refused", refused.to_string()),
        ("not_resolved", "does-not-exist.invalid".to_owned()),
    ];
    let check = async |(cause, authority): (&str, String)| {
        let url = format!("http://{authority}/");
        // What is to come comes within it on any machine.
        let timeout = if cause.ends_with("_in_time") { "5s" } else { "60s" };
        let arguments = [url.as_str(), "--rate", "20", "--for", "500ms", "--timeout", timeout];
        let (code, result) = load(&arguments).await;
        assert_eq!(code, 1, "nothing was answered: {cause}");
        let measured = &result["measured"];
        assert_eq!(measured["causes"], serde_json::json!({ cause: 10 }), "{authority}");
        assert_eq!(result["summary"]["offered"], 10, "{cause}");
        assert_eq!(measured["recorder"]["from_intended_start"]["infinitely_slow"], 10, "{cause}");
    };
    futures_util::future::join_all(cases.map(check)).await;
}

#[tokio::test]
async fn a_run_without_a_good_response_says_so_first_and_fails() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("an address")
    };
    let missing = says("HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n", false).await;
    for (addr, more, reason) in [
        (nobody, vec!["--closed", "2", "--for", "1h"], "of them: connection refused: nobody listens there."),
        (nobody, vec!["--rate", "20", "--for", "1h"], "of them: connection refused: nobody listens there."),
        (
            missing,
            vec!["--rate", "20", "--for", "500ms"],
            "none of 10 requests was a success within 1.50 s. 10 of them: answered 404.",
        ),
    ] {
        let url = format!("http://{addr}/");
        let arguments: Vec<String> = ["load", &url].into_iter().chain(more).map(ToOwned::to_owned).collect();
        let running = tokio::task::spawn_blocking(move || {
            run(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &[])
        });
        let (code, out, _) =
            tokio::time::timeout(PATIENCE, running).await.expect("in time").expect("it runs");
        let first = out.lines().find(|line| !line.starts_with('$')).unwrap_or_default();
        assert!(code == 1 && first.contains("Nothing was good: ") && first.contains(reason), "{out}");
    }
}

#[tokio::test]
async fn wrong_lengths_and_redirects_are_reported() {
    let redirect = says("HTTP/1.1 302 X\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", false).await;
    let (code, result) = load(&[&format!("http://{redirect}/"), "--rate", "20", "--for", "500ms"]).await;
    assert_eq!((code, &result["measured"]["statuses"]), (1, &serde_json::json!({ "302": 10 })));
    assert_eq!(result["summary"]["good"], 0);
    assert!(result["notes"].to_string().contains("10 answers were redirects"), "{}", result["notes"]);

    let long = says("HTTP/1.1 200 X\r\ncontent-length: 4\r\n\r\nfour and more than that", true).await;
    let (_, result) = load(&[&format!("http://{long}/"), "--rate", "20", "--for", "500ms"]).await;
    let lost: u64 =
        result["measured"]["causes"].as_object().expect("causes").values().filter_map(Value::as_u64).sum();
    assert_eq!(result["summary"]["answered"].as_u64().expect("a count") + lost, 10);
    assert!(result["connections"]["broken_idle"].as_u64().expect("a count") > 0, "{}", result["connections"]);
}

#[tokio::test]
async fn checks_decide_the_exit_code_and_every_format_is_written() {
    let server =
        Server::start(&["service", "b", "--service-b-latency=constant:5", "--service-b-error-rate=0"], &[]);
    let url = server.url("/");
    let base = ["load", url.as_str(), "--rate", "100", "--for", "1s", "--slo-ms", "60s"];
    let with = |more: &[&str]| run(&[&base, more].concat(), &[]);

    let (code, out, err) = with(&["--check", "p50<60s,ok>=100%"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    for part in
        ["offered 100 in 1.0 s (100.0 /s)", "from the intended start", "status  200: 100", "p50<60s: held"]
    {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (code, out, _) = with(&["--check", "p50<1us"]);
    assert!(code == 1 && out.contains("p50<0.001ms: NOT held ("), "{out}");
    let (code, out, _) = with(&["--check", "p99<10s"]);
    assert!(code == 1 && out.contains("not known: 100 requests, but 1000 are needed"), "{out}");

    let (_, csv, _) = with(&["--csv"]);
    let rows: Vec<&str> = csv.lines().collect();
    assert!(
        rows[0].starts_with("second,offered,ok,good") && rows[1].starts_with("0,100,100,100,0,0,0,0,0,"),
        "{csv}"
    );
    let (_, html, _) = with(&["--html"]);
    assert!(
        html.starts_with("<!doctype html>")
            && html.contains("<svg class=\"chart\"")
            && !html.contains("<script")
    );
    let (code, _, err) = with(&["--html", "--json"]);
    assert!(code == 2 && err.lines().count() == 1, "{err}");
}

#[tokio::test]
async fn results_of_several_hosts_are_merged() {
    let server = Server::start(
        &["service", "b", "--service-b-latency=uniform:1,9", "--service-b-error-rate=0.2"],
        &[],
    );
    let directory = tempfile::tempdir().expect("a directory");
    let url = server.url("/");
    let lab = |arguments: &[&str]| program(directory.path(), arguments, &[]).output().expect("it runs");
    for file in ["--json=a.json", "--json=b.json"] {
        let output = lab(&["load", &url, "--rate", "100", "--for", "1s", "--arrivals", "poisson", file]);
        assert!(output.status.success(), "{output:?}");
    }
    let merged = lab(&["load", "merge", "a.json", "b.json", "--json"]);
    let sum: Value = serde_json::from_slice(&merged.stdout).expect("JSON");
    let read = |name: &str| -> Value {
        let text = std::fs::read_to_string(directory.path().join(name)).expect("a file");
        serde_json::from_str(&text).expect("JSON")
    };
    let parts = [read("a.json"), read("b.json")];
    for path in [
        "/summary/offered",
        "/measured/statuses/200",
        "/measured/statuses/500",
        "/connections/opened",
        "/measured/recorder/from_intended_start/answered",
    ] {
        let of = |value: &Value| value.pointer(path).and_then(Value::as_u64).expect(path);
        assert_eq!(of(&sum), of(&parts[0]) + of(&parts[1]), "{path}");
    }
    std::fs::write(directory.path().join("c.json"), "{}").expect("written");
    let closed = lab(&["load", &url, "--closed=1", "-n1", "--success", "200,500", "--json=closed.json"]);
    assert!(closed.status.success(), "{closed:?}");
    for (name, key, value) in
        [("older.json", "schema", Value::from("lab/load/0")), ("slo.json", "slo_ms", Value::from(1))]
    {
        let mut document = parts[0].clone();
        document[key] = value;
        std::fs::write(directory.path().join(name), document.to_string()).expect("written");
    }
    std::fs::write(directory.path().join("list.json"), r#"["lab/load/1", "open"]"#).expect("written");
    std::fs::write(directory.path().join("empty.json"), "\n").expect("written");
    let whole = parts[0].to_string();
    std::fs::write(directory.path().join("cut.json"), &whole[..whole.len() / 2]).expect("written");
    std::fs::write(directory.path().join("text.json"), "{offered}").expect("written");
    for (file, code, part) in [
        ("c.json", 1, "c.json is not a result of `lab load --json`: missing field `schema`"),
        ("list.json", 1, "list.json is not a result of `lab load --json`: it is not a JSON object"),
        ("empty.json", 1, "it is empty"),
        ("cut.json", 1, "it ends in the middle: a part of it was cut off"),
        ("text.json", 1, "it is not JSON: key must be a string"),
        ("older.json", 1, "another version of lab"),
        ("slo.json", 1, "its objective is 1 ms, that of the results before it is 1500 ms"),
        ("closed.json", 1, "its loop is closed, that of the results before it is open"),
        ("a.json", 2, "a.json: the same file as a.json"),
        ("./a.json", 2, "./a.json: the same file as a.json"),
    ] {
        let refused = lab(&["load", "merge", "a.json", file]);
        let err = String::from_utf8_lossy(&refused.stderr);
        assert_eq!((refused.status.code(), err.lines().count()), (Some(code), 1), "{file}: {err}");
        assert!(err.contains(part), "{file}: {err}");
    }
    // Early versions named the kind of loop only in the command.
    for (name, document) in [("early.json", &parts[0]), ("early-closed.json", &read("closed.json"))] {
        let mut document = document.clone();
        document.as_object_mut().expect("an object").remove("pace").expect("a pace");
        std::fs::write(directory.path().join(name), document.to_string()).expect("written");
    }
    for [first, early, pace] in
        [["b.json", "early.json", "open"], ["closed.json", "early-closed.json", "closed"]]
    {
        let merged = lab(&["load", "merge", first, early, "--json"]);
        assert!(merged.status.success(), "{merged:?}");
        let sum: Value = serde_json::from_slice(&merged.stdout).expect("JSON");
        assert_eq!(sum["pace"], pace);
    }
    let refused = lab(&["load", "merge", "a.json", "early-closed.json"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("its loop is closed"), "{refused:?}");
}

#[test]
fn an_invalid_argument_is_refused_in_one_line() {
    for (arguments, part) in [
        (vec!["http://u:secret@h:0/"], "***@h:0/"),
        (vec!["http://u:secret@h/", "-H", "Authorization: x"], "the URL names a user too"),
        (vec![], "<URL>"),
        (vec!["ftp://x/"], "http:// or https:// URL"),
        (vec!["http://x/", "--rate", "0"], "from 1/h to 1000000/s"),
        (vec!["http://x/", "--for", "1"], "a time needs a unit: did you mean 1s?"),
        (vec!["http://x/", "--schedule", "often"], "RATE for TIME"),
        (vec!["http://x/", "--schedule", "file:absent"], "absent"),
        (vec!["http://x/", "--schedule", "5 for 1s", "--rate", "3"], "--rate"),
        (vec!["http://x/", "--check", "p95"], "p95<800ms,good>99%"),
        (vec!["http://x/", "--find-max", "soon"], "p95<800ms,good>99%"),
        (vec!["http://x/", "--method", "a b"], "a method such as GET"),
        (vec!["http://x/", "-H", "x"], "NAME: VALUE"),
        (vec!["http://x/", "-d", "@absent"], "absent"),
        (vec!["http://x/", "--success", "2xx,often"], "statuses such as 2xx,304"),
        (vec!["http://x/", "--closed", "0"], "a whole number from 1 to 100000"),
        (vec!["http://x/", "--paced"], "--closed"),
        (vec!["http://x/", "-d", "four", "-H", "Content-Length: 5"], "the body has 4 bytes"),
        (vec!["http://x/", "-H", "Host: a", "-H", "host: b"], "twice"),
        (vec!["https://x/", "-H", "Connection: close"], "HTTP/2 has no such header"),
        (vec!["compare", "3*http://x/", "http://y/"], "no weights"),
        (vec!["http://x/", "--slo-ms", "2m"], "from 1ms to 60s"),
        (vec!["http://x/", "--max-in-flight", "0"], "lab: --max-in-flight: \"0\" is not allowed"),
        (vec!["http://x/", "--seed", "2"], "--arrivals poisson"),
        (vec!["compare", "http://x/", "http://y/", "--seed", "2"], "--arrivals poisson"),
        (vec!["http://x/", "--find-max", "ok>1%", "--rate", "9", "--max-rate", "8"], "above --max-rate 8"),
        (vec!["http://x/", "--http1", "--http2"], "--http2"),
        (vec!["https://x/", "--ca", "absent.pem"], "absent.pem"),
        (vec!["compare", "http://x/"], "<B>"),
        (vec!["compare", "http://x/", "http://y/", "--margin=-1%"], "from 0 to 10"),
        (vec!["merge"], "<FILE>"),
    ] {
        let arguments: Vec<&str> = ["load"].into_iter().chain(arguments).collect();
        let (code, out, err) = run(&arguments, &[]);
        assert_eq!((code, out.as_str(), err.lines().count()), (2, "", 1), "{arguments:?}: {err}");
        assert!(err.contains(part) && !err.contains("secret"), "{part}: {err}");
    }
}

#[test]
fn the_command_of_a_result_includes_settings_from_the_environment() {
    let environment = [("LAB_SEED", "5"), ("LAB_SLO_MS", "60"), ("LAB_MAX_IN_FLIGHT", "7")];
    for (flags, command) in [
        (&["--schedule", "burst 1"][..], "--schedule 'burst 1' --slo-ms 60"),
        (&["-n", "1", "--arrivals", "poisson"], "--requests 1 --arrivals poisson --seed 5 --slo-ms 60"),
    ] {
        let (_, out, err) =
            run(&[&["load", "http://127.0.0.1:1/"], flags, &["--json"]].concat(), &environment);
        let result: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out} {err}"));
        let sorted = |text: &str| {
            let mut words: Vec<String> = text.split(" --").map(ToOwned::to_owned).collect();
            words.sort();
            words
        };
        let found = result["command"].as_str().expect("a command");
        assert_eq!(sorted(found), sorted(&format!("lab load http://127.0.0.1:1/ {command}")));
    }
}

/// A server that hands on what it reads and answers 304.
async fn listens() -> (SocketAddr, tokio::sync::mpsc::Receiver<String>) {
    let (came, requests) = tokio::sync::mpsc::channel(1);
    let addr = server(move |mut stream| {
        let came = came.clone();
        async move {
            let mut request = vec![0; 1024];
            let length = stream.read(&mut request).await.expect("a request");
            request.truncate(length);
            came.send(String::from_utf8(request).expect("text")).await.expect("the test is there");
            stream.write_all(b"HTTP/1.1 304 X\r\ncontent-length: 0\r\n\r\n").await.expect("it reads");
        }
    })
    .await;
    (addr, requests)
}

#[tokio::test]
async fn a_body_is_posted_as_curl_does() {
    const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";
    let agent = format!("user-agent: lab/{}\r\n", env!("CARGO_PKG_VERSION"));
    let (addr, mut requests) = listens().await;
    let url = format!("http://{addr}/");
    let cases: [(&[&str], &[&str]); 5] = [
        (&[], &["GET / ", &agent]),
        (&["-d", "a=b"], &["POST / ", FORM, "content-length: 3\r\n", "\r\n\r\na=b"]),
        (&["-d", "@-"], &["POST / ", FORM, "\r\n\r\nfrom stdin"]),
        (
            &["-d", "{}", "-X", "PUT", "-H", "content-type: application/json"],
            &["PUT / ", "content-type: application/json\r\n"],
        ),
        (&["-H", "User-Agent: me"], &["user-agent: me\r\n"]),
    ];
    for (arguments, parts) in cases {
        let directory = tempfile::tempdir().expect("a directory");
        let arguments =
            [&["load", &url, "--schedule", "burst 1", "--success", "2xx,304"], arguments].concat();
        let mut command = program(directory.path(), &arguments, &[]);
        let mut child = command.stdin(std::process::Stdio::piped()).spawn().expect("it starts");
        std::io::Write::write_all(&mut child.stdin.take().expect("stdin"), b"from stdin").expect("it reads");
        let request =
            tokio::time::timeout(PATIENCE, requests.recv()).await.expect("in time").expect("a request");
        for part in parts {
            assert!(request.contains(part), "{part}: {request}");
        }
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output()).await.expect("it ends");
        let output = ended.expect("its output");
        assert!(output.status.success(), "304 is a success here: {output:?}");
    }
}

#[tokio::test]
async fn a_url_is_accepted_as_people_write_it_and_its_password_is_hidden() {
    let (addr, mut requests) = listens().await;
    let url = format!("http://user:secret@{addr}?q=ü b#part");
    let (code, result) = load(&[&url, "--schedule", "burst 1", "--success", "3xx"]).await;
    assert_eq!(code, 0, "{result}");
    let head = requests.recv().await.expect("a request");
    assert!(head.starts_with("GET /?q=%C3%BC%20b HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: Basic dXNlcjpzZWNyZXQ=\r\n"), "{head}");
    assert!(head.contains(&format!("host: {addr}\r\n")), "{head}");
    assert!(!result.to_string().contains("secret"), "{result}");
}

#[tokio::test]
async fn a_signal_prints_what_was_measured_and_a_second_one_ends_it_at_once() {
    for (answers, signals, code) in [(true, 1, 0), (false, 2, 130)] {
        let (came, mut requests) = tokio::sync::mpsc::channel(1);
        let addr = server(move |mut stream| {
            let came = came.clone();
            async move {
                while reads_head(&mut stream).await {
                    // Nobody counts any more once there were enough.
                    let _ = came.try_send(());
                    if answers && stream.write_all(b"HTTP/1.1 204 X\r\n\r\n").await.is_err() {
                        break;
                    }
                }
            }
        })
        .await;
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("http://{addr}/");
        let arguments = ["load", &url, "--rate", "200", "--for", "1h", "--json=result"];
        let mut child = program(directory.path(), &arguments, &[]).spawn().expect("it starts");
        let pid = Pid::from_child(&child);
        let ending = async {
            for _ in 0..20 {
                requests.recv().await.expect("a request");
            }
            kill_process(pid, Signal::INT).expect("it is there");
            loop {
                match child.try_wait().expect("its status") {
                    Some(status) => break status,
                    None if signals == 2 => kill_process(pid, Signal::INT).expect("it is there"),
                    None => {}
                }
                // It says nothing of a signal that it has heard: only that it ends.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let status = tokio::time::timeout(PATIENCE, ending).await.expect("in time");
        assert_eq!(status.code(), Some(code));
        let result = std::fs::read(directory.path().join("result")).expect("a result");
        let result: Value = serde_json::from_slice(&result).expect("JSON");
        assert_eq!(result["measured"]["interrupted"], true);
        assert!(result["summary"]["offered"].as_u64() > Some(10));
        let left = result["measured"]["recorder"]["from_intended_start"]["censored"].as_u64();
        assert_eq!(left == Some(0), answers, "{left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_stopped_before_measuring_keeps_the_old_result() {
    let (heard, mut requests) = tokio::sync::mpsc::channel(1);
    let addr = server(move |mut stream| {
        let heard = heard.clone();
        async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = heard.send(()).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            std::future::pending().await
        }
    })
    .await;
    let url = format!("http://{addr}/");
    for arguments in
        [&["load", "compare", &url, &url][..], &["load", &url, "--find-max", "p99<1h", "--max-rate", "20"]]
    {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("old"), "an older result").expect("written");
        let arguments = [arguments, &["--for=1h", "--timeout=1s", "--json=old", "--csv=new"]].concat();
        let mut program = program(directory.path(), &arguments, &[]);
        let child = program.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let child = child.spawn().expect("it starts");
        requests.recv().await.expect("a request");
        kill_process(Pid::from_child(&child), Signal::INT).expect("it is there");
        let ended = tokio::task::block_in_place(|| child.wait_with_output()).expect("it ends");
        let err = String::from_utf8_lossy(&ended.stderr);
        assert_eq!((ended.status.code(), ended.stdout.len()), (Some(1), 0), "{arguments:?}: {err}");
        assert!(err.contains("before anything was measured"), "{err}");
        let old = std::fs::read_to_string(directory.path().join("old")).expect("it is there");
        assert_eq!(old, "an older result");
        assert!(!directory.path().join("new").exists());
        while requests.try_recv().is_ok() {}
    }
}

/// A server of both protocols over TLS, or of HTTP/2 without it, that answers with what was spoken.
async fn modern_server(tls: Option<TlsAcceptor>) -> SocketAddr {
    async fn answer(request: Request<hyper::body::Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let status = match (request.version(), request.uri().host().is_some()) {
            (hyper::Version::HTTP_2, true) => 202,
            (hyper::Version::HTTP_11, false) => 201,
            _ => 400,
        };
        let mut response = Response::new(Full::new(Bytes::from_static(b"hello")));
        *response.status_mut() = status.try_into().expect("a status");
        Ok(response)
    }
    let http2 = || hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    server(move |stream| {
        let tls = tls.clone();
        async move {
            // Clients come and go as they like.
            let Some(tls) = tls else {
                let _ = http2().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
                return;
            };
            let Ok(stream) = tls.accept(stream).await else { return };
            let speaks_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let io = TokioIo::new(stream);
            if speaks_http2 {
                let _ = http2().serve_connection(io, service_fn(answer)).await;
            } else {
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(io, service_fn(answer)).await;
            }
        }
    })
    .await
}

/// A certificate for `localhost` that signs itself: what serves, and the PEM to trust.
pub(crate) fn certificate() -> (TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a key");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}

#[tokio::test]
async fn http2_and_tls_work_and_unknown_certificates_are_refused() {
    let (acceptor, pem) = certificate();
    let directory = tempfile::tempdir().expect("a directory");
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, pem).expect("written");
    let ca = Path::new(&ca).to_str().expect("text");
    let secure = modern_server(Some(acceptor)).await;
    let clear = modern_server(None).await;
    let secure = format!("https://localhost:{}/x", secure.port());
    let clear = format!("http://{clear}/x");
    let common = ["--rate", "50", "--for", "1s"];
    for (arguments, status, connections) in [
        (vec![secure.as_str(), "--ca", ca], "202", Some(1)),
        (vec![secure.as_str(), "--ca", ca, "--http2", "--connections", "2"], "202", Some(2)),
        (vec![secure.as_str(), "--ca", ca, "--http1"], "201", None),
        (vec![secure.as_str(), "--insecure"], "202", None),
        (vec![clear.as_str(), "--http2"], "202", Some(1)),
    ] {
        let (code, result) = load(&[&arguments[..], &common].concat()).await;
        let statuses = &result["measured"]["statuses"];
        assert_eq!(
            (code, statuses),
            (0, &serde_json::json!({ status: 50 })),
            "{arguments:?}: {}",
            result["measured"]["causes"]
        );
        if let Some(connections) = connections {
            assert_eq!(result["connections"]["opened"], connections, "{arguments:?}");
        }
    }
    // Signed by itself, and not among those that are trusted.
    let (_, other) = certificate();
    std::fs::write(ca, other).expect("written");
    let (code, result) = load(&[&[secure.as_str(), "--ca", ca], &common[..]].concat()).await;
    assert_eq!((code, &result["measured"]["causes"]), (1, &serde_json::json!({ "tls": 50 })));
    let reason = &result["reasons"]["tls"];
    assert!(reason.to_string().contains("invalid peer certificate: "), "{reason}");
    assert!(
        result["notes"][0].to_string().contains("TLS failed (invalid peer certificate: "),
        "{}",
        result["notes"]
    );
}

/// A certificate that calls itself an authority, as `openssl req -x509` makes them, until this year.
fn authority(until_year: i32) -> (rcgen::CertificateParams, rcgen::KeyPair, rcgen::Certificate) {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(until_year, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    (params, key, certificate)
}

/// Serves with this certificate, and lets in whom `clients` signed if it is given.
fn acceptor(
    key: &rcgen::KeyPair,
    certificate: &rcgen::Certificate,
    clients: Option<&rcgen::Certificate>,
) -> TlsAcceptor {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der().clone()).expect("an authority");
            let provider = Arc::new(ring::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = builder.with_single_cert(vec![certificate.der().clone()], key).expect("a key");
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn a_listed_certificate_is_trusted_but_its_name_and_dates_are_checked() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("text").to_owned()
    };
    let (_, good_key, good) = authority(2500);
    let (_, old_key, old) = authority(2001);
    let ca = write("ca.pem", &(good.pem() + &old.pem()));
    let good = modern_server(Some(acceptor(&good_key, &good, None))).await.port();
    let old = modern_server(Some(acceptor(&old_key, &old, None))).await.port();
    for (url, reason) in [
        (format!("https://localhost:{good}/"), None),
        (format!("https://127.0.0.1:{good}/"), Some("not valid for name")),
        (format!("https://localhost:{old}/"), Some("expired")),
    ] {
        let (code, result) = load(&[&url, "--ca", &ca, "--schedule", "burst 2"]).await;
        assert_eq!(code, i32::from(reason.is_some()), "{url}: {}", result["reasons"]);
        assert!(
            result["reasons"].to_string().contains(reason.unwrap_or("{}")),
            "{url}: {}",
            result["reasons"]
        );
    }
}

#[tokio::test]
async fn a_client_sends_its_certificate_if_the_server_requests_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("text").to_owned()
    };
    let (params, key, certificate) = authority(2500);
    let server = modern_server(Some(acceptor(&key, &certificate, Some(&certificate)))).await;
    let url = format!("https://localhost:{}/", server.port());
    let client_key = rcgen::KeyPair::generate().expect("a key");
    let client = rcgen::CertificateParams::new(vec!["client".to_owned()]).expect("parameters");
    let client = client.signed_by(&client_key, &rcgen::Issuer::new(params, key)).expect("a certificate");
    let ca = write("ca.pem", &certificate.pem());
    let (cert, key) = (write("cert.pem", &client.pem()), write("key.pem", &client_key.serialize_pem()));
    let both = write("both.pem", &(client.pem() + &client_key.serialize_pem()));
    for (identity, code) in
        [(vec!["--cert", &cert, "--key", &key], 0), (vec!["--cert", &both], 0), (vec![], 1)]
    {
        let arguments = [&[&url, "--ca", &ca, "--schedule", "burst 2"], &identity[..]].concat();
        let (got, result) = load(&arguments).await;
        assert_eq!(got, code, "{}", result["reasons"]);
        if code == 1 {
            assert!(
                result["reasons"]["tls"].to_string().contains("CertificateRequired"),
                "{}",
                result["reasons"]
            );
        }
    }
    let (code, _, err) = run(&["load", &url, "--ca", &ca, "--cert", &cert], &[]);
    assert!(code == 2 && err.contains("cert.pem"), "{err}");
}

#[tokio::test]
async fn connections_are_limited_and_reused_and_waiting_for_one_is_not_the_generators_lag() {
    let server =
        Server::start(&["service", "b", "--service-b-latency=constant:20", "--service-b-error-rate=0"], &[]);
    let url = server.url("/");
    let (code, result) = load(&[&url, "--rate", "200", "--for", "1s", "--connections", "2"]).await;
    assert_eq!((code, &result["connections"]["opened"]), (0, &2.into()));
    // Two connections of 20 ms carry 100 a second: half of the requests queue.
    let p50 =
        |view: &str| result["measured"]["recorder"][view]["percentiles"]["p50_ms"].as_f64().expect("a time");
    assert!(p50("from_intended_start") > 2.0 * p50("from_send"), "{result}");
}

#[tokio::test]
async fn with_many_connections_the_rate_is_kept_or_a_note_says_otherwise() {
    let server = Server::start(
        &["service", "b", "--service-b-latency=constant:1500", "--service-b-error-rate=0"],
        &[],
    );
    let url = server.url("/");
    let (code, result) = load(&[&url, "--rate", "400", "--for", "3s", "--slo-ms", "60s"]).await;
    assert_eq!((code, &result["measured"]["statuses"]), (0, &serde_json::json!({ "200": 1200 })));
    let sent = result["summary"]["sent_per_second"].as_f64().expect("a rate");
    let fell_behind = result["summary"]["fell_behind"] == true;
    assert!((sent / 400.0 - 1.0).abs() < 0.01 || fell_behind, "{sent}");
    let opened = result["connections"]["opened"].as_u64().expect("a count");
    assert!(opened >= 500, "600 are in flight at a time: {opened}");
}

#[tokio::test]
async fn schedules_come_from_files_and_urls_have_weights() {
    let server =
        Server::start(&["service", "b", "--service-b-latency=constant:1", "--service-b-error-rate=0"], &[]);
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("text").to_owned()
    };
    let phases = write("phases", "# a ramp, then all at once\n0..40 for 1s\nburst 10\n");
    let recorded = write("recorded", "100.0,x\n100.0,y\n100.25\n100.5\n");
    let (url, missing) = (server.url("/"), format!("3*{}", server.url("/missing")));
    for (schedule, offered) in [(format!("file:{phases}"), 30), (format!("arrivals:{recorded}"), 4)] {
        let (code, result) = load(&[&url, &missing, "--schedule", &schedule]).await;
        let statuses = &result["measured"]["statuses"];
        let parts = result["measured"]["parts"].as_array().expect("parts");
        let first = offered / 4 + u64::from(offered % 4 > 1);
        let told: Vec<Value> =
            parts.iter().map(|part| serde_json::json!([part["target"], part["statuses"]])).collect();
        assert_eq!(
            told,
            [
                serde_json::json!([url, { "200": first }]),
                serde_json::json!([missing, { "404": offered - first }])
            ]
        );
        assert_eq!(
            (code, statuses),
            (0, &serde_json::json!({ "200": first, "404": offered - first })),
            "{schedule}"
        );
    }
}

#[tokio::test]
async fn a_run_can_have_a_number_of_requests_and_few_requests_show_a_range() {
    let server =
        Server::start(&["service", "b", "--service-b-latency=constant:5", "--service-b-error-rate=0"], &[]);
    let url = server.url("/");
    for more in [
        vec!["--rate", "500"],
        vec!["--rate", "500", "--arrivals", "poisson"],
        vec!["--closed", "3"],
        vec!["--closed", "3", "--paced", "--rate", "500", "--arrivals", "poisson"],
    ] {
        let (code, result) =
            load(&[&[url.as_str(), "-n", "100", "--slo-ms", "60s"], &more[..]].concat()).await;
        assert_eq!((code, &result["summary"]["offered"]), (0, &100.into()), "{more:?}");
        assert!(result["measured"]["scheduled_ms"].as_f64() < Some(60_000.0), "{more:?}");
        assert_eq!(result["measured"]["interrupted"], false, "{more:?}");
    }
    let (_, out, _) = run(&["load", &url, "-n", "1", "--slo-ms", "60s"], &[]);
    let line = out.lines().find(|line| line.starts_with("few ")).unwrap_or_else(|| panic!("{out}"));
    let [min, mean, max] = ["min ", "mean ", "max "].map(|name| {
        let rest = line.split_once(name).expect("it is there").1;
        rest.split([',', 'o']).next().unwrap_or_default().trim()
    });
    assert!(min == max && mean == max && line.ends_with(" of 1 answered"), "{line}");
}

#[tokio::test]
async fn several_urls_have_a_row_each_in_every_format() {
    let server =
        Server::start(&["service", "b", "--service-b-latency=constant:1", "--service-b-error-rate=0"], &[]);
    let directory = tempfile::tempdir().expect("a directory");
    let (url, missing) = (server.url("/"), server.url("/missing"));
    let arguments = [
        "load", &url, &missing, "--rate", "40", "--for", "500ms", "--slo-ms", "60s", "--csv=c", "--html=h",
        "--json=j",
    ];
    let output = program(directory.path(), &arguments, &[]).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let table = String::from_utf8(output.stdout).expect("text");
    let row = |url: &str| {
        let line = table
            .lines()
            .find(|line| line.starts_with(&format!("{url} ")))
            .unwrap_or_else(|| panic!("{table}"));
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row(&url)[1..6], ["10", "100.00", "%", "100.00", "%"]);
    assert_eq!(row(&missing)[1..6], ["10", "0.00", "%", "0.00", "%"]);
    assert!(row(&missing).ends_with(&["404:".to_owned(), "10".to_owned()]), "{table}");
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).expect("a file");
    let csv = read("c");
    let part = |counts: &str, url: &str| {
        csv.lines().any(|line| line.starts_with(counts) && line.ends_with(&format!(",\"{url}\"")))
    };
    assert!(part(",10,10,10,0,", &url) && part(",10,0,0,10,", &missing), "{csv}");
    assert!(csv.lines().all(|line| line.split(',').count() == 13), "{csv}");
    assert!(read("h").contains("By URL") && read("h").contains(&missing));
    std::fs::copy(directory.path().join("j"), directory.path().join("copy")).expect("copied");
    let merged =
        program(directory.path(), &["load", "merge", "j", "copy", "--json"], &[]).output().expect("it runs");
    let merged: Value = serde_json::from_slice(&merged.stdout).expect("JSON");
    assert_eq!(merged["measured"]["parts"][1]["statuses"], serde_json::json!({ "404": 20 }));
}

#[tokio::test]
async fn find_max_and_compare_print_their_results() {
    let server = Server::start(
        &["service", "b", "--service-b-latency=constant:25", "--service-b-error-rate=0"],
        &[("SERVICE_B_CONTENTION", "pool:1")],
    );
    let url = server.url("/");
    let question =
        ["--find-max", "good>90%", "--slo-ms", "1s", "--precision", "50%", "--for", "1s", "--rate", "30"];
    let (code, found) = load(&[&[url.as_str()], &question[..]].concat()).await;
    assert_eq!(code, 0, "{found}");
    let rate = |end: &str| found["found"][format!("{end}_per_second")].as_f64().expect("a rate");
    // One server of 25 ms carries 40 a second, or less where the machine is busy.
    assert!(rate("holds") <= 44.0 && rate("holds") < rate("fails"), "{found}");

    // Times beside which those of a busy machine are small.
    let constant = |latency: &str| {
        Server::start(&["service", "b", "--service-b-latency", latency, "--service-b-error-rate=0"], &[])
    };
    let (quick, slow) = (constant("constant:300"), constant("constant:3000"));
    let (url, same) = (quick.url("/"), format!("{}?same", quick.url("/")));
    let (code, same) =
        load(&["compare", &url, &same, "--rate", "30", "--for", "1s", "--pairs", "3", "--margin", "1000%"])
            .await;
    assert_eq!(code, 0, "{same}");
    assert_eq!(same["pairs"].as_array().map(Vec::len), Some(3));
    // A slowdown within the margin, or none: chance has the last word on three pairs.
    assert_ne!(same["comparison"]["answer"], "regression");

    let arguments = ["load", "compare", &url, &slow.url("/"), "--rate", "30", "--for", "1s", "--pairs", "4"];
    let (code, out, _) = run(&arguments, &[]);
    assert!(code == 1 && out.contains("Regression: B is slower."), "{out}");
}
