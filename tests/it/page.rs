//! The HTTP lab's page: its dots are true, its figures are those of the metrics, its load is bounded and ends first.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures_util::future::join_all;
use lab::http_lab::{Arrived, Step, Tick};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tower::ServiceExt as _;

use crate::support::{Lab, PATIENCE, Server, at_rest, get, send, until};

/// What a client saw of a request.
struct Seen {
    status: u16,
    took: Duration,
}

/// Sends `count` requests to `path`, evenly over so long, each with a trace of its own; takes ticks meanwhile.
async fn drive(lab: &Lab, path: &str, count: u32, length: Duration) -> (BTreeMap<String, Seen>, Vec<Tick>) {
    let start = Instant::now();
    let requests = (0..count).map(|number| async move {
        sleep_until(start + length * number / count).await;
        let trace_id = format!("{:032x}", u128::from(number) + 1);
        let request = Request::get(path)
            .header("traceparent", format!("00-{trace_id}-00000000000000ff-01"))
            .body(Body::empty())
            .expect("a request");
        let sent = Instant::now();
        let answer = lab.router.clone().oneshot(request).await.expect("infallible");
        (trace_id, Seen { status: answer.status().as_u16(), took: sent.elapsed() })
    });
    let mut ticks = Vec::new();
    let mut clock = tokio::time::interval(Duration::from_millis(250));
    let mut all = std::pin::pin!(join_all(requests));
    let seen = loop {
        tokio::select! {
            biased;
            seen = &mut all => break seen,
            _ = clock.tick() => ticks.push(lab.lab.flow().tick()),
        }
    };
    ticks.push(lab.lab.flow().tick());
    (seen.into_iter().collect(), ticks)
}

fn arrived(ticks: &[Tick]) -> impl Iterator<Item = &Arrived> {
    ticks.iter().flat_map(|tick| &tick.arrived)
}

/// When each dot left, and how.
fn left(ticks: &[Tick]) -> BTreeMap<u64, (f64, Step)> {
    let leaving = [Step::Ok, Step::ServiceError, Step::Shed, Step::Deadline, Step::Cancelled, Step::Invalid];
    let steps = ticks.iter().flat_map(|tick| &tick.steps);
    steps
        .filter(|(.., step)| leaving.contains(step))
        .map(|(dot, at_ms, step)| (*dot, (*at_ms, *step)))
        .collect()
}

fn status(step: Step) -> u16 {
    match step {
        Step::Ok => 200,
        Step::ServiceError => 502,
        Step::Shed => 503,
        Step::Deadline => 504,
        _ => 0,
    }
}

