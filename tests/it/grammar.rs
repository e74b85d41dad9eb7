//! One grammar for times, rates, shares and sizes, wherever a value enters.

use axum::{body::Body, http::Request};
use lab::{
    http_lab::{Patch, Settings},
    pipeline, streams,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::{Lab, program, run};

#[test]
fn a_text_means_the_same_in_a_flag_the_environment_and_every_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: String| {
        std::fs::write(directory.path().join(name), text).expect("written");
    };
    // Refused as too long for its check interval, so that the refusal shows the value that was read.
    let refused = "\"660s\" is not allowed: at most 600 check intervals, which is 600s";
    for text in ["660s", "11m", "660000ms", "10m60s"] {
        write("lab.toml", format!("pipeline_stabilisation = \"{text}\"\n"));
        write("pipeline.yml", format!("pipeline:\n  stabilisation: {text}\n"));
        let ask = |arguments: &[&str], environment: &[(&str, &str)], source: &str| {
            let arguments = [&["pipeline"], arguments].concat();
            let output = program(directory.path(), &arguments, environment).output().expect("it runs");
            let err = String::from_utf8_lossy(&output.stderr).into_owned();
            let expect = format!("lab: PIPELINE_STABILISATION (--stabilisation, {source}): {refused}\n");
            assert_eq!((output.status.code(), err), (Some(2), expect));
        };
        ask(&["--stabilisation", text], &[], "from the flag");
        ask(&[], &[("PIPELINE_STABILISATION", text)], "from the environment");
        ask(&["--config", "lab.toml"], &[], "from the file");
        ask(&["--config", "pipeline.yml"], &[], "from the file");
        write(".env", format!("PIPELINE_STABILISATION={text}\n"));
        ask(&[], &[], "from .env");
        std::fs::remove_file(directory.path().join(".env")).expect("removed");
    }
}

#[test]
fn a_number_without_a_unit_is_refused_unless_the_name_has_the_unit() {
    for (arguments, said) in [
        (
            ["streams", "--duration", "30"],
            "lab: --duration: \"30\" is not allowed: a time needs a unit: did you mean 30s?",
        ),
        (["pipeline", "--check-interval", "1"], "did you mean 1s?"),
        (["pipeline", "--retry-backoff", "250"], "did you mean 250ms or 250s?"),
        (["pipeline", "--job-timeout", "60"], "did you mean 60s?"),
    ] {
        let (code, out, err) = run(&arguments, &[]);
        assert_eq!((code, out.as_str(), err.lines().count()), (2, "", 1), "{arguments:?}: {err}");
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
}

#[test]
fn help_shows_the_grammar() {
    let (_, help, _) = run(&["streams", "--help"], &[]);
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for phrase in [
        "[allowed: a time from 0s to 1h, such as 250ms; a bare number is milliseconds]",
        "[allowed: a time from 1us to 24h, such as 250ms or 1.5s]",
        "[allowed: a size from 1B to 16MiB, such as 1KiB; a bare number is bytes]",
    ] {
        assert!(help.contains(phrase), "{phrase}: {help}");
    }
}

/// What `/settings` shows after a change.
async fn settings_after(lab: &Lab, change: Value) -> Value {
    let request = Request::patch("/settings")
        .header("content-type", "application/json")
        .body(Body::from(change.to_string()))
        .expect("a request");
    let response = lab.router.clone().oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), 200, "{change}");
    lab.json("/settings").await.1
}

#[tokio::test(start_paused = true)]
async fn a_json_body_accepts_the_values_that_flags_accept_and_settings_show() {
    let flags =
        ["--async-timeout-ms=1.5s", "--service-b-error-rate=5%", "--service-b-latency=uniform:50ms,1.2s"];
    let lab = Lab::start(&flags);
    let shown = lab.json("/settings").await.1;
    assert_eq!(
        (&shown["async_timeout_ms"], &shown["service_b_error_rate"], &shown["service_b_latency"]),
        (&json!(1_500), &json!(0.05), &json!("uniform:50,1200"))
    );
    let other = json!({"async_timeout_ms": 1, "service_b_error_rate": 1, "service_b_latency": "constant:1"});
    for same in [
        json!({"async_timeout_ms": "1.5s", "service_b_error_rate": "5%", "service_b_latency": "uniform:50ms,1.2s"}),
        json!({"async_timeout_ms": 1_500, "service_b_error_rate": 0.05, "service_b_latency": "uniform:50,1200"}),
        json!({"async_timeout_ms": "1500", "service_b_error_rate": "0.05", "service_b_latency": "uniform:0.05s,1200ms"}),
        shown.clone(),
    ] {
        assert_ne!(settings_after(&lab, other.clone()).await, shown);
        assert_eq!(settings_after(&lab, same).await, shown);
    }
    let (status, problem) = lab.json("/async-timeout?deadline_ms=2m").await;
    assert_eq!((status, &problem["parameter"]), (400, &json!("deadline_ms")), "{problem}");
    assert_eq!(lab.json("/async-timeout?deadline_ms=1ms&seed=7").await.0, 504);
}

#[test]
fn bodies_of_streams_and_pipeline_accept_the_same_values() {
    let overrides = |body: Value| serde_json::from_value::<streams::Overrides>(body).expect("in range");
    assert_eq!(
        overrides(json!({"stream_interval": "1.5s", "chunk_size": "1KiB", "workers_count": "20"})),
        overrides(json!({"stream_interval": 1_500, "chunk_size": 1_024, "workers_count": 20}))
    );
    for (rate, shown) in [
        (json!("250ms"), "250ms"),
        (json!("4/s"), "4/s"),
        (json!(4), "4/s"),
        (json!("30"), "30/s"),
        (json!(0.5), "0.5/s"),
        (json!("1/m"), "1/m"),
        (json!("generator"), "generator"),
    ] {
        let read = serde_json::from_value::<pipeline::Rate>(rate.clone()).expect("a rate");
        assert_eq!(json!(read), json!(shown), "{rate}");
        assert_eq!(shown.parse::<pipeline::Rate>().expect("it is read back"), read);
    }
    for bad in [json!(0), json!(-1), json!("0"), json!("2000/s"), json!(2_000), json!("0s"), json!("2h")] {
        let refusal = serde_json::from_value::<pipeline::Rate>(bad.clone()).expect_err("refused").to_string();
        assert!(refusal.contains("a rate from 1/h to 1000/s (a bare number"), "{bad}: {refusal}");
        assert!(!refusal.contains("did you mean"), "{bad}: {refusal}");
    }
}

/// The settings of a lab without flags.
fn settings_at_start() -> Settings {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { Settings::clone(&Lab::start(&[]).lab.settings()) })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_settings_show_changes_nothing_when_it_is_sent_back(
        ms in 1..=60_000_u64, share in 0.0..=1.0_f64, wait in "(0|[1-9][0-9]{0,3}ms|[1-5][0-9]s|0[.][0-9]{1,3}s)",
    ) {
        let change = json!({"async_timeout_ms": ms, "service_a_error_rate": share, "async_limit_max_wait_ms": wait});
        let settings = settings_at_start();
        let changed = settings.patched(serde_json::from_value::<Patch>(change).expect("in range"));
        let shown = serde_json::to_value(&changed).expect("JSON");
        prop_assert_eq!(settings.patched(serde_json::from_value(shown).expect("what was shown")), changed);
    }
}
