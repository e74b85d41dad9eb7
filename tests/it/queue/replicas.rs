//! Enqueues that wait for replicas, with a real one.

use std::time::Duration;

use futures_util::future::join_all;
use lab::{
    queue::{
        NewTask,
        broker::{Batch, Broker, Caps, Enqueued, RedisBroker},
    },
    storage::{Durability, redis::Copies},
};
use redis::cmd;
use rustix::process::Signal;

use super::store::task;
use crate::{
    redis_server::RedisServer,
    support::{PATIENCE, Server, run, send},
};

/// A server, and one that has its data too.
async fn with_replica() -> (RedisServer, RedisServer) {
    // By default a master lets replicas gather for seconds.
    let master = RedisServer::start(&["--repl-diskless-sync-delay", "0"]).await;
    let port = master.addr().port().to_string();
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port]).await;
    (master, replica)
}

async fn waiting(server: &RedisServer, replicas: u32, within: Duration) -> Broker {
    let broker = RedisBroker::connect(&server.url()).await.expect("connected");
    Broker::Redis(broker.with_copies(Copies { replicas, within }))
}

async fn enqueue(broker: &Broker, tasks: &[NewTask]) -> Durability {
    match broker.enqueue_durably(tasks, Batch::Whole, &Caps::default()).await.expect("answered") {
        (Enqueued::Taken(_), durability) => durability,
        other => panic!("{other:?}"),
    }
}

/// Enqueues until that is replicated.
async fn until_replicated(broker: &Broker) {
    let replicated = async { while enqueue(broker, &[task("2|a|")]).await != Durability::Replicated {} };
    tokio::time::timeout(PATIENCE, replicated).await.expect("in time");
}

#[tokio::test]
async fn a_task_is_replicated_only_if_as_many_replicas_say_so_in_time() {
    let (master, replica) = with_replica().await;
    let (patient, hasty) = (
        waiting(&master, 1, Duration::from_secs(2)).await,
        waiting(&master, 1, Duration::from_millis(20)).await,
    );
    until_replicated(&patient).await;
    assert_eq!(
        enqueue(&waiting(&master, 2, Duration::from_millis(20)).await, &[task("2|a|")]).await,
        Durability::Memory
    );
    replica.signal(Signal::STOP);
    let tasks = [task("2|a|"), task("2|a|")];
    assert_eq!(enqueue(&hasty, &tasks).await, Durability::Memory);
    // Sent again over another connection, which has written nothing else.
    assert_eq!(
        enqueue(&waiting(&master, 1, Duration::from_millis(20)).await, &tasks).await,
        Durability::Memory
    );
    assert_eq!(enqueue(&hasty.apart(), &tasks).await, Durability::Memory);
    replica.signal(Signal::CONT);
    until_replicated(&patient).await;
    assert_eq!(patient.durability(), Durability::Memory, "what others are");
}

#[tokio::test]
async fn those_that_wait_together_wait_once_and_hold_up_nobody_else() {
    let (master, replica) = with_replica().await;
    let broker = waiting(&master, 1, Duration::from_secs(4)).await;
    until_replicated(&broker).await;
    replica.signal(Signal::STOP);
    let before = figure(&broker, "commandstats", "cmdstat_wait:calls=").await;
    let many = join_all((0..40).map(async |_| enqueue(&broker, &[task("2|a|")]).await));
    let others = async {
        while figure(&broker, "clients", "blocked_clients:").await == 0 {}
        broker.stats().await.expect("answered");
        figure(&broker, "clients", "blocked_clients:").await
    };
    let (many, blocked) = tokio::join!(many, others);
    assert!(many.iter().all(|durability| *durability == Durability::Memory), "{many:?}");
    assert_eq!(blocked, 1, "another request waited until all were over");
    let waits = figure(&broker, "commandstats", "cmdstat_wait:calls=").await - before;
    assert!(waits < 40, "each waited for itself");
    replica.signal(Signal::CONT);
}

/// A number that the server says of itself.
async fn figure(broker: &Broker, section: &str, name: &str) -> u64 {
    let Broker::Redis(broker) = broker else { unreachable!("a Redis") };
    let info: String = broker.redis().command(cmd("INFO").arg(section)).await.expect("answered");
    let rest = info.lines().find_map(|line| line.strip_prefix(name)).expect("said");
    rest.split(',').next().expect("a number").trim().parse().expect("a number")
}

#[tokio::test]
async fn an_api_says_which_tasks_are_replicated() {
    let (master, replica) = with_replica().await;
    let url = master.url().to_string();
    let shared = [("REDIS_URL", url.as_str()), ("QUEUE_REPLICAS", "1"), ("QUEUE_REPLICATED_WITHIN_MS", "50")];
    let api = Server::start(&["queue", "api"], &shared);
    let word = async || {
        let answer = send(api.addr, "POST /task\ncontent-type: application/json", r#"{"type": "a"}"#).await;
        answer.json()["durability"].as_str().expect("a word").to_owned()
    };
    let replicated = async { while word().await != "replicated" {} };
    tokio::time::timeout(PATIENCE, replicated).await.expect("in time");
    replica.signal(Signal::STOP);
    assert_eq!(word().await, "memory");
    replica.signal(Signal::CONT);
}

#[test]
fn a_file_has_no_replicas() {
    let (code, _, stderr) = run(&["queue", "api"], &[("QUEUE_REPLICAS", "2")]);
    assert!(code == 2 && stderr.contains("QUEUE_REPLICAS: 2; a file has no replicas"), "{code} {stderr}");
}
