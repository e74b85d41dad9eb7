//! A Redis that stands still, or whose settings change, while an API runs.

use redis::cmd;
use rustix::process::Signal;
use serde_json::json;

use super::processes::{LONG_LEASE, enqueue, state_is};
use crate::{
    redis_server::RedisServer,
    support::{Server, get, send, until},
};

#[tokio::test]
async fn while_redis_stands_still_a_question_is_never_answered_that_its_outcome_is_unknown() {
    let redis = RedisServer::start(&[]).await;
    let url = redis.url().to_string();
    let api = Server::start(&["queue", "api"], &[("REDIS_URL", url.as_str()), LONG_LEASE]);
    let id = enqueue(&api, &json!({ "type": "x" })).await;
    redis.signal(Signal::STOP);
    let task = format!("/task/{id}");
    let payload = format!("{task}/payload");
    let questions = [task.as_str(), payload.as_str(), "/dead", "/queue/audit/scan"];
    let answers = futures_util::future::join_all(
        questions.map(|path| async move { (path, get(api.addr, path).await) }),
    );
    for (path, answer) in answers.await {
        let kind = answer.json()["type"].clone();
        assert_eq!((answer.status, kind), (503, json!("/problems/store-away")), "{path}");
    }
    redis.signal(Signal::CONT);
    state_is(&api, &id, "pending").await;
}

#[tokio::test]
async fn a_store_that_is_set_to_evict_keeps_tasks_in_memory_only() {
    let redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let url = redis.url().to_string();
    let api = Server::start(&["queue", "api"], &[("REDIS_URL", url.as_str()), LONG_LEASE]);
    let durability = async |expected: &str| {
        until(api.addr, "/stats", |answer| (answer.json()["durability"] == expected).then_some(())).await;
    };
    durability("fsynced").await;
    let client = lab::storage::redis::Redis::connect(&redis.url()).await.expect("connected");
    let set = async |policy: &str| {
        let mut config = cmd("CONFIG");
        client.command::<()>(config.arg("SET").arg("maxmemory-policy").arg(policy)).await.expect("set");
    };
    set("allkeys-lru").await;
    durability("memory").await;
    let head = "POST /task\ncontent-type: application/json";
    let queued = send(api.addr, head, r#"{"type": "x"}"#).await.json();
    assert_eq!(queued["durability"], "memory", "{queued}");
    set("noeviction").await;
    durability("fsynced").await;
}
