//! The queue over HTTP, on both stores and in both places: `lab queue api`, and `lab` under `/queue`.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::{
    redis_server::RedisServer,
    support::{Answer, Server, get, send, until},
};

/// A server of the queue in which nothing starts until the test lets it.
struct Served {
    server: Server,
    prefix: &'static str,
    _redis: Option<RedisServer>,
}

impl Served {
    async fn api_on_redis(environment: &[(&str, &str)]) -> Self {
        let redis = RedisServer::start(&[]).await;
        let url = redis.url().to_string();
        let environment = [environment, &[("REDIS_URL", &url)]].concat();
        let server = Server::start(&["queue", "api"], &environment);
        Self { server, prefix: "", _redis: Some(redis) }
    }

    async fn api_on_a_file(environment: &[(&str, &str)]) -> Self {
        let server = Server::start(&["queue", "api"], environment);
        let served = Self { server, prefix: "", _redis: None };
        served.pause().await;
        served
    }

    async fn in_lab(environment: &[(&str, &str)]) -> Self {
        let served = Self { server: Server::start(&[], environment), prefix: "/queue", _redis: None };
        served.pause().await;
        served
    }

    /// All of them.
    async fn each(environment: &[(&str, &str)]) -> [Self; 3] {
        [
            Self::api_on_redis(environment).await,
            Self::api_on_a_file(environment).await,
            Self::in_lab(environment).await,
        ]
    }

    fn addr(&self) -> SocketAddr {
        self.server.addr
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.ask_with(method, path, "", &body.to_string()).await
    }

    async fn ask_with(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let head = format!("{method} {}{path}\ncontent-type: application/json{headers}", self.prefix);
        send(self.addr(), &head, body).await
    }

