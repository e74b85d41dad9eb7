//! The lab under a paused clock: statuses, balance sheets, limits, percentiles.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use lab::sim::OnCallerGone;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep, sleep_until};

use crate::support::{Audit, Lab};

const ENDPOINTS: [&str; 4] = ["/sync", "/async", "/async-limited", "/async-timeout"];

fn ms(duration: Duration) -> u128 {
    duration.as_millis()
}

#[tokio::test(start_paused = true)]
async fn each_strategy_takes_the_time_that_it_should() {
    let lab = Lab::start(&[
        "--service-a-latency=constant:100",
        "--service-b-latency=constant:700",
        "--service-b-error-rate=0",
    ]);
    for (path, expect) in [("/sync", 800), ("/async", 700), ("/async-limited", 700), ("/async-timeout", 700)]
    {
        let start = Instant::now();
        let (status, body) = lab.json(path).await;
        assert_eq!((status, ms(start.elapsed())), (200, expect), "{path}");
        assert_eq!(body["strategy"], path[1..]);
        assert_eq!((&body["a"]["outcome"], &body["b"]["outcome"]), (&"ok".into(), &"ok".into()));
        assert_eq!((&body["a"]["ms"], &body["b"]["ms"]), (&100.0.into(), &700.0.into()));
        assert_eq!(body["total_ms"], f64::from(u32::try_from(expect).expect("small")));
        assert_eq!(body.get("semaphore_wait_ms").is_some(), path == "/async-limited");
    }
}

