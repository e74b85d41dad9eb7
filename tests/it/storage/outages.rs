//! Redis away, full of clients, changed or busy: many requests at once, and what they cost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::future::join_all;
use lab::storage::{
    Durability, StoreError,
    redis::{Redis, RedisUrl, Script},
};
use tokio::net::TcpListener;

use super::{
    cutting::{Cut, Proxy},
    redis::{connect, count, say},
};
use crate::{redis_server::RedisServer, support::PATIENCE};

fn url(text: &str) -> RedisUrl {
    text.parse().expect("a URL")
}

/// How many connections the server has accepted; the question needs none of its own.
async fn accepted(redis: &Redis) -> usize {
    let info: String = say(redis, "INFO stats").await.expect("answered");
    let line = info.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
    line.expect("counted").trim().parse().expect("a number")
}

#[tokio::test]
async fn requests_that_wait_for_a_silent_server_wait_for_one_attempt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let redis = Redis::unconnected(&url(&format!("redis://{}", listener.local_addr().expect("an address"))))
        .expect("a client");
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = attempts.clone();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((silent, _)) = listener.accept().await {
            counted.fetch_add(1, SeqCst);
            held.push(silent);
        }
    });
    let answers = join_all((0..10).map(|_| count(&redis)));
    let answers = tokio::time::timeout(PATIENCE, answers).await.expect("in time");
    assert!(answers.iter().all(|answer| matches!(answer, Err(StoreError::Away(_)))), "{answers:?}");
    assert_eq!(attempts.load(SeqCst), 1);
    // Who asks later tries again.
    assert!(count(&redis).await.is_err());
    assert_eq!(attempts.load(SeqCst), 2);
}

#[tokio::test]
async fn requests_that_fail_together_connect_again_once() {
    let server = RedisServer::start(&[]).await;
    let (redis, other) = (connect(&server).await, connect(&server).await);
    let id: u64 = say(&redis, "CLIENT ID").await.expect("answered");
    let before = accepted(&other).await;
    let lost_and_again = join_all((0..50).map(|_| async {
        let lost = say::<Option<(String, String)>>(&redis, "BLPOP nothing 0").await;
        assert!(matches!(lost, Err(StoreError::OutcomeUnknown(_))), "{lost:?}");
        count(&redis).await.expect("answered")
    }));
    let list = format!("CLIENT LIST ID {id}");
    let kill = async {
        // The server runs them in order: the first one blocks once it has arrived.
        while !say::<String>(&other, &list).await.expect("answered").contains("cmd=blpop") {}
        say::<u64>(&other, &format!("CLIENT KILL ID {id}")).await.expect("killed")
    };
    let (counts, killed) = tokio::join!(lost_and_again, kill);
    assert_eq!((counts.into_iter().max(), killed), (Some(50), 1));
    assert_eq!(accepted(&other).await - before, 1);
}

#[tokio::test]
async fn durability_is_that_of_the_server_it_is_connected_to() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let redis = connect(&server).await;
    let apart = redis.apart();
    count(&apart).await.expect("counted");
    assert_eq!([redis.durability(), apart.durability()], [Durability::Fsynced; 2]);
    server.kill();
    server.restart_with(&["--appendonly", "no"]).await;
    while count(&redis).await.is_err() {}
    assert_eq!(redis.durability(), Durability::Memory);
}

#[tokio::test]
async fn a_script_whose_loading_is_lost_was_not_carried_out() {
    let server = RedisServer::start(&[]).await;
    let proxy = Proxy::before(server.addr()).await;
    let redis = Redis::connect(&url(&format!("redis://{}", proxy.addr))).await.expect("connected");
    proxy.after(1, Cut::Reply);
    let lost = count(&redis).await;
    assert!(matches!(lost, Err(StoreError::Away(_))), "{lost:?}");
    assert_eq!(count(&redis).await, Ok(1));
}

#[tokio::test]
async fn a_database_that_is_not_there_is_refused_and_a_full_house_is_away() {
    let server = RedisServer::start(&["--maxclients", "2"]).await;
    let missing = Redis::connect(&url(&format!("redis://{}/99", server.addr()))).await.expect_err("no such");
    assert!(matches!(missing, StoreError::Refused(_)), "{missing:?}");
    let guests = [connect(&server).await, connect(&server).await];
    let third = Redis::unconnected(&server.url()).expect("a client");
    for _ in 0..5 {
        let full = count(&third).await;
        assert!(matches!(full, Err(StoreError::Away(_))), "{full:?}");
    }
    drop(guests);
    while count(&third).await.is_err() {}
}

#[tokio::test]
async fn a_busy_server_is_away_and_so_is_a_script_that_was_killed() {
    let server = RedisServer::start(&["--busy-reply-threshold", "1"]).await;
    let (redis, other) = (connect(&server).await, connect(&server).await);
    let endless = Script::new("endless", "#!lua\nwhile true do end");
    let stop = async {
        let busy = loop {
            match count(&other).await {
                Ok(_) => {}
                Err(busy) => break busy,
            }
        };
        assert!(matches!(busy, StoreError::Away(_)), "{busy:?}");
        say::<()>(&other, "SCRIPT KILL").await.expect("killed");
    };
    let (killed, ()) = tokio::join!(redis.run::<()>(&endless, &["count"], &[] as &[&str]), stop);
    assert!(matches!(killed, Err(StoreError::Away(_))), "{killed:?}");
}

#[tokio::test]
async fn a_reply_of_another_type_is_an_unknown_outcome() {
    let server = RedisServer::start(&[]).await;
    let redis = connect(&server).await;
    let unread = say::<u64>(&redis, "SET count 1").await;
    assert!(matches!(unread, Err(StoreError::OutcomeUnknown(_))), "{unread:?}");
    assert_eq!(count(&redis).await, Ok(2));
}

#[tokio::test]
async fn a_waker_waits_as_long_as_each_call_says_and_takes_any_bytes() {
    let server = RedisServer::start(&[]).await;
    let redis = connect(&server).await;
    let mut waker = redis.waker();
    // No time is not "for ever", which is what Redis makes of 0.
    assert_eq!(waker.pop("bell", Duration::ZERO).await, Ok(false));
    // Longer than the first call and its grace.
    assert_eq!(waker.pop("bell", Duration::from_millis(2_500)).await, Ok(false));
    let mut push = redis::cmd("LPUSH");
    push.arg("bell").arg(b"\xff\x00");
    redis.command::<u64>(&push).await.expect("pushed");
    assert_eq!(waker.pop("bell", PATIENCE).await, Ok(true));
}