    async fn pause(&self) {
        let answer = self.ask("PATCH", "/rules", &json!({ "paused": true })).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    async fn enqueue(&self, body: &Value) -> String {
        let answer = self.ask("POST", "/task", body).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.json()["task_id"].as_str().expect("an id").to_owned()
    }

    async fn task(&self, id: &str) -> Answer {
        get(self.addr(), &format!("{}/task/{id}", self.prefix)).await
    }

    async fn counts(&self) -> Value {
        get(self.addr(), "/queue/audit").await.json()
    }
}

#[tokio::test]
async fn a_task_is_enqueued_and_can_be_looked_at() {
    for served in Served::each(&[]).await {
        let answer =
            served.ask("POST", "/task", &json!({ "type": "email", "payload": "user@example.com" })).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        let queued = answer.json();
        assert_eq!(queued["status"], "queued");
        let durability = if served._redis.is_some() { "memory" } else { "fsynced" };
        assert_eq!(queued["durability"], durability);
        let id = queued["task_id"].as_str().expect("an id");
        let task = served.task(id).await;
        assert_eq!(task.status, 200);
        let task = task.json();
        assert_eq!(
            (&task["state"], &task["type"], &task["attempts"]),
            (&json!("pending"), &json!("email"), &json!(0))
        );
        assert_eq!((&task["priority"], &task["max_attempts"]), (&json!("normal"), &json!(5)));
        let payload = served.ask_with("GET", &format!("/task/{id}/payload"), "", "").await;
        assert_eq!(payload.body, r#""user@example.com""#);
        let counts = served.counts().await;
        assert_eq!(
            (&counts["enqueued"], &counts["pending"], &counts["balances"]),
            (&json!(1), &json!(1), &json!(true))
        );
    }
}

#[tokio::test]
async fn the_members_of_a_task_are_kept() {
    for served in Served::each(&[]).await {
        let deadline = "2999-01-01T00:00:00Z";
        let body = json!({
            "type": "report", "payload": { "n": 12_345_678_901_234_567_890_u64, "empty": [] }, "priority": "high",
            "group": "acme", "delay_ms": "1h", "max_attempts": 3, "timeout_ms": 1500, "deadline": deadline
        });
        let id = served.enqueue(&body).await;
        let task = served.task(&id).await.json();
        for (name, value) in [
            ("state", json!("delayed")),
            ("type", json!("report")),
            ("group", json!("acme")),
            ("priority", json!("high")),
            ("max_attempts", json!(3)),
            ("deadline_ms", json!(32_472_144_000_000_u64)),
        ] {
            assert_eq!(task[name], value, "{name}");
        }
        let wait_ms =
            task["due_ms"].as_u64().expect("a time") - task["enqueued_ms"].as_u64().expect("a time");
        assert_eq!(wait_ms, 3_600_000);
        // Byte by byte: a number that no float holds, and an empty list, stay what they are.
        let payload = served.ask_with("GET", &format!("/task/{id}/payload"), "", "").await;
        assert_eq!(payload.body, body["payload"].to_string());
        // Without a payload it is null, and a deadline that has passed is no error.
        let id = served.enqueue(&json!({ "type": "report", "deadline": "2020-01-01T00:00:00Z" })).await;
        let payload = served.ask_with("GET", &format!("/task/{id}/payload"), "", "").await;
        assert_eq!(payload.body, "null");
    }
}

#[tokio::test]
async fn what_is_no_task_is_refused_and_enqueues_nothing() {
    let long = "x".repeat(65_000);
    for served in Served::each(&[]).await {
        let bodies = [
            ("{", 400, ""),
            ("", 400, ""),
            ("[]", 400, ""),
            (r#"{"payload": 1}"#, 400, "type"),
            (r#"{"type": ""}"#, 400, "type"),
            (r#"{"type": 0}"#, 400, "type"),
            (r#"{"type": "a b"}"#, 400, "type"),
            (r#"{"type": "a\u0000"}"#, 400, "type"),
            (r#"{"type": "x", "extra": 1}"#, 400, "extra"),
            (r#"{"type": "x", "type": "y"}"#, 400, "type"),
            (r#"{"type": "x", "priority": "urgent"}"#, 400, "priority"),
            (r#"{"type": "x", "delay_ms": -1}"#, 400, "delay_ms"),
            (r#"{"type": "x", "delay_ms": 99999999999999}"#, 400, "delay_ms"),
            (r#"{"type": "x", "at": "tomorrow"}"#, 400, "at"),
            (r#"{"type": "x", "at": 1, "delay_ms": 1}"#, 400, "at"),
            (r#"{"type": "x", "max_attempts": 0}"#, 400, "max_attempts"),
            (r#"{"type": "x", "timeout_ms": 0}"#, 400, "timeout_ms"),
        ];
        let long = format!(r#"{{"type": "x", "payload": "{long}"}}"#);
        for (body, status, field) in bodies.into_iter().chain([(long.as_str(), 413, "payload")]) {
            let answer = served.ask_with("POST", "/task", "", body).await;
            assert_eq!(answer.status, status, "{body:.80}: {}", answer.body);
            assert_eq!(answer.headers["content-type"], "application/problem+json");
            if !field.is_empty() {
                assert_eq!(answer.json()["field"], field, "{body:.80}: {}", answer.body);
            }
        }
        for (headers, status) in [
            ("\nidempotency-key: ", 400),
            ("\nidempotency-key: a\nidempotency-key: b", 400),
            ("\nidempotency-key: a b", 400),
            ("\ncontent-encoding: gzip", 415),
        ] {
            let answer = served.ask_with("POST", "/task", headers, r#"{"type": "x"}"#).await;
            assert_eq!(answer.status, status, "{headers}: {}", answer.body);
        }
        let megabyte = format!(r#"{{"type": "x", "payload": "{}"}}"#, "x".repeat(1 << 20));
        assert_eq!(served.ask_with("POST", "/task", "", &megabyte).await.status, 413);
        // Characters of four bytes are no error.
        let id = served.enqueue(&json!({ "type": "x", "payload": "𝄞 \u{0}" })).await;
        assert_eq!(served.task(&id).await.status, 200);
        assert_eq!(served.counts().await["enqueued"], 1);
    }
}

#[tokio::test]
async fn a_key_enqueues_once_whatever_the_order_of_the_members() {
    for served in Served::each(&[]).await {
        let ask = async |key: &str, path: &str, body: &str| {
            served.ask_with("POST", path, &format!("\nidempotency-key: {key}"), body).await
        };
        let first = ask("a", "/task", r#"{"type": "x", "payload": 1, "group": "g"}"#).await;
        let again = ask("a", "/task", r#"{ "group": "g", "payload": 1, "type": "x" }"#).await;
        assert_eq!((first.status, &first.body), (again.status, &again.body));
        let other = ask("a", "/task", r#"{"type": "x", "payload": 2, "group": "g"}"#).await;
        assert_eq!((other.status, &other.json()["type"]), (422, &json!("/problems/idempotency-key-used")));
        assert_eq!(other.json()["task_id"], first.json()["task_id"]);

        // A batch is covered item by item.
        let both = r#"{"tasks": [{"type": "x"}, {"type": "x", "payload": 2}]}"#;
        let batch = ask("b", "/tasks", both).await;
        assert_eq!((batch.status, batch.json()["queued"].as_u64()), (202, Some(2)), "{}", batch.body);
        assert_eq!(ask("b", "/tasks", both).await.body, batch.body);
        let changed = ask("b", "/tasks", r#"{"tasks": [{"type": "x"}, {"type": "x", "payload": 3}]}"#).await;
        assert_eq!((changed.status, &changed.json()["field"]), (422, &json!("tasks[1]")), "{}", changed.body);
        let each = r#"{"tasks": [{"type": "x"}, {"type": "x", "payload": 3}], "batch": "each"}"#;
        let each = ask("b", "/tasks", each).await.json();
        assert_eq!(each["tasks"][0]["task_id"], batch.json()["tasks"][0]["task_id"]);
        assert_eq!(each["tasks"][1]["status"], "idempotency_key_used");
        assert_eq!(served.counts().await["enqueued"], 3);

        // More tasks at its end are further tasks, and a default that is written out is another body.
        let three = r#"{"tasks": [{"type": "x"}, {"type": "x", "payload": 2}, {"type": "x", "payload": 3}]}"#;
        let longer = ask("b", "/tasks", three).await.json();
        assert_eq!(longer["tasks"][1]["task_id"], batch.json()["tasks"][1]["task_id"]);
        assert_eq!(served.counts().await["enqueued"], 4);
        let written_out = r#"{"type": "x", "payload": 1, "group": "g", "priority": "normal"}"#;
        assert_eq!(ask("a", "/task", written_out).await.status, 422);
    }
}

#[tokio::test]
async fn a_batch_is_taken_whole_or_item_by_item() {
    for served in Served::each(&[]).await {
        let tasks = json!([{ "type": "x" }, { "type": "no type" }, { "type": "y", "payload": [1] }]);
        let whole = served.ask("POST", "/tasks", &json!({ "tasks": tasks })).await;
        assert_eq!((whole.status, &whole.json()["field"]), (400, &json!("tasks[1].type")), "{}", whole.body);
        assert_eq!(served.counts().await["enqueued"], 0);
        let each = served.ask("POST", "/tasks", &json!({ "tasks": tasks, "batch": "each" })).await;
        assert_eq!((each.status, &each.json()["queued"]), (202, &json!(2)), "{}", each.body);
        let statuses: Vec<Value> = each.json()["tasks"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| item["status"].clone())
            .collect();
        assert_eq!(statuses, [json!("queued"), json!("invalid"), json!("queued")]);
        assert_eq!(each.json()["tasks"][1]["problem"]["field"], "type");
        let many: Vec<Value> = (0..501).map(|_| json!({ "type": "x" })).collect();
        let many = served.ask("POST", "/tasks", &json!({ "tasks": many })).await;
        assert_eq!((many.status, &many.json()["limit_tasks"]), (413, &json!(500)));
        let large: Vec<Value> =
            (0..20).map(|_| json!({ "type": "x", "payload": "x".repeat(60_000) })).collect();
        assert_eq!(served.ask("POST", "/tasks", &json!({ "tasks": large })).await.status, 413);
        let five_hundred: Vec<Value> = (0..500).map(|_| json!({ "type": "x" })).collect();
        let all = served.ask("POST", "/tasks", &json!({ "tasks": five_hundred })).await;
        assert_eq!((all.status, &all.json()["queued"]), (202, &json!(500)));
        assert_eq!(served.ask("POST", "/tasks", &json!({ "tasks": [] })).await.json()["queued"], 0);
        assert_eq!(served.counts().await["enqueued"], 502);
    }
}

#[tokio::test]
async fn a_full_queue_says_when_to_try_again() {
    for served in Served::each(&[("QUEUE_TASKS_LIMIT", "2")]).await {
        served.enqueue(&json!({ "type": "x" })).await;
        let two = json!({ "tasks": [{ "type": "x" }, { "type": "x" }] });
        for batch in ["whole", "each"] {
            let mut body = two.clone();
            body["batch"] = json!(batch);
            let full = served.ask("POST", "/tasks", &body).await;
            assert_eq!(
                (full.status, &full.json()["type"]),
                (429, &json!("/problems/task-queue-full")),
                "{batch}"
            );
            assert!(full.headers["retry-after"].parse::<u64>().is_ok());
        }
        served.enqueue(&json!({ "type": "x" })).await;
        assert_eq!(served.ask("POST", "/task", &json!({ "type": "x" })).await.status, 429);
        assert_eq!(served.counts().await["enqueued"], 2);
    }
}

#[tokio::test]
async fn a_task_can_be_cancelled_and_started_before_its_time() {
    for served in Served::each(&[]).await {
        let (pending, delayed) = (
            served.enqueue(&json!({ "type": "x" })).await,
            served.enqueue(&json!({ "type": "x", "delay_ms": "1h" })).await,
        );
        let change = async |method: &str, path: &str| served.ask(method, path, &json!({})).await;
        let moved = change("POST", &format!("/task/{delayed}/run-now")).await;
        assert_eq!((moved.status, &moved.json()["status"]), (200, &json!("moved")), "{}", moved.body);
        assert_eq!(served.task(&delayed).await.json()["state"], "pending");
        for id in [&pending, &delayed] {
            let cancelled = change("DELETE", &format!("/task/{id}")).await;
            assert_eq!((cancelled.status, &cancelled.json()["status"]), (200, &json!("cancelled")));
            assert_eq!(served.task(id).await.json()["state"], "cancelled");
            for again in [
                change("GET", &format!("/task/{id}/payload")).await,
                change("DELETE", &format!("/task/{id}")).await,
                change("POST", &format!("/task/{id}/run-now")).await,
            ] {
                assert_eq!((again.status, &again.json()["state"]), (409, &json!("cancelled")));
            }
        }
        let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
        for (method, path) in [("GET", ""), ("GET", "/payload"), ("DELETE", ""), ("POST", "/run-now")] {
            // It was made in 2023, before the oldest record that is kept.
            let answer = change(method, &format!("/task/{unknown}{path}")).await;
            assert_eq!(
                (answer.status, &answer.json()["type"]),
                (410, &json!("/problems/task-forgotten")),
                "{method}"
            );
            let problem = answer.json();
            let detail = problem["detail"].as_str().expect("a detail");
            let is_plain = detail.starts_with("never enqueued here, or ended before 20");
            assert!(is_plain && problem["kept_since_ms"].as_u64() > Some(0), "{problem}");
            let answer = change(method, &format!("/task/nonsense{path}")).await;
            assert_eq!((answer.status, &answer.json()["parameter"]), (400, &json!("id")), "{method}");
        }
        // All records since these were made are kept.
        for unknown in ["fffffffe-ac96-774b-bcce-b302099a8057", &lab::queue::TaskId::new().to_string()] {
            let answer = served.task(unknown).await;
            assert_eq!((answer.status, &answer.json()["type"]), (404, &json!("/problems/unknown-task")));
        }
        let counts = served.counts().await;
        assert_eq!((&counts["done"], &counts["balances"]), (&json!(2), &json!(true)));
    }
}

#[tokio::test]
async fn a_rule_holds_a_type_and_its_page_and_statistics_say_so() {
    for served in Served::each(&[]).await {
        served
            .enqueue(&json!({ "type": "email", "group": "acme", "payload": "<script>alert(1)</script>" }))
            .await;
        for (rule, status) in [
            (json!({ "type": "email", "paused": true }), 200),
            (json!({ "group": "acme", "in_flight_limit": 2, "rate": "10/s", "burst": 3 }), 200),
            (json!({ "type": "email", "group": "acme" }), 400),
            (json!({ "rate": "1/s" }), 400),
            (json!({ "type": "email", "burst": 3 }), 400),
            (json!({ "type": "email", "rate": "0/s" }), 400),
        ] {
            assert_eq!(served.ask("PATCH", "/rules", &rule).await.status, status, "{rule}");
        }
        // A change leaves the rest as it is, and null takes a limit away.
        let all = |paused: bool, limit: Value, rate: Value, burst: Value| json!({ "paused": paused, "in_flight_limit": limit, "rate": rate, "burst": burst });
        for (change, expected) in [
            (json!({ "in_flight_limit": 7 }), all(false, json!(7), json!(null), json!(null))),
            (json!({ "rate": "10/s" }), all(false, json!(7), json!(10.0), json!(1))),
            (json!({ "burst": 4 }), all(false, json!(7), json!(10.0), json!(4))),
            (json!({ "paused": true }), all(true, json!(7), json!(10.0), json!(4))),
            (json!({}), all(true, json!(7), json!(10.0), json!(4))),
            (json!({ "rate": "5/s", "paused": false }), all(false, json!(7), json!(5.0), json!(4))),
            (json!({ "rate": null }), all(false, json!(7), json!(null), json!(null))),
            (json!({ "in_flight_limit": null }), all(false, json!(null), json!(null), json!(null))),
        ] {
            let mut body = change.clone();
            body["type"] = json!("merged");
            let answer = served.ask("PATCH", "/rules", &body).await;
            assert_eq!(answer.status, 200, "{body}");
            let rule = answer.json();
            for (name, value) in expected.as_object().expect("an object") {
                assert_eq!(rule.get(name).unwrap_or(&json!(null)), value, "{name} after {change}: {rule}");
            }
        }
        let path = format!("{}/stats", served.prefix);
        let stats = until(served.addr(), &path, |answer| {
            let stats = answer.json();
            (stats["counts"]["pending"] == 1).then_some(stats)
        })
        .await;
        let lane = &stats["lanes"][0];
        assert_eq!(
            (&lane["type"], &lane["group"], &lane["pending"]),
            (&json!("email"), &json!("acme"), &json!(1))
        );
        let rules = stats["rules"].as_array().expect("rules");
        let of = |name: &str, value: &str| rules.iter().find(|rule| rule[name] == value).expect("a rule");
        assert_eq!(of("type", "email")["paused"], true);
        let limited = of("group", "acme");
        assert_eq!(
            (&limited["in_flight_limit"], &limited["rate"], &limited["burst"]),
            (&json!(2), &json!(10.0), &json!(3))
        );
        let page = if served.prefix.is_empty() { "/" } else { served.prefix };
        let page = send(served.addr(), &format!("GET {page}\naccept: text/html"), "").await;
        assert_eq!(page.status, 200);
        assert!(page.body.contains("paused") && page.body.contains("type email"), "{}", page.body);
        assert!(!page.body.contains("<script>alert"), "{}", page.body);
    }
}

#[tokio::test]
async fn without_rights_nothing_but_an_enqueue_is_allowed() {
    for served in [
        Served::api_on_redis(&[("LAB_ADMIN_TOKEN", "secret")]).await,
        Served {
            server: Server::start(&[], &[("LAB_ADMIN_TOKEN", "secret")]),
            prefix: "/queue",
            _redis: None,
        },
    ] {
        let id = served.enqueue(&json!({ "type": "x", "delay_ms": "1h" })).await;
        for (method, path) in [
            ("DELETE", format!("/task/{id}")),
            ("POST", format!("/task/{id}/run-now")),
            ("GET", format!("/task/{id}/payload")),
            ("PATCH", "/rules".to_owned()),
            ("POST", "/dead/replay".to_owned()),
            ("POST", "/dead/discard".to_owned()),
        ] {
            assert_eq!(served.ask(method, &path, &json!({})).await.status, 401, "{method} {path}");
        }
        assert_eq!(served.task(&id).await.json()["state"], "delayed");
        let token = "\nauthorization: Bearer secret";
        assert_eq!(served.ask_with("DELETE", &format!("/task/{id}"), token, "").await.status, 200);
    }
}
