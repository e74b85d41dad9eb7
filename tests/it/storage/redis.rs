//! Redis: what becomes of a request when the server forgets, stops, is full, or its reply is lost.

use std::{sync::LazyLock, time::Duration};

use lab::storage::{
    Durability, StoreError,
    redis::{Redis, RedisUrl, Script},
};
use redis::{FromRedisValue, cmd};
use rustix::process::Signal;
use tokio::net::TcpListener;

use super::cutting::{Cut, Proxy};
use crate::{redis_server::RedisServer, support::PATIENCE};

static COUNT: LazyLock<Script> =
    LazyLock::new(|| Script::new("count", "#!lua flags=allow-oom\nreturn redis.call('INCR', KEYS[1])"));
static STORE: LazyLock<Script> =
    LazyLock::new(|| Script::new("store", "#!lua\nreturn redis.call('INCR', KEYS[1])"));

pub(super) async fn count(redis: &Redis) -> Result<u64, StoreError> {
    redis.run(&COUNT, &["count"], &[] as &[&str]).await
}

pub(super) async fn connect(server: &RedisServer) -> Redis {
    Redis::connect(&server.url()).await.expect("connected")
}

pub(super) async fn say<T: FromRedisValue>(redis: &Redis, words: &str) -> Result<T, StoreError> {
    let mut words = words.split(' ');
    let mut command = cmd(words.next().expect("a command"));
    command.arg(words.collect::<Vec<_>>());
    redis.command(&command).await
}

#[tokio::test]
async fn a_script_that_was_forgotten_is_loaded_again() {
    let server = RedisServer::start(&[]).await;
    let redis = connect(&server).await;
    for expected in 1..=3 {
        assert_eq!(count(&redis).await, Ok(expected));
        say::<()>(&redis, "SCRIPT FLUSH").await.expect("answered");
    }
}

#[tokio::test]
async fn it_comes_back_by_itself_after_the_server_does() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let redis = connect(&server).await;
    assert_eq!(redis.durability(), Durability::Fsynced);
    assert_eq!(count(&redis).await, Ok(1));
    server.kill();
    // The connection breaks with the first request; from then on it is known that nothing is sent.
    assert!(count(&redis).await.is_err());
    let away = count(&redis).await;
    assert!(matches!(away, Err(StoreError::Away(_))), "{away:?}");
    server.restart().await;
    assert_eq!(count(&redis).await, Ok(2));
}

#[tokio::test]
async fn a_lost_request_or_reply_is_an_unknown_outcome_and_is_not_sent_again() {
    let server = RedisServer::start(&[]).await;
    let direct = connect(&server).await;
    let proxy = Proxy::before(server.addr()).await;
    let url: RedisUrl = format!("redis://{}", proxy.addr).parse().expect("a URL");
    let redis = Redis::connect(&url).await.expect("connected");
    assert_eq!(count(&redis).await, Ok(1));
    for (cut, after) in [(Cut::Reply, 2), (Cut::Request, 3)] {
        proxy.next(cut);
        let lost = count(&redis).await;
        assert!(matches!(lost, Err(StoreError::OutcomeUnknown(_))), "{lost:?}");
        let counted: u64 = say(&direct, "GET count").await.expect("answered");
        assert_eq!(counted, after);
        // Over a new connection.
        assert_eq!(count(&redis).await, Ok(after + 1));
    }
    assert_eq!(proxy.hits(), 2);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url: RedisUrl =
        format!("redis://{}", listener.local_addr().expect("an address")).parse().expect("a URL");
    let connected = tokio::time::timeout(PATIENCE, Redis::connect(&url)).await.expect("in time");
    assert!(matches!(connected, Err(StoreError::Away(_))), "{connected:?}");

    let server = RedisServer::start(&[]).await;
    let redis = connect(&server).await;
    server.signal(Signal::STOP);
    let silent = tokio::time::timeout(PATIENCE, count(&redis)).await.expect("in time");
    assert!(matches!(silent, Err(StoreError::OutcomeUnknown(_))), "{silent:?}");
    server.signal(Signal::CONT);
    assert!(count(&redis).await.is_ok());
}

#[tokio::test]
async fn when_memory_is_full_only_scripts_that_may_store_are_refused() {
    let server = RedisServer::start(&["--maxmemory", "1mb"]).await;
    let redis = connect(&server).await;
    let mut fill = cmd("SET");
    while redis.command::<()>(fill.arg("filler").arg(vec![b'x'; 1 << 20])).await.is_ok() {
        fill = cmd("APPEND");
    }
    let stored = redis.run::<u64>(&STORE, &["count"], &[] as &[&str]).await;
    assert!(matches!(stored, Err(StoreError::Full(_))), "{stored:?}");
    assert_eq!(count(&redis).await, Ok(1));
}

#[tokio::test]
async fn a_replica_and_a_wrong_password_are_told_apart() {
    let server = RedisServer::start(&["--requirepass", "s3cret"]).await;
    let wrong = Redis::connect(&server.url()).await.expect_err("no password");
    assert!(matches!(wrong, StoreError::Refused(_)), "{wrong:?}");
    let url: RedisUrl = format!("redis://:s3cret@{}", server.addr()).parse().expect("a URL");
    let redis = Redis::connect(&url).await.expect("connected");
    assert_eq!(count(&redis).await, Ok(1));
    say::<()>(&redis, "REPLICAOF 127.0.0.1 1").await.expect("answered");
    let read_only = count(&redis).await;
    assert!(matches!(read_only, Err(StoreError::Away(_))), "{read_only:?}");
    say::<()>(&redis, "REPLICAOF NO ONE").await.expect("answered");
    assert_eq!(count(&redis).await, Ok(2));
}

#[tokio::test]
async fn its_real_settings_say_what_a_write_survives() {
    let memory = connect(&RedisServer::start(&[]).await).await;
    assert_eq!(memory.durability(), Durability::Memory);
    let server = RedisServer::start(&["--appendonly", "yes"]).await;
    assert_eq!(connect(&server).await.durability(), Durability::Appended);
    say::<()>(&connect(&server).await, "CONFIG SET maxmemory-policy allkeys-lru").await.expect("set");
    let redis = connect(&server).await;
    assert_eq!(redis.durability(), Durability::Memory, "what was appended may be evicted");
    let evicts = redis.settings().await.expect("answered").refuse_eviction().expect_err("it evicts");
    assert!(evicts.contains("maxmemory-policy is allkeys-lru"), "{evicts}");
    // A user who may not read the settings learns nothing of them.
    say::<()>(&redis, "CONFIG SET maxmemory-policy noeviction").await.expect("set");
    say::<()>(&redis, "ACL SETUSER lab on nopass ~* +@all -config").await.expect("answered");
    let url: RedisUrl = format!("redis://lab:any@{}", server.addr()).parse().expect("a URL");
    let other = Redis::connect(&url).await.expect("connected");
    assert_eq!(other.durability(), Durability::Unknown);
}

#[tokio::test]
async fn a_waker_waits_for_an_element_and_gives_up_at_its_limit() {
    let server = RedisServer::start(&[]).await;
    let redis = connect(&server).await;
    let mut waker = redis.waker();
    assert_eq!(waker.pop("bell", Duration::from_millis(20)).await, Ok(false));
    let (woken, rung) = tokio::join!(waker.pop("bell", PATIENCE), say::<u64>(&redis, "LPUSH bell 1"));
    assert_eq!((woken, rung), (Ok(true), Ok(1)));
}
