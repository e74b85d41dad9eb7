//! A system that only this file knows: handed to the house in a list, it appears everywhere.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use lab::{
    app::{Process, Server},
    shutdown::Shutdown,
    telemetry::Telemetry,
    web::{Check, Frame, RouteDoc, Sheet, System},
};
use serde_json::json;
use tokio::sync::Notify;

use crate::support::{PATIENCE, get as ask, run, send, serve_args};

/// The terms of the probe's balance sheet.
#[derive(serde::Serialize, utoipa::ToSchema)]
struct Terms {
    taken: u64,
    done: u64,
    left: u64,
}

lab::document!(Terms as "probe/terms/1");

/// What the probe reads from the environment.
#[derive(clap::Args)]
struct Settings {
    /// How deep the probe goes
    #[arg(long, env = "PROBE_DEPTH", default_value = "7")]
    _probe_depth: u32,
}

lab::metrics! {
    /// Dives
    DIVES: "probe_dives_total" by "outcome";
}

/// A system of one file.
fn probe(
    ready: Arc<AtomicBool>,
    told: Arc<parking_lot::Mutex<Vec<&'static str>>>,
    stopped: Arc<Notify>,
    telemetry: &Telemetry,
) -> System {
    let instruments = telemetry.instruments();
    instruments.counter(DIVES).with(["ok"]).add(1);
    let begun = told.clone();
    System::new("probe", "Probe", "/probe", "a system that only a test knows")
        .views(|frame: Frame| Router::new().route("/probe", get(async move || frame.title.clone())))
        .controls(Router::new().route("/probe/reset", axum::routing::post(async || "reset")))
        .openapi(
            RouteDoc::new(utoipa::openapi::HttpMethod::Get, "/probe", "probe", "Shows the probe")
                .foreign::<Terms>(200, "The probe")
                .into_document(),
        )
        .link("Systems", "/probe", "what the probe shows")
        .variables::<Settings>()
        .metrics(&instruments)
        .check(Check::new("probe store", move || {
            let ready = ready.load(SeqCst);
            async move { if ready { Ok(()) } else { Err("away") } }
        }))
        .on_start(move || async move {
            begun.lock().push("started");
            Ok(())
        })
        .on_stop(move || async move {
            told.lock().push("stopped");
            stopped.notify_one();
        })
        .stragglers(|| vec!["3 probes".to_owned()])
        .sheet(Sheet::new("probe", "taken = done + left", || Terms { taken: 5, done: 2, left: 3 }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_system_in_the_list_appears_everywhere() {
    let args = serve_args(&["--addr", "127.0.0.1:0", "--admin-token", "secret"]);
    let telemetry = Telemetry::start(&args.telemetry, lab::client::ExportClient::start).expect("telemetry");
    let shutdown = Shutdown::new(Some(Duration::from_secs(60)), Duration::ZERO);
    let process = Process {
        server: &args.serving.server,
        listener: lab::web::listen(args.addr.get(), "--addr").expect("a free port"),
        telemetry: &telemetry,
        shutdown: shutdown.clone(),
    };
    let (ready, told, stopped) = (Arc::new(AtomicBool::new(true)), Arc::default(), Arc::new(Notify::new()));
    let other = System::new("other", "Other", "/other", "another one")
        .views(|frame| Router::new().route("/other", get(async move || frame.title)));
    let systems = vec![probe(ready.clone(), Arc::clone(&told), stopped.clone(), &telemetry), other];
    let house = Server::start(systems, process, shutdown.clone()).await.expect("it listens");
    let addr = house.addr();
    let url = format!("http://{addr}");

    let landing = send(addr, "GET /", "").await.body;
    assert!(landing.contains("<a href=\"/probe\">Probe</a>"), "navigation: {landing}");
    assert!(landing.contains("what the probe shows"), "landing page: {landing}");
    assert_eq!(ask(addr, "/probe").await.body, "Probe");
    assert_eq!(send(addr, "POST /probe/reset", "").await.status, 401, "controls are guarded");
    let bearer = "POST /probe/reset\nauthorization: Bearer secret";
    assert_eq!(send(addr, bearer, "").await.body, "reset");

    let document = ask(addr, "/openapi.json").await.json();
    assert!(document["paths"]["/probe"]["get"].is_object(), "{document}");
    assert!(document["paths"]["/probe/audit"]["get"].is_object(), "{document}");
    assert_eq!(document["components"]["schemas"]["Terms"]["type"], "object");
    let reference = ask(addr, "/docs/reference").await.body;
    for part in [
        "## Probe",
        "| `PROBE_DEPTH` | `7` | How deep the probe goes |",
        "| `probe_dives_total` | counter | outcome | Dives |",
        "| `GET /probe` | Shows the probe |",
    ] {
        assert!(reference.contains(part), "{part}: {reference}");
    }

    assert!(ask(addr, "/metrics").await.body.contains("probe_dives_total{outcome=\"ok\"} 1"));

    assert_eq!(
        ask(addr, "/readyz").await.json(),
        json!({"schema": "lab/ready/1", "checks": {"probe store": "ok"}})
    );
    ready.store(false, SeqCst);
    let unready = ask(addr, "/readyz").await;
    assert_eq!((unready.status, &unready.json()["checks"]["probe store"]), (503, &json!("failed")));

    let audit = ask(addr, "/audit").await.json();
    let expected = json!({"schema": "probe/terms/1", "taken": 5, "done": 2, "left": 3, "equation": "taken = done + left", "balances": true});
    assert_eq!((&audit["sheets"]["probe"], &ask(addr, "/probe/audit").await.json()), (&expected, &expected));
    let audit = ["audit", "probe", "--url", &url];
    let (code, out, err) = tokio::task::spawn_blocking({
        let audit = audit.map(str::to_owned);
        move || run(&audit.each_ref().map(String::as_str), &[])
    })
    .await
    .expect("it ran");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("taken") && out.contains("5"), "{out}");

    assert_eq!(*told.lock(), ["started"]);
    // A client that does not leave holds the drain up; the second signal names what is left.
    let _client = tokio::net::TcpStream::connect(addr).await.expect("connected");
    let stragglers = house.stragglers();
    assert_eq!(stragglers, ["3 probes"]);
    shutdown.trigger();
    tokio::time::timeout(PATIENCE, stopped.notified()).await.expect("the stop hook runs");
    shutdown.abort();
    house.drained().await.expect("it ends");
    assert_eq!(*told.lock(), ["started", "stopped"]);
}
