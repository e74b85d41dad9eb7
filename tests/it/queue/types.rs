//! What is shown by type: how runs ended, how long they waited and took, and what no worker handles.

use serde_json::{Value, json};

use crate::{
    redis_server::RedisServer,
    support::{Server, get, send, until},
};

/// As in the other tests of processes: a machine that stands still lets no lease expire.
const LONG_LEASE: (&str, &str) = ("QUEUE_LEASE_MS", "10s");
const EXEC: &str = "good=true\nbad=false";

async fn enqueue(api: &Server, task: Value) {
    let answer = send(api.addr, "POST /task\ncontent-type: application/json", &task.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
}

async fn page(shown: &Server) -> String {
    send(shown.addr, "GET /\naccept: text/html", "").await.body
}

/// Enqueues at `api`, where something does the work, and looks at `shown`.
async fn types_are_shown(api: &Server, shown: &Server) {
    assert!(page(shown).await.contains("No run yet."));
    for _ in 0..25 {
        enqueue(api, json!({ "type": "good" })).await;
    }
    enqueue(api, json!({ "type": "bad", "max_attempts": 1 })).await;
    enqueue(api, json!({ "type": "nobody", "group": "acme" })).await;
    let stats = until(shown.addr, "/stats", |answer| {
        let stats = answer.json();
        let types = stats["types"].as_array()?;
        let of = |name: &str| types.iter().find(|part| part["type"] == name);
        (of("good")?["succeeded"] == 25 && of("bad")?["failed"] == 1).then_some(stats)
    })
    .await;
    let of = |list: &str, name: &str| {
        let list = stats[list].as_array().expect("a list");
        list.iter().find(|part| part["type"] == name).expect("the type").clone()
    };
    let good = of("types", "good");
    assert!(
        good["failed"] == 0 && good["p50_ms"].as_f64() > Some(0.0) && good["wait_p50_ms"].is_f64(),
        "{good}"
    );
    // One run of 25 is beyond the 95th percentile, and one run is no median.
    assert!(good.get("p95_ms").is_none() && of("types", "bad").get("p50_ms").is_none(), "{stats}");
    assert_eq!(
        (&stats["unclaimable"]["pending"], &of("lanes", "nobody")["claim"]),
        (&json!(1), &json!("unclaimable"))
    );
    assert!(stats["unclaimable"]["age_ms"].is_u64());
    assert_eq!(stats["processes"][0]["handles"], json!(["bad", "good"]));
    let page = page(shown).await;
    for text in ["No worker handles the type of 1 waiting task", "handles bad, good", "1 (100.0 %)"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let metrics = get(shown.addr, "/metrics").await.body;
    for line in [r#"queue_pending{claim="unclaimable"} 1"#, r#"queue_pending{claim="claimable"} 0"#] {
        assert!(metrics.lines().any(|shown| shown == line), "{line}");
    }
}

#[tokio::test]
async fn a_file_shows_its_types() {
    let api = Server::start(&["queue", "api", "--exec", EXEC], &[LONG_LEASE]);
    types_are_shown(&api, &api).await;
}

#[tokio::test]
async fn a_monitor_shows_the_types_of_all_workers_and_those_that_nobody_handles() {
    let redis = RedisServer::start(&[]).await;
    let url = redis.url().to_string();
    let shared = [("REDIS_URL", url.as_str()), LONG_LEASE];
    let api = Server::start(&["queue", "api"], &shared);
    let monitor = Server::start(&["queue", "monitor"], &shared);
    let mut worker = Server::start(&["queue", "worker", "--exec", EXEC], &shared);
    worker.line_with("working on redis://");
    types_are_shown(&api, &monitor).await;
    // What this one did goes with it, and nobody is left who handles anything.
    worker.signal(rustix::process::Signal::TERM);
    worker.wait();
    enqueue(&api, json!({ "type": "good" })).await;
    until(monitor.addr, "/stats", |answer| {
        let stats = answer.json();
        (stats["unclaimable"]["pending"] == 2 && stats["types"] == json!([])).then_some(())
    })
    .await;
}