#[tokio::test(start_paused = true)]
async fn every_request_is_a_dot_that_ends_as_its_client_saw() {
    for (path, flags) in [
        ("/sync", vec![]),
        ("/async", vec!["--service-b-contention=pool:20"]),
        ("/async-limited", vec!["--async-limit=20", "--async-limit-max-wait-ms=500"]),
        ("/async-timeout", vec!["--async-timeout-ms=700"]),
    ] {
        let lab = Lab::start(&flags);
        lab.lab.flow().tick();
        let (seen, ticks) = drive(&lab, path, 600, Duration::from_secs(20)).await;
        let numbers: Vec<u64> = ticks.iter().map(|tick| tick.seq).collect();
        assert!(
            numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{path}: no tick is missing: {numbers:?}"
        );
        let left = left(&ticks);
        assert_eq!((arrived(&ticks).count(), left.len()), (600, 600), "{path}");
        for Arrived { dot, endpoint, at_ms, trace_id } in arrived(&ticks) {
            let (left_ms, step) = left[dot];
            let seen = &seen[trace_id.as_deref().expect("a trace")];
            assert_eq!((*endpoint, status(step)), (path, seen.status));
            let difference = (left_ms - at_ms) - seen.took.as_secs_f64() * 1e3;
            assert!(difference.abs() <= 2.0, "{path}: {difference} ms");
        }
        let audit = lab.lab.requests();
        assert_eq!(audit.endpoints[path].completed, 600);
        let begun = |begins: Step, ends: Step| {
            let count =
                |step| ticks.iter().flat_map(|tick| &tick.steps).filter(|(.., other)| *other == step).count();
            assert_eq!(count(begins), count(ends), "{path}: {begins}");
            count(begins) as u64
        };
        let calls = lab.lab.calls();
        assert_eq!(
            begun(Step::ABegins, Step::AEnds) + begun(Step::BBegins, Step::BEnds),
            calls.services.values().map(|service| service.started).sum::<u64>(),
            "{path}: every call is seen"
        );
        assert!(lab.lab.flow().snapshot().dots.is_empty(), "{path}: nothing is left");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dot_whose_client_left_stays_while_b_works_for_it() {
    let lab = Lab::start(&["--service-b-latency=constant:1000", "--service-b-error-rate=0"]);
    lab.lab.flow().tick();
    let left = tokio::time::timeout(Duration::from_millis(300), lab.get("/async")).await;
    assert!(left.is_err());
    tokio::time::advance(Duration::from_millis(10)).await;
    let tick = lab.lab.flow().tick();
    assert!(tick.steps.iter().any(|(.., step)| *step == Step::Cancelled), "{tick:?}");
    assert_eq!(lab.lab.flow().snapshot().dots.len(), 1, "orphaned, and seen to be");
    // The clock is paused.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let steps: Vec<Step> = lab.lab.flow().tick().steps.iter().map(|(.., step)| *step).collect();
    assert_eq!(steps, [Step::BEnds]);
    assert!(lab.lab.flow().snapshot().dots.is_empty());
    // Taken back, it has nothing left in B.
    lab.lab.change(serde_json::from_value(json!({"service_b_on_caller_gone": "abort"})).expect("a patch"));
    let left = tokio::time::timeout(Duration::from_millis(300), lab.get("/sync")).await;
    assert!(left.is_err());
    assert!(lab.lab.flow().tick().steps.iter().any(|(.., step)| *step == Step::BEnds));
    assert!(lab.lab.flow().snapshot().dots.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_of_several_is_a_fair_sample() {
    let lab = Lab::start(&["--async-timeout-ms=900"]);
    lab.lab.flow().adjust([0, 0, 0, 450]);
    assert_eq!(lab.lab.flow().tick().one_of["/async-timeout"], 10);
    let (seen, ticks) = drive(&lab, "/async-timeout", 9_000, Duration::from_secs(20)).await;
    let (shown, left) = (arrived(&ticks).count() as f64, left(&ticks));
    // One of ten, and of those the shares of all: each within four standard deviations of a binomial.
    let within = |name: &str, part: f64, whole: f64, share: f64| {
        let deviation = (whole * share * (1.0 - share)).sqrt();
        assert!(
            (part - whole * share).abs() <= 4.0 * deviation,
            "{name}: {part} of {whole}, expected {share}"
        );
    };
    within("shown", shown, 9_000.0, 0.1);
    for code in [200, 502, 504] {
        let share = seen.values().filter(|seen| seen.status == code).count() as f64 / 9_000.0;
        let part = left.values().filter(|(_, step)| status(*step) == code).count() as f64;
        within(&code.to_string(), part, shown, share);
    }
    let extras: Vec<_> = ticks.iter().flat_map(|tick| &tick.extras).collect();
    assert!(!extras.is_empty() && extras.iter().all(|extra| extra.left != Step::Ok));
}

pub(crate) async fn change(server: &Server, head: &str, body: &str) -> (u16, Value) {
    let answer = send(server.addr, &format!("{head}\ncontent-type: application/json"), body).await;
    (answer.status, answer.json())
}

pub(crate) const FAST: [(&str, &str); 4] = [
    ("SERVICE_A_LATENCY", "constant:1"),
    ("SERVICE_B_LATENCY", "uniform:1,20"),
    ("SERVICE_B_ERROR_RATE", "0.2"),
    ("LAB_UNREADY_MS", "0"),
];

#[tokio::test]
async fn at_rest_its_figures_are_those_of_the_metrics_and_the_audit() {
    let server = Server::start(&["serve"], &FAST);
    let start = r#"{"rate": "60/s", "length_ms": "5s", "seed": 7}"#;
    let (code, status) = change(&server, "POST /load/start", start).await;
    assert_eq!((code, &status["state"], &status["rate"]), (200, &json!("running"), &json!("60/s")));
    let (code, refused) = change(&server, "POST /load/start", "{}").await;
    assert_eq!((code, &refused["type"]), (409, &json!("/problems/load-running")), "one run at a time");
    let load = until(server.addr, "/load", |answer| {
        let status = answer.json();
        (status["state"] == "idle").then_some(status)
    })
    .await;
    let audit = at_rest(server.addr).await.http.expect("requests");
    let offered = load["offered"].as_u64().expect("a count");
    assert_eq!((offered, &load["answered"]), (audit.sum.completed, &load["offered"]));
    assert!(load["cpu_ms"].as_f64().expect("milliseconds") > 0.0);
    // The figures of a load stay when it has ended: here its last whole seconds, and what became of each request.
    let view = until(server.addr, "/view", |answer| {
        let view = answer.json();
        (view["ended"] == true).then_some(view)
    })
    .await;
    let columns = view["columns"].as_array().expect("columns");
    let counts: Vec<&Value> = columns.iter().map(|column| &column["windows"]["60"]["offered"]).collect();
    assert!(counts.iter().all(|count| *count == counts[0]), "all are sent the same: {counts:?}");
    for column in columns {
        let figures = &column["windows"]["60"];
        let count = |name: &str| figures[name].as_u64().expect(name);
        assert_eq!((&figures["source"], count("unfinished"), count("unanswered")), (&json!("load"), 0, 0));
        assert_eq!(count("offered"), count("good") + count("service_error"), "{figures}");
        assert!(count("offered") > 0 && figures["p50_ms"].is_number(), "{figures}");
    }
    let csv = get(server.addr, "/view/csv").await.body;
    assert_eq!(csv.lines().count(), 1 + 4 * 3, "a line for each strategy and window: {csv}");
    let fields: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
    assert!(fields.iter().all(|count| *count == fields[0]), "{csv}");
    let metrics = get(server.addr, "/metrics").await.body;
    for (path, ledger) in &audit.endpoints {
        let sum: u64 = metrics
            .lines()
            .filter(|line| {
                line.starts_with("http_requests_total") && line.contains(&format!("endpoint=\"{path}\""))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum();
        assert_eq!(sum, ledger.completed, "{path}");
    }
}

#[tokio::test]
async fn the_load_says_what_it_refuses_can_be_changed_and_ends_first() {
    let server = Server::start(&["serve"], &FAST);
    for (body, field) in [
        (r#"{"rate": "501"}"#, "rate"),
        (r#"{"rate": 0}"#, "rate"),
        (r#"{"length_ms": "11m"}"#, "length_ms"),
        (r#"{"burst": 1001}"#, "burst"),
        (r#"{"burst_every_ms": 10}"#, "burst_every_ms"),
        (r#"{"arrivals": "sometimes"}"#, "arrivals"),
        (r#"{"seed": -1}"#, "seed"),
        (r#"{"speed": 1}"#, "speed"),
        (r#"{"strategies": ["/nowhere"]}"#, "strategies"),
    ] {
        let (code, refused) = change(&server, "POST /load/start", body).await;
        assert_eq!((code, &refused["field"]), (400, &json!(field)), "{body}: {refused}");
    }
    let (code, _) = change(&server, "PATCH /load", r#"{"rate": 5}"#).await;
    assert_eq!(code, 409, "it does not run");
    let start = r#"{"strategies": ["/async", "/sync"], "rate": "20/s", "burst": 30, "burst_every_ms": "1s", "length_ms": "10m"}"#;
    let (_, status) = change(&server, "POST /load/start", start).await;
    assert_eq!(status["strategies"], json!(["/sync", "/async"]));
    let offered =
        |answer: &crate::support::Answer| answer.json()["offered"].as_u64().filter(|offered| *offered > 100);
    until(server.addr, "/load", offered).await;
    let (code, status) = change(&server, "PATCH /load", r#"{"rate": "1/s", "burst": 0}"#).await;
    assert_eq!((code, &status["rate"], &status["burst"]), (200, &json!("1/s"), &json!(0)));
    let audit = get(server.addr, "/http/audit").await.json();
    assert_eq!(audit["endpoints"]["/async-limited"]["started"], 0, "it is sent where it was asked to be");
    server.signal(Signal::TERM);
    let (status, rest) = server.wait();
    assert!(status.success(), "it does not hold the stop up: {rest}");
}

#[tokio::test]
async fn all_who_watch_get_steps_and_figures_and_without_rights_the_page_has_no_levers() {
    let server = Server::start(&["serve"], &[("LAB_ADMIN_TOKEN", "tell-nobody")]);
    let mut viewer = TcpStream::connect(server.addr).await.expect("connected");
    let ask = b"GET / HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";
    viewer.write_all(ask).await.expect("sent");
    let mut seen = String::new();
    let mut asked = false;
    let watch = async {
        while !(seen.contains("event: view\ndata: {\"schema\":\"lab/view/1\"")
            && seen.contains("\"b_begins\""))
        {
            let mut piece = [0; 4096];
            let length = viewer.read(&mut piece).await.expect("bytes");
            assert!(length > 0, "it ended: {seen}");
            seen += &String::from_utf8_lossy(&piece[..length]);
            if !asked && seen.contains("event: flow") {
                asked = true;
                let addr = server.addr;
                tokio::spawn(async move { get(addr, "/async").await });
            }
        }
    };
    tokio::time::timeout(PATIENCE, watch).await.expect("events");

    let page = |head: &'static str| send(server.addr, head, "");
    let signed_out = page("GET /\naccept: text/html").await.body;
    // Values as they are read, and no control that changes anything.
    for part in [
        "<dd data-setting=\"async_limit_max_wait_ms\">1,000 ms</dd>",
        "<dt>limit of /async-limited</dt>",
        "uniform:300,1200",
    ] {
        assert!(signed_out.contains(part), "{part}: {signed_out}");
    }
    for part in ["class=\"lever\"", "id=\"trigger\"", "type=\"submit\">Set", "disabled>Send", "name=\"rate\""]
    {
        assert!(!signed_out.contains(part), "{part}: {signed_out}");
    }
    assert!(signed_out.contains("action=\"/session\""), "it offers to sign in");
    let signed_in = page("GET /\naccept: text/html\nauthorization: Bearer tell-nobody").await.body;
    assert!(!signed_in.contains("action=\"/session\"") && signed_in.contains(">Send load<"));
    for part in [
        "<article class=\"column\" data-path=\"/async-limited\"",
        "uniform:300,1200",
        "of <span data-figure=\"offered\">",
    ] {
        assert!(signed_in.contains(part), "{part}");
    }
    assert!(!signed_in.contains("style=") && !signed_in.contains("onclick"), "it lives with the policy");
}

#[tokio::test]
async fn every_setting_has_a_label_a_value_and_a_text() {
    let server = Server::start(&["serve"], &[("ASYNC_LIMIT_MAX_WAIT_MS", "0")]);
    let settings = get(server.addr, "/settings").await.json();
    let shown = get(server.addr, "/view").await.json()["levers"].clone();
    let names = settings.as_object().expect("settings").keys().filter(|name| *name != "schema");
    for name in names {
        let text = |key: &str| shown[name][key].as_str().is_some_and(|text| !text.is_empty());
        assert!(text("label") && text("value") && text("text"), "{name}: {shown}");
    }
    let texts =
        ["async_limit_max_wait_ms", "async_timeout_ms", "async_limit"].map(|name| &shown[name]["text"]);
    assert_eq!(texts, ["no bound", "1,000 ms", "32"]);
}

#[tokio::test]
async fn a_story_is_told_alone_and_puts_the_settings_back() {
    let server = Server::start(&["serve"], &[("ASYNC_LIMIT", "7"), ("LAB_UNREADY_MS", "0")]);
    let before = get(server.addr, "/settings").await.json();
    let (code, refused) = change(&server, "POST /story/start", r#"{"story": "cinderella"}"#).await;
    assert_eq!((code, &refused["field"]), (400, &json!("story")));
    let (code, refused) = change(&server, "POST /story/start", "{}").await;
    assert_eq!((code, &refused["field"]), (400, &json!("story")), "{refused}");
    let (code, told) = change(&server, "POST /story/start", r#"{"story": "limit"}"#).await;
    assert_eq!((code, &told["state"], &told["story"]), (200, &json!("running"), &json!("limit")));
    let (code, refused) = change(&server, "POST /story/start", r#"{"story": "wait"}"#).await;
    assert_eq!((code, &refused["type"]), (409, &json!("/problems/story-running")));
    until(server.addr, "/load", |answer| (answer.json()["state"] == "running").then_some(())).await;
    let during = get(server.addr, "/settings").await.json();
    assert_eq!(
        (&during["async_limit"], &during["service_b_error_rate"]),
        (&json!(20), &json!(0.0)),
        "{during}"
    );
    let (code, _) = change(&server, "POST /story/stop?wait_ms=60000", "").await;
    assert_eq!(code, 200);
    let told = get(server.addr, "/story").await.json();
    assert_eq!(
        (&told["state"], &told["last"]),
        (&json!("idle"), &Value::Null),
        "half a story says nothing: {told}"
    );
    assert_eq!(get(server.addr, "/settings").await.json(), before);
    // Also those of the load, which the story sent to one strategy.
    let load = get(server.addr, "/load").await.json();
    assert_eq!(load["strategies"].as_array().expect("strategies").len(), 4, "{load}");
    let (code, _) = change(&server, "POST /load/start", r#"{"length_ms": "10m"}"#).await;
    assert_eq!(code, 200);
    let (code, refused) = change(&server, "POST /story/start", r#"{"story": "limit"}"#).await;
    assert_eq!(code, 409, "a story sends a load of its own: {refused}");
}

#[tokio::test]
async fn a_story_whose_load_somebody_ends_says_nothing() {
    let server = Server::start(&["serve"], &[("LAB_UNREADY_MS", "0")]);
    let (code, _) = change(&server, "POST /story/start", r#"{"story": "parallel"}"#).await;
    assert_eq!(code, 200);
    until(server.addr, "/load", |answer| (answer.json()["state"] == "running").then_some(())).await;
    assert_eq!(change(&server, "POST /load/stop", "").await.0, 200);
    let told = until(server.addr, "/story", |answer| {
        let told = answer.json();
        (told["state"] == "idle").then_some(told)
    })
    .await;
    let (answer, text) = (&told["last"]["answer"], told["last"]["text"].as_str().expect("a sentence"));
    assert!(answer.is_null() && text.contains("somebody moved a lever or ended the load"), "{told}");
}