#[tokio::test(start_paused = true)]
async fn each_ending_has_its_status() {
    let lab = Lab::start(&[
        "--service-a-latency=constant:100",
        "--service-b-latency=constant:700",
        "--service-b-error-rate=1",
    ]);
    for path in ENDPOINTS {
        let start = Instant::now();
        let (status, body) = lab.json(path).await;
        assert_eq!(status, 502, "{path}");
        assert_eq!(body["type"], "/problems/service-failed");
        assert_eq!(body["b"]["outcome"], "error");
        assert_eq!(body["a"]["outcome"], "ok", "the work is the same whatever fails");
        assert!(ms(start.elapsed()) >= 700, "a failing call takes its full time");
    }

    let start = Instant::now();
    let (status, body) = lab.json("/async-timeout?deadline_ms=250").await;
    assert_eq!((status, ms(start.elapsed())), (504, 250));
    assert_eq!((&body["a"]["outcome"], &body["b"]["outcome"]), (&"ok".into(), &"cancelled".into()));

    lab.lab.change(serde_json::from_str(r#"{"async_limit":1}"#).expect("a patch"));
    let (first, shed) = tokio::join!(lab.json("/async-limited"), lab.get("/async-limited?limit_wait_ms=50"));
    assert_eq!((first.0, shed.status().as_u16()), (502, 503));
    assert_eq!(shed.headers()["retry-after"], "1");
    let audit = Audit::of(&lab.lab);
    assert!(audit.balances());
}

#[tokio::test(start_paused = true)]
async fn a_bad_query_is_refused_with_what_is_allowed_and_does_no_work() {
    let lab = Lab::start(&[]);
    for (path, query) in [
        ("/sync", "deadline_ms=5"),
        ("/async", "limit_wait_ms=5"),
        ("/async-limited", "deadline_ms=5"),
        ("/async-timeout", "limit_wait_ms=5"),
    ] {
        let (status, body) = lab.json(&format!("{path}?{query}")).await;
        assert_eq!((status, &body["parameter"]), (400, &query.split('=').next().into()), "{path}");
        assert!(body["allowed"].as_str().is_some_and(|allowed| allowed.starts_with("only b, ")), "{body}");
    }
    for (query, parameter) in [
        ("b=constant:60001", "b"),
        ("b=empirical:/etc/passwd", "b"),
        ("b=", "b"),
        ("limit_wait_ms=60001", "limit_wait_ms"),
        ("deadline_ms=0", "deadline_ms"),
        ("deadline_ms=-1", "deadline_ms"),
        ("deadline_ms=250&seed=1&deadline_ms=300", "deadline_ms"),
        ("seed=1.5", "seed"),
        ("seed=18446744073709551616", "seed"),
        ("deadline=5", "deadline"),
        ("%ff=%00", "\u{fffd}"),
    ] {
        for path in ENDPOINTS {
            let (status, body) = lab.json(&format!("{path}?{query}")).await;
            assert_eq!(status, 400, "{query}");
            assert_eq!(body["parameter"], parameter);
            assert!(body["allowed"].as_str().is_some_and(|allowed| !allowed.is_empty()), "{body}");
        }
    }
    assert_eq!(lab.lab.calls().sum.started, 0);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_meets_the_same_services_under_every_strategy() {
    let lab = Lab::start(&[]);
    let mut seen = Vec::new();
    for path in ENDPOINTS {
        let deadline = if path == "/async-timeout" { "&deadline_ms=60000" } else { "" };
        let (_, body) = lab.json(&format!("{path}?seed=17{deadline}")).await;
        seen.push((body["a"]["ms"].clone(), body["b"]["ms"].clone()));
    }
    // The waiting differs; A and B do not, beyond the millisecond of a timer.
    for (a, b) in &seen {
        for (got, first) in [(a, &seen[0].0), (b, &seen[0].1)] {
            let difference = got.as_f64().expect("ms") - first.as_f64().expect("ms");
            assert!(difference.abs() <= 1.0, "{seen:?}");
        }
    }
    // Numbered requests too: request n of each endpoint.
    let again = Lab::start(&[]);
    for path in ENDPOINTS {
        let (first, second) = (lab.json(path).await.1, again.json(path).await.1);
        assert_ne!(first["b"]["ms"], second["b"]["ms"], "another number, another draw");
    }
}

#[tokio::test(start_paused = true)]
async fn detached_tasks_continue_as_orphans_and_count_towards_the_safety_stop() {
    let flags = [
        "--service-a-latency=constant:100",
        "--service-b-latency=constant:700",
        "--service-b-error-rate=0",
        "--max-in-flight=1",
    ];
    let lab = Lab::start(&flags);
    let client = tokio::time::timeout(Duration::from_millis(300), lab.get("/async"));
    assert!(client.await.is_err(), "the client leaves");
    let (status, body) = lab.json("/sync").await;
    assert_eq!(
        (status, &body["type"]),
        (503, &"/problems/safety-stop".into()),
        "its work is still in flight"
    );
    lab.detached.close();
    lab.detached.wait().await;
    let audit = Audit::of(&lab.lab);
    let b = &audit.service.services["/async B"];
    assert_eq!((b.completed, b.orphaned, b.orphaned_ms), (1, Some(1), Some(400.0)));
    assert_eq!(audit.service.services["/async A"].orphaned, Some(0), "A had ended before");
    assert_eq!(audit.http.expect("a lab").endpoints["/async"].cancelled, 1);
    assert_eq!(lab.json("/sync").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn the_other_strategies_cancel_their_calls() {
    let flags =
        ["--service-a-latency=constant:100", "--service-b-latency=constant:700", "--service-b-error-rate=0"];
    for path in ["/sync", "/async-limited", "/async-timeout"] {
        let lab = Lab::start(&flags);
        assert!(tokio::time::timeout(Duration::from_millis(300), lab.get(path)).await.is_err());
        let sum = lab.lab.calls().sum;
        assert_eq!((sum.started, sum.completed, sum.cancelled, sum.in_flight), (2, 1, 1, 0), "{path}");
        assert_eq!(sum.orphaned, Some(0));
    }
}

/// Thousands of requests on all endpoints, a third of whose clients leave at random moments.
async fn storm(lab: &Arc<Lab>, requests: u32) {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let start = Instant::now();
    let clients = (0..requests).map(|number| {
        let path = ENDPOINTS[(number % 4) as usize];
        let arrival = start + Duration::from_millis(rng.random_range(0..20_000));
        let leaves = (rng.next_u32() % 3 == 0).then(|| Duration::from_millis(rng.random_range(0..1500)));
        let lab = lab.clone();
        tokio::spawn(async move {
            sleep_until(arrival).await;
            match leaves {
                Some(patience) => tokio::time::timeout(patience, lab.get(path)).await.ok(),
                None => Some(lab.get(path).await),
            }
        })
    });
    join_all(clients.collect::<Vec<_>>()).await;
}

#[tokio::test(start_paused = true)]
async fn the_balance_holds_for_any_behaviour_of_clients_and_services() {
    for gone in OnCallerGone::ALL {
        for contention in ["off", "pool:40,100", "usl:0.05,0.001"] {
            let flags = [
                format!("--service-b-on-caller-gone={gone}"),
                format!("--service-b-contention={contention}"),
            ];
            let lab = Arc::new(Lab::start(&[&flags[0], &flags[1], "--max-in-flight=400"]));
            let watched = lab.clone();
            let watch = tokio::spawn(async move {
                loop {
                    let audit = Audit::of(&watched.lab);
                    assert!(audit.balances());
                    sleep(Duration::from_millis(50)).await;
                }
            });
            storm(&lab, 4_000).await;
            assert!(!watch.is_finished(), "the balance broke on the way");
            watch.abort();
            sleep(Duration::from_secs(3600)).await;
            let audit = Audit::of(&lab.lab);
            let http = audit.http.as_ref().expect("a lab");
            assert!(audit.balances(), "{gone} {contention}");
            assert_eq!((http.sum.started, http.sum.in_flight), (4_000, 0));
            assert!(http.sum.cancelled > 200, "{}", http.sum.cancelled);
            assert_eq!(audit.service.sum.in_flight, 0, "{gone} {contention}");
            for (name, ledger) in &audit.service.services {
                let orphaned = ledger.orphaned.expect("simulated");
                if name.starts_with("/async ") {
                    assert!(orphaned > 0, "{gone} {contention} {name}: detached tasks orphan their calls");
                } else if gone == OnCallerGone::Abort || name.ends_with('A') {
                    assert_eq!(orphaned, 0, "{gone} {contention} {name}");
                } else {
                    assert!(orphaned > 0, "{gone} {contention} {name}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_noisy_neighbour_is_felt_only_on_a_shared_backend() {
    let mut slowest = Vec::new();
    for shared in [&["--shared-backend"][..], &[]] {
        let services = [
            "--service-a-latency=constant:0",
            "--service-b-latency=constant:100",
            "--service-b-error-rate=0",
            "--service-b-contention=pool:4",
        ];
        let lab = Lab::start(&[shared, &services].concat());
        let noise = join_all((0..100).map(|_| lab.get("/async")));
        let (_, (_, quiet)) = tokio::join!(noise, lab.json("/sync"));
        slowest.push(quiet["b"]["ms"].as_f64().expect("ms"));
        assert_eq!(lab.lab.calls().services.len(), if shared.is_empty() { 8 } else { 2 });
    }
    assert!(slowest[0] > 2_000.0 && slowest[1] == 100.0, "{slowest:?}");
}

#[tokio::test(start_paused = true)]
async fn settings_can_change_while_requests_run_and_an_invalid_change_has_no_effect() {
    let lab = Lab::start(&[
        "--service-b-latency=constant:100",
        "--service-a-latency=constant:0",
        "--service-b-error-rate=0",
    ]);
    let before = lab.lab.settings();
    for bad in [
        r#"{"async_limit":0}"#,
        r#"{"async_limit":5,"service_b_error_rate":2}"#,
        r#"{"no_such":1}"#,
        r#"{"service_b_latency":"empirical:/etc/passwd"}"#,
        r#"{"service_b_contention":"pool:0"}"#,
    ] {
        assert!(serde_json::from_str::<lab::http_lab::Patch>(bad).is_err(), "{bad}");
    }
    assert_eq!(*before, *lab.lab.settings());

    let patch =
        r#"{"service_b_latency":"constant:40","async_timeout_ms":30,"service_b_contention":"pool:1"}"#;
    let running = lab.json("/async");
    let (running, ()) = tokio::join!(running, async {
        sleep(Duration::from_millis(50)).await;
        lab.lab.change(serde_json::from_str(patch).expect("a patch"));
    });
    assert_eq!(running.1["b"]["ms"], 100.0, "a request keeps what it started with");
    assert_eq!(lab.json("/async").await.1["b"]["ms"], 40.0);
    assert_eq!(lab.json("/async-timeout").await.0, 504);
    let (_, settings) = lab.json("/settings").await;
    assert_eq!(settings["service_b_contention"], "pool:1,10000");
}

/// What Prometheus' `histogram_quantile` makes of an exposition, summed over the matching series.
fn histogram_quantile(metrics: &str, name: &str, labels: &[&str], q: f64) -> f64 {
    let mut buckets = std::collections::BTreeMap::<u64, f64>::new();
    for line in metrics.lines().filter(|line| line.starts_with(&format!("{name}_bucket{{"))) {
        if labels.iter().all(|label| line.contains(label)) {
            let edge = line.split("le=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an edge");
            let edge = if edge == "+Inf" { f64::INFINITY } else { edge.parse().expect("a number") };
            let count: f64 = line.rsplit(' ').next().expect("a value").parse().expect("a number");
            *buckets.entry(edge.to_bits()).or_default() += count;
        }
    }
    let total = buckets.values().copied().fold(0.0, f64::max);
    let rank = q * total;
    let (mut lower, mut below) = (0.0, 0.0);
    for (edge, cumulative) in buckets {
        let edge = f64::from_bits(edge);
        if cumulative >= rank {
            return lower + (edge - lower) * (rank - below) / (cumulative - below);
        }
        (lower, below) = (edge, cumulative);
    }
    f64::NAN
}

/// Runs 30 requests a second on every endpoint and compares what Prometheus reads with what was.
async fn check_percentiles(b: &str, per_endpoint: u32) {
    let b = format!("--service-b-latency={b}");
    let (lab, telemetry) = Lab::measured(&[&b]);
    let lab = Arc::new(lab);
    let start = Instant::now();
    let clients = (0..per_endpoint * 4).map(|number| {
        let lab = lab.clone();
        tokio::spawn(async move {
            sleep_until(start + Duration::from_millis(u64::from(number / 4) * 33)).await;
            let path = ENDPOINTS[(number % 4) as usize];
            let arrived = Instant::now();
            lab.get(path).await;
            (path, arrived.elapsed().as_secs_f64() * 1e3)
        })
    });
    let taken: Vec<(&str, f64)> = join_all(clients.collect::<Vec<_>>())
        .await
        .into_iter()
        .map(|client| client.expect("no panic"))
        .collect();
    let metrics = telemetry.render().expect("metrics");
    for path in ENDPOINTS {
        let mut exact: Vec<f64> = taken.iter().filter(|(of, _)| *of == path).map(|(_, ms)| *ms).collect();
        exact.sort_by(f64::total_cmp);
        for q in [0.5, 0.95, 0.99] {
            let want = exact[(q * exact.len() as f64).ceil() as usize - 1];
            let endpoint = format!("endpoint=\"{path}\"");
            let got = histogram_quantile(&metrics, "http_request_duration_ms", &[&endpoint], q);
            assert!((got - want).abs() <= (want * 0.05).max(1.0), "{b} {path} q {q}: {got}, not {want}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn percentiles_from_prometheus_are_accurate() {
    for b in
        ["uniform:300,1200", "lognormal:250,0.6", "bimodal:40,900,0.1", "constant:2000", "exponential:30"]
    {
        check_percentiles(b, 2_000).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_default_services_have_the_expected_times() {
    let (lab, telemetry) = Lab::measured(&["--async-timeout-ms=60000"]);
    let lab = Arc::new(lab);
    let start = Instant::now();
    let clients = (0..40_000_u32).map(|number| {
        let lab = lab.clone();
        tokio::spawn(async move {
            sleep_until(start + Duration::from_millis(u64::from(number / 4) * 33)).await;
            lab.get(ENDPOINTS[(number % 4) as usize]).await.status().as_u16()
        })
    });
    let statuses = join_all(clients.collect::<Vec<_>>()).await;
    let metrics = telemetry.render().expect("metrics");
    // A ~ U(50,150), B ~ U(300,1200): 10,000 requests an endpoint put three standard errors of the
    // p50 at 1.8%; the buckets add at most 5%, in practice far less for a flat density.
    for (path, expect) in [("/sync", [850.0, 1255.0, 1308.0]), ("/async", [750.0, 1155.0, 1191.0])] {
        for (q, want) in [0.5, 0.95, 0.99].into_iter().zip(expect) {
            let endpoint = format!("endpoint=\"{path}\"");
            let got = histogram_quantile(&metrics, "http_request_duration_ms", &[&endpoint], q);
            assert!((got - want).abs() < want * 0.025, "{path} q {q}: {got}, not {want}");
        }
    }
    let failed = statuses.iter().filter(|status| matches!(status, Ok(502))).count();
    // 5% of 40,000, four standard errors.
    assert!((1_826..2_174).contains(&failed), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn a_limit_sheds_the_computed_share() {
    // 30/s on a limit of 20: offered 1.125 times what it carries; with a bound of 1 s it sheds 11%.
    let lab = Arc::new(Lab::start(&["--async-limit=20", "--service-b-error-rate=0"]));
    let start = Instant::now();
    let clients = (0..9_000_u64).map(|number| {
        let lab = lab.clone();
        tokio::spawn(async move {
            sleep_until(start + Duration::from_micros(number * 33_333)).await;
            lab.get("/async-limited").await.status().as_u16()
        })
    });
    let statuses = join_all(clients.collect::<Vec<_>>()).await;
    let shed = statuses.iter().filter(|status| matches!(status, Ok(503))).count() as f64 / 9_000.0;
    assert!((0.09..0.13).contains(&shed), "{shed}");
}

#[tokio::test(start_paused = true)]
async fn a_trigger_makes_b_slower_for_a_while_and_changes_no_setting() {
    let lab = Lab::start(&["--service-b-latency=constant:100", "--service-b-error-rate=0"]);
    let trigger = |text: &str| lab.lab.trigger(serde_json::from_str(text).expect("a trigger"));
    let took = async || {
        let start = Instant::now();
        lab.get("/async").await;
        ms(start.elapsed())
    };
    let before = lab.lab.settings();
    let status = trigger(r#"{"slower": 3, "length_ms": "2s"}"#);
    assert_eq!((status.slower, status.left_ms), (3, 2_000.0));
    assert_eq!(took().await, 300);
    lab.lab.change(serde_json::from_str(r#"{"service_b_latency": "constant:200"}"#).expect("a patch"));
    assert_eq!(took().await, 600, "it acts on what the settings say now");
    sleep(Duration::from_millis(1_200)).await;
    assert_eq!((took().await, lab.lab.trigger_status().slower), (200, 1));
    assert_eq!(lab.lab.settings().async_limit, before.async_limit);
    // The newer one stays when the older one's time has come, and 1 ends it.
    trigger(r#"{"slower": 5, "length_ms": "1s"}"#);
    trigger(r#"{"slower": 2, "length_ms": "10s"}"#);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(took().await, 400);
    trigger(r#"{"slower": 1, "length_ms": "1s"}"#);
    assert_eq!(took().await, 200);
}
