//! What the page's charts are made of: the last run of the load, and the curve of B's time.

use serde_json::{Value, json};

use crate::page::{FAST, change};
use crate::support::{Server, get, until};

/// The last run as the charts tell it, once `holds` of it and of the second after the last point.
async fn run(server: &Server, holds: impl Fn(&Value, u64) -> bool) -> Value {
    until(server.addr, "/view/charts", |answer| {
        let charts = answer.json();
        let second = charts["second"].as_u64().expect("a second");
        (charts["run"].is_object() && holds(&charts["run"], second)).then_some(charts)
    })
    .await
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a number: {value}"))
}

#[tokio::test]
async fn the_charts_tell_what_the_last_run_was_sent_and_came_to() {
    let server = Server::start(&["serve"], &FAST);
    assert_eq!(get(server.addr, "/view/charts").await.json()["run"], Value::Null);
    let start = r#"{"rate": "60/s", "length_ms": "4s", "seed": 18446744073709551615}"#;
    assert_eq!(change(&server, "POST /load/start", start).await.0, 200);
    let is_over = |run: &Value, second: u64| run["ended_second"].as_u64().is_some_and(|ended| second > ended);
    let charts = run(&server, is_over).await;
    let first = &charts["run"];
    assert_eq!(
        [
            &first["load"]["seed"],
            &first["load"]["rate"],
            &first["levers"]["async_limit"]["value"],
            &first["moved"]
        ],
        [&json!("18446744073709551615"), &json!("60/s"), &json!("32"), &json!([])],
        "{first}"
    );
    // Its points are those of the charts from its second on: every request is in one of them.
    let load = get(server.addr, "/load").await.json();
    let points = charts["columns"][0]["points"]["offered"].as_array().expect("points");
    // Before the lab began there is a part of the axis too.
    let since = number(&charts["second"]) - number(&first["second"]);
    let from = points.len() - usize::try_from(since).expect("on the charts");
    let offered: f64 = points[from..].iter().filter_map(Value::as_f64).sum();
    assert_eq!(offered * 4.0, load["offered"].as_f64().expect("a count"));
    // And its figures those of the page after its end.
    let view = until(server.addr, "/view", |answer| {
        let view = answer.json();
        (view["ended"] == true).then_some(view)
    })
    .await;
    for (column, shown) in
        first["columns"].as_array().expect("columns").iter().zip(view["columns"].as_array().expect("columns"))
    {
        assert_eq!((&column["path"], &column["windows"]), (&shown["path"], &shown["windows"]));
        assert!(column["windows"]["10"]["p50_ms"].is_number(), "{column}");
    }

    // The next one is another, and what is moved while it runs is told.
    assert_eq!(change(&server, "POST /load/start", r#"{"length_ms": "10m", "seed": 1}"#).await.0, 200);
    let is_next = |run: &Value, second: u64| {
        run["began_ms"] != first["began_ms"]
            && run["ended_second"].is_null()
            && second > number(&run["second"])
    };
    run(&server, is_next).await;
    assert_eq!(change(&server, "PATCH /settings", r#"{"async_limit": 7}"#).await.0, 200);
    let charts = run(&server, |run, _| run["moved"] != json!([])).await;
    let next = &charts["run"];
    let limit = json!({"label": "limit of /async-limited", "value": "32", "text": "32"});
    assert_eq!(next["levers"]["async_limit"], limit, "as it was at its start");
    assert_eq!(next["moved"][0]["text"], "limit of /async-limited: 32 → 7", "{next}");
    assert_eq!(change(&server, "POST /load/stop", "").await.0, 200);
}

#[tokio::test]
async fn the_curve_is_that_of_the_setting_or_of_the_value_that_is_asked_for() {
    let server = Server::start(&["serve"], &[("SERVICE_B_LATENCY", "uniform:300,1200")]);
    let curve = get(server.addr, "/view/curve").await.json();
    assert_eq!([&curve["service_b_latency"], &curve["p95_ms"]], [&json!("uniform:300,1200"), &json!(1155.0)]);
    let deadline = &curve["against"][1];
    assert_eq!([&deadline["name"], &deadline["ms"]], [&json!("deadline"), &json!(1000.0)]);
    assert!((deadline["longer_share"].as_f64().expect("a share") - 200.0 / 900.0).abs() < 1e-9, "{deadline}");

    let asked = get(server.addr, "/view/curve?service_b_latency=constant:20").await.json();
    assert_eq!([&asked["p50_ms"], &asked["mean_ms"]], [&json!(20.0), &json!(20.0)]);
    assert_eq!(
        get(server.addr, "/settings").await.json()["service_b_latency"],
        "uniform:300,1200",
        "it sets nothing"
    );
    for bad in ["sometimes:5", "uniform:2,1", "", "empirical:/etc/passwd"] {
        let refused = get(server.addr, &format!("/view/curve?service_b_latency={bad}")).await;
        let problem = refused.json();
        assert_eq!(
            (refused.status, &problem["parameter"]),
            (400, &json!("service_b_latency")),
            "{bad}: {problem}"
        );
        let detail = problem["detail"].as_str().expect("a sentence");
        assert!(detail.contains("uniform:MIN,MAX") && !detail.contains("passwd: "), "{bad}: {detail}");
    }
    assert_eq!(
        change(&server, "PATCH /settings", r#"{"service_b_latency": "constant:5", "async_timeout_ms": 2}"#)
            .await
            .0,
        200
    );
    let curve = get(server.addr, "/view/curve").await.json();
    assert_eq!([&curve["p50_ms"], &curve["against"][1]["longer_share"]], [&json!(5.0), &json!(1.0)]);
}
