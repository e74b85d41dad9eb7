//! The queue as processes: one Redis for all, or a file that one process owns.

use std::{fs, path::Path};

use redis::cmd;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    redis_server::RedisServer,
    support::{Server, get, run, send, until},
};

/// A lease that a busy machine does not let expire.
pub(super) const LONG_LEASE: (&str, &str) = ("QUEUE_LEASE_MS", "10m");

/// A command that writes the task's id, attempt and payload to a file, one line a task.
fn recording(file: &Path) -> String {
    format!(
        "record=sh -c 'read -r line; echo \"$LAB_TASK_ID $LAB_TASK_ATTEMPT $LAB_TASK_TOKEN $line\" >>{}'",
        file.display()
    )
}

/// The lines of the file once there are as many.
async fn lines_of(file: &Path, count: usize) -> Vec<String> {
    let reading = async {
        loop {
            let text = fs::read_to_string(file).unwrap_or_default();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            if lines.len() >= count {
                return lines;
            }
            // Another process writes the file: it has no other sign.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, reading).await.expect("in time")
}

pub(super) async fn enqueue(server: &Server, body: &Value) -> String {
    let head = "POST /task\ncontent-type: application/json";
    let answer = send(server.addr, head, &body.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.json()["task_id"].as_str().expect("an id").to_owned()
}

pub(super) async fn state_is(server: &Server, id: &str, expected: &str) -> Value {
    until(server.addr, &format!("/task/{id}"), |answer| {
        let task = answer.json();
        (task["state"] == expected).then_some(task)
    })
    .await
}

#[tokio::test]
async fn api_worker_and_monitor_share_a_queue_in_redis() {
    let redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let url = redis.url().to_string();
    let shared = [("REDIS_URL", url.as_str()), LONG_LEASE];
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("done");
    let (api, monitor) =
        (Server::start(&["queue", "api"], &shared), Server::start(&["queue", "monitor"], &shared));
    let exec = recording(&file);
    let mut worker = Server::start(&["queue", "worker", "--exec", &exec], &shared);
    worker.line_with("working on redis://");

    let answer = send(
        api.addr,
        "POST /task\ncontent-type: application/json",
        &json!({ "type": "record", "payload": { "to": "a b" } }).to_string(),
    )
    .await;
    assert_eq!(answer.json()["durability"], "fsynced", "{}", answer.body);
    let id = answer.json()["task_id"].as_str().expect("an id").to_owned();
    assert_eq!(lines_of(&file, 1).await, [format!(r#"{id} 1 1 {{"to":"a b"}}"#)]);
    let done = state_is(&monitor, &id, "succeeded").await;
    assert_eq!((&done["attempts"], &done["failures"]), (&json!(1), &json!(0)));

    // No worker handles this type: it waits, and does not hold up the other.
    let waits = enqueue(&api, &json!({ "type": "nobody", "priority": "high" })).await;
    let next = enqueue(&api, &json!({ "type": "record", "payload": 2, "priority": "low" })).await;
    state_is(&api, &next, "succeeded").await;
    state_is(&api, &waits, "pending").await;

    worker.signal(Signal::TERM);
    let (status, rest) = worker.wait();
    assert!(status.success() && rest.contains("2 started, 2 succeeded"), "{rest}");
    let audit = get(api.addr, "/queue/audit").await.json();
    assert_eq!(
        (&audit["enqueued"], &audit["done"], &audit["balances"]),
        (&json!(3), &json!(2), &json!(true))
    );
}

#[tokio::test]
async fn what_other_programs_push_is_admitted_and_what_is_no_task_is_a_dead_letter() {
    let redis = RedisServer::start(&[]).await;
    let url = redis.url().to_string();
    let shared = [("REDIS_URL", url.as_str()), LONG_LEASE];
    let api = Server::start(&["queue", "api"], &shared);
    let client = lab::storage::redis::Redis::connect(&redis.url()).await.expect("connected");
    let long = format!(r#"{{"type": "x", "payload": "{}"}}"#, "x".repeat(200_000));
    for element in [
        r#"{"id": "7", "type": "email", "payload": "user@example.com"}"#,
        r#"{"type": "email", "delay_ms": "1h"}"#,
        "not JSON",
        r#"{"payload": 1}"#,
        &long,
    ] {
        client.command::<u64>(cmd("LPUSH").arg("tasks:pending").arg(element)).await.expect("pushed");
    }
    client.command::<u64>(cmd("LPUSH").arg("tasks:pending").arg(&[0xff_u8, 0xfe])).await.expect("pushed");
    let stats = until(api.addr, "/stats", |answer| {
        let stats = answer.json();
        let counts = &stats["counts"];
        (stats["inbox"] == 0 && counts["dead"] == 4 && counts["enqueued"] == 6).then_some(stats)
    })
    .await;
    assert_eq!((&stats["counts"]["pending"], &stats["counts"]["delayed"]), (&json!(1), &json!(1)));
    assert_eq!((&stats["lanes"][0]["type"], &stats["lanes"][0]["pending"]), (&json!("email"), &json!(1)));
    let page = send(api.addr, "GET /\naccept: text/html", "").await.body;
    assert!(page.contains("malformed") && page.contains("the field `type` is missing"), "{page}");

    let head = "POST /dead/discard\ncontent-type: application/json";
    let changed = send(api.addr, head, r#"{"because": "malformed"}"#).await.json();
    assert_eq!(changed["changed"], 4);
    let audit = get(api.addr, "/queue/audit").await.json();
    assert_eq!((&audit["dead"], &audit["done"], &audit["balances"]), (&json!(0), &json!(4), &json!(true)));
}

/// A document as it stands in a list.
fn without_schema(mut document: Value) -> Value {
    document.as_object_mut().expect("an object").remove("schema");
    document
}

#[tokio::test]
async fn dead_letters_are_replayed_by_id_by_type_or_all() {
    let redis = RedisServer::start(&[]).await;
    let url = redis.url().to_string();
    let shared = [("REDIS_URL", url.as_str()), LONG_LEASE];
    let api = Server::start(&["queue", "api"], &shared);
    let exec = "a=false\nb=sh -c 'echo no such user >&2; exit 3'";
    let _worker = Server::start(&["queue", "worker", "--exec", exec, "--backoff-ms", "1"], &shared);
    let once = |kind: &str| json!({ "type": kind, "max_attempts": 1 });
    let twice = enqueue(&api, &json!({ "type": "b", "max_attempts": 2 })).await;
    let dead = state_is(&api, &twice, "dead").await;
    assert_eq!((&dead["failures"], &dead["dead_because"]), (&json!(2), &json!("exhausted")));
    assert_eq!(dead["last_error"], "exit code 3: no such user");
    let mut ids = Vec::new();
    for kind in ["a", "a", "a", "b"] {
        ids.push(enqueue(&api, &once(kind)).await);
    }
    for id in &ids {
        state_is(&api, id, "dead").await;
    }
    // Who may only look sees them too, newest first; the payloads are left out.
    let list = async |query: &str| get(api.addr, &format!("/dead{query}")).await;
    let page = list("").await.json();
    let dead = page["dead"].as_array().expect("a list").clone();
    assert_eq!((dead.len(), &page["schema"]), (5, &json!("lab/queue-dead/1")), "{page}");
    assert_eq!(dead[4], without_schema(get(api.addr, &format!("/task/{twice}")).await.json()));
    assert!(dead.iter().all(|task| task.get("payload").is_none()) && page.get("next_offset").is_none());
    let rest = list("?offset=3").await.json();
    assert_eq!(rest["dead"], json!(dead[3..]));
    assert_eq!(list("?offset=9").await.json()["dead"], json!([]));
    for bad in ["?offset=-1", "?offset=x", "?page=1"] {
        assert_eq!(list(bad).await.status, 400, "{bad}");
    }
    // Nothing dies again before it was counted.
    let ask = async |path: &str, body: Value| {
        let head = format!("{path}\ncontent-type: application/json");
        let answer = send(api.addr, &head, &body.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["changed"].clone()
    };
    ask_pause(&api, true).await;
    assert_eq!(ask("POST /dead/replay", json!({ "ids": [ids[0], ids[0], twice] })).await, 2);
    assert_eq!(ask("POST /dead/replay", json!({ "type": "a" })).await, 2);
    assert_eq!(ask("POST /dead/replay", json!({ "because": "final" })).await, 0);
    assert_eq!(ask("POST /dead/discard", json!({})).await, 1);
    let task = get(api.addr, &format!("/task/{twice}")).await.json();
    assert_eq!(
        (&task["state"], &task["failures"], &task["last_error"]),
        (&json!("pending"), &json!(0), &Value::Null)
    );
    let stats = get(api.addr, "/queue/audit").await.json();
    assert_eq!((&stats["pending"], &stats["done"], &stats["balances"]), (&json!(4), &json!(1), &json!(true)));
}

#[tokio::test]
async fn a_command_gets_no_variable_that_is_secret() {
    let redis = RedisServer::start(&[]).await;
    let url = redis.url().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("environment");
    let exec = format!("a=sh -c 'env >{}'", file.display());
    let mut shared = vec![("REDIS_URL", url.as_str()), LONG_LEASE, ("SMTP_HOST", "kept")];
    shared.extend(
        ["LAB_ADMIN_TOKEN", "DATABASE_URL", "OTEL_EXPORTER_OTLP_HEADERS"]
            .map(|name| (name, "k=hidden-value")),
    );
    let api = Server::start(&["queue", "api"], &[("REDIS_URL", url.as_str()), LONG_LEASE]);
    let _worker = Server::start(&["queue", "worker", "--exec", &exec], &shared);
    let id = enqueue(&api, &json!({ "type": "a" })).await;
    state_is(&api, &id, "succeeded").await;
    let seen = fs::read_to_string(&file).expect("written");
    assert!(seen.contains("SMTP_HOST=kept") && seen.contains("LAB_TASK_ID="), "{seen}");
    assert!(!seen.contains("hidden-value") && !seen.contains("REDIS_URL"), "{seen}");
}

async fn ask_pause(api: &Server, paused: bool) {
    let head = "PATCH /rules\ncontent-type: application/json";
    assert_eq!(send(api.addr, head, &json!({ "paused": paused }).to_string()).await.status, 200);
}

#[tokio::test]
async fn the_task_of_a_worker_that_was_killed_runs_again_and_is_charged_nothing() {
    let redis = RedisServer::start(&[]).await;
    let url = redis.url().to_string();
    let shared = [("REDIS_URL", url.as_str())];
    let api = Server::start(&["queue", "api"], &shared);
    let folder = tempfile::tempdir().expect("a folder");
    let (started, go) = (folder.path().join("started"), folder.path().join("go"));
    // The first attempt waits for a file that comes later.
    let exec = format!(
        "wait=sh -c 'echo $LAB_TASK_TOKEN >>{}; until [ -e {} ]; do sleep 0.05; done'",
        started.display(),
        go.display()
    );
    let worker = Server::start(&["queue", "worker", "--exec", &exec], &shared);
    let id = enqueue(&api, &json!({ "type": "wait" })).await;
    assert_eq!(lines_of(&started, 1).await, ["1"]);
    worker.signal(Signal::KILL);
    let _other = Server::start(&["queue", "worker", "--exec", &exec], &shared);
    lines_of(&started, 2).await;
    fs::write(&go, "").expect("written");
    let done = state_is(&api, &id, "succeeded").await;
    // On a machine that stands still the lease of the other one may expire too.
    let (crashes, attempts) = (done["crashes"].as_u64().expect("a count"), done["attempts"].as_u64());
    assert!(crashes >= 1 && attempts == Some(crashes + 1) && done["failures"] == 0, "{done}");
}

#[tokio::test]
async fn a_running_task_is_cancelled_and_its_command_killed() {
    let redis = RedisServer::start(&[]).await;
    let url = redis.url().to_string();
    let shared = [("REDIS_URL", url.as_str()), LONG_LEASE];
    let api = Server::start(&["queue", "api"], &shared);
    let folder = tempfile::tempdir().expect("a folder");
    let started = folder.path().join("started");
    let exec = format!("long=sh -c 'echo $$ >>{}; sleep 1000'", started.display());
    let _worker = Server::start(&["queue", "worker", "--exec", &exec], &shared);
    let id = enqueue(&api, &json!({ "type": "long" })).await;
    let pid = lines_of(&started, 1).await.remove(0);
    let answer = send(api.addr, &format!("DELETE /task/{id}"), "").await;
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("stopping")));
    state_is(&api, &id, "cancelled").await;
    let gone = async {
        while Path::new(&format!("/proc/{pid}")).exists() {
            // The system tells nobody but the parent.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, gone).await.expect("the command is killed");
}

#[tokio::test]
async fn while_redis_is_away_nothing_is_accepted_and_after_it_all_goes_on() {
    let mut redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let url = redis.url().to_string();
    let shared = [("REDIS_URL", url.as_str()), LONG_LEASE];
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("done");
    let api = Server::start(&["queue", "api"], &shared);
    let _worker = Server::start(&["queue", "worker", "--exec", &recording(&file)], &shared);
    let before = enqueue(&api, &json!({ "type": "record", "delay_ms": "1h" })).await;
    redis.kill();
    let head = "POST /task\ncontent-type: application/json";
    let refused = send(api.addr, head, r#"{"type": "record"}"#).await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.headers.contains_key("retry-after"));
    until(api.addr, "/readyz", |answer| (answer.status == 503).then_some(())).await;
    until(api.addr, "/stats", |answer| (answer.json()["store_is_up"] == false).then_some(())).await;
    assert_eq!(get(api.addr, "/healthz").await.status, 200);
    redis.restart().await;
    until(api.addr, "/readyz", |answer| (answer.status == 200).then_some(())).await;
    let after = enqueue(&api, &json!({ "type": "record", "payload": "after" })).await;
    state_is(&api, &after, "succeeded").await;
    assert_eq!(get(api.addr, &format!("/task/{before}")).await.json()["state"], "delayed");
}

#[tokio::test]
async fn a_redis_that_is_away_at_the_start_is_waited_for_once_the_address_is_announced() {
    let mut redis = RedisServer::start(&[]).await;
    let url = redis.url().to_string();
    let shared = [("REDIS_URL", url.as_str()), LONG_LEASE];
    redis.kill();
    // Each of them has said where it listens before anything else, or it would not count as started.
    let commands: [&[&str]; 4] = [&["queue", "api"], &["queue", "worker"], &["queue", "monitor"], &[]];
    let mut servers = commands.map(|arguments| Server::start(arguments, &shared));
    for server in &mut servers {
        server.line_with("waiting for the queue's store");
    }
    redis.restart().await;
    for server in &servers {
        until(server.addr, "/readyz", |answer| (answer.status == 200).then_some(())).await;
    }
    // What a worker answers at its root.
    let page = send(servers[1].addr, "GET /\naccept: text/html", "").await;
    assert!(page.status == 200 && page.body.contains("Queue worker") && page.body.contains("/metrics"));
}

#[tokio::test]
async fn a_store_that_would_lose_tasks_or_that_another_has_is_refused() {
    let evicting = RedisServer::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]).await;
    let url = evicting.url().to_string();
    let shared = [("REDIS_URL", url.as_str()), LONG_LEASE];
    for arguments in [["queue", "api"], ["queue", "worker"], ["queue", "monitor"]] {
        let (code, _, stderr) =
            run(&arguments, &[&shared[..], &[("QUEUE_API_ADDR", "127.0.0.1:0")]].concat());
        assert!(code == 2 && stderr.contains("allkeys-lru") && stderr.contains("noeviction"), "{stderr}");
    }
    let newer = RedisServer::start(&[]).await;
    let client = lab::storage::redis::Redis::connect(&newer.url()).await.expect("connected");
    let mut raise = cmd("HSET");
    client.command::<u64>(raise.arg("{tasks:pending}|meta").arg("schema").arg(99)).await.expect("raised");
    let url = newer.url().to_string();
    let shared = [("REDIS_URL", url.as_str()), ("QUEUE_API_ADDR", "127.0.0.1:0")];
    for arguments in [["queue", "api"], ["queue", "worker"], ["queue", "monitor"]] {
        let (code, _, stderr) = run(&arguments, &shared);
        assert!(code == 2 && stderr.contains("version 99"), "{code} {stderr}");
    }
    for command in ["worker", "monitor"] {
        let (code, _, stderr) = run(&["queue", command], &[]);
        assert!(code == 2 && stderr.contains("REDIS_URL") && stderr.contains(command), "{code} {stderr}");
    }
    let owner = Server::start(&["queue", "api"], &[]);
    let data = owner.directory().join("lab-data").display().to_string();
    let other =
        [("LAB_DATA_DIR", data.as_str()), ("LAB_ADDR", "127.0.0.1:0"), ("QUEUE_API_ADDR", "127.0.0.1:0")];
    for arguments in [&[][..], &["queue", "api"]] {
        let (code, _, stderr) = run(arguments, &other);
        assert!(
            code == 2 && stderr.contains("in use by") && stderr.contains("LAB_DATA_DIR"),
            "{code} {stderr}"
        );
    }
}

#[tokio::test]
async fn an_api_on_redis_says_that_its_handlers_are_for_workers() {
    let redis = RedisServer::start(&[]).await;
    let url = redis.url().to_string();
    let mut api = Server::start(&["queue", "api", "--exec", "a=true"], &[("REDIS_URL", url.as_str())]);
    api.line_with("QUEUE_EXEC have no effect here");
}

#[tokio::test]
async fn what_a_file_holds_is_there_after_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().display().to_string();
    let environment = [
        ("LAB_DATA_DIR", data.as_str()),
        ("QUEUE_SIMULATE", "constant:0"),
        ("QUEUE_SIMULATE_ERROR_RATE", "0"),
    ];
    let first = Server::start(&["queue", "api"], &environment);
    let waits = enqueue(&first, &json!({ "type": "x", "delay_ms": "1h" })).await;
    let done = enqueue(&first, &json!({ "type": "x" })).await;
    state_is(&first, &done, "succeeded").await;
    first.signal(Signal::KILL);
    drop(first);
    let second = Server::start(&["queue", "api"], &environment);
    state_is(&second, &waits, "delayed").await;
    state_is(&second, &done, "succeeded").await;
    let audit = get(second.addr, "/queue/audit").await.json();
    assert_eq!((&audit["enqueued"], &audit["balances"]), (&json!(2), &json!(true)));
}

#[tokio::test]
async fn at_the_end_of_the_drain_a_running_task_is_handed_back_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().display().to_string();
    let slow = [
        ("LAB_DATA_DIR", data.as_str()),
        ("QUEUE_SIMULATE", "constant:10m"),
        ("LAB_DRAIN_MS", "0"),
        LONG_LEASE,
    ];
    let first = Server::start(&["queue", "api"], &slow);
    let id = enqueue(&first, &json!({ "type": "x", "timeout_ms": "1h" })).await;
    state_is(&first, &id, "in_flight").await;
    first.signal(Signal::TERM);
    let (status, rest) = first.wait();
    assert!(status.code() == Some(1) && rest.contains("1 task of the queue"), "{status} {rest}");
    let quick = [
        ("LAB_DATA_DIR", data.as_str()),
        ("QUEUE_SIMULATE", "constant:0"),
        ("QUEUE_SIMULATE_ERROR_RATE", "0"),
    ];
    let second = Server::start(&["queue", "api"], &quick);
    let done = state_is(&second, &id, "succeeded").await;
    assert_eq!((&done["failures"], &done["crashes"]), (&json!(0), &json!(0)));
}
