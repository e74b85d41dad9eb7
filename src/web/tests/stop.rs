//! The stop: nothing that was accepted goes unanswered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::sync::{Barrier, Notify};
use tokio::task::JoinSet;

use super::support::{Client, Server};
use crate::shutdown::Shutdown;
use crate::web::{Health, Limits};

const REQUEST: &str = "GET /work HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[derive(Clone, Default)]
struct Books {
    started: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
}

fn work(books: &Books) -> Router {
    let started = Arc::clone(&books.started);
    let handler = async move || {
        started.fetch_add(1, Ordering::Relaxed);
        // What the handler stands for takes time.
        tokio::time::sleep(Duration::from_millis(2)).await;
        "x".repeat(10_000)
    };
    Router::new().route("/work", get(handler))
}

/// Asks on one connection, again as soon as it is answered, until an answer says that it was the last.
async fn keep_asking(server: std::net::SocketAddr, books: Books, ready: Arc<Barrier>) {
    let mut client = Client::connect(server).await.unwrap();
    client.send(REQUEST).await;
    client.answer().await.expect("the first answer");
    books.answered.fetch_add(1, Ordering::Relaxed);
    ready.wait().await;
    loop {
        client.try_send(REQUEST.as_bytes()).await.expect("an open connection");
        let answer = client.answer().await.expect("an answer on a kept connection");
        assert_eq!(answer.body.len(), 10_000);
        books.answered.fetch_add(1, Ordering::Relaxed);
        if answer.header("connection") == Some("close") {
            return client.ended().await;
        }
    }
}

/// Opens connection after connection until one is refused; gives how many were answered.
async fn keep_connecting(server: std::net::SocketAddr, books: Books) -> u64 {
    let mut answered = 0;
    while let Ok(mut client) = Client::connect(server).await {
        if client.try_send(REQUEST.as_bytes()).await.is_ok()
            && let Some(answer) = client.answer().await
        {
            assert_eq!(answer.body.len(), 10_000);
            books.answered.fetch_add(1, Ordering::Relaxed);
            answered += 1;
        }
    }
    answered
}

async fn stop_under_load(unready: Duration) {
    const KEPT: usize = 60;
    const FRESH: usize = 10;
    let books = Books::default();
    let server = Server::with(Limits::default(), unready, |_, _| work(&books));
    let ready = Arc::new(Barrier::new(KEPT + 1));
    let mut kept = JoinSet::new();
    for _ in 0..KEPT {
        kept.spawn(keep_asking(server.addr, books.clone(), Arc::clone(&ready)));
    }
    ready.wait().await;
    let mut fresh = JoinSet::new();
    for _ in 0..FRESH {
        fresh.spawn(keep_connecting(server.addr, books.clone()));
    }
    let loaded = 1_000 + books.started.load(Ordering::Relaxed);
    while books.started.load(Ordering::Relaxed) < loaded {
        tokio::task::yield_now().await;
    }

    let drained = server.stop().await;
    kept.join_all().await;
    let fresh: u64 = fresh.join_all().await.into_iter().sum();
    assert!(drained.clean, "{drained:?}");
    assert_eq!(drained.connections_left, 0);
    assert_eq!(
        books.started.load(Ordering::Relaxed),
        books.answered.load(Ordering::Relaxed),
        "each request that was started was answered in full"
    );
    assert_eq!(
        drained.connections_accepted,
        KEPT as u64 + fresh,
        "each connection that was accepted was answered"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_accepted_is_lost_when_the_intake_closes_at_once() {
    stop_under_load(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_accepted_is_lost_when_the_intake_closes_later() {
    stop_under_load(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn while_stopping_it_is_not_ready_but_still_serves() {
    let server = Server::with(Limits::default(), Duration::from_secs(600), |shutdown, _| {
        work(&Books::default()).merge(Health::new(shutdown.clone()).routes())
    });
    assert_eq!(server.get("/readyz").await.status, 200);
    server.shutdown.trigger();
    let ready = server.get("/readyz").await;
    assert_eq!(ready.problem()["detail"], "stopping");
    assert_eq!(ready.header("connection"), Some("close"));
    let mut client = server.connect().await;
    client.send(REQUEST).await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    client.ended().await;
    server.shutdown.abort();
    let _ = server.drained().await;
}

#[tokio::test]
async fn connections_open_at_the_second_signal_are_counted_and_cut() {
    let entered = Arc::new(Notify::new());
    let hang = {
        let entered = Arc::clone(&entered);
        async move || {
            entered.notify_one();
            std::future::pending::<()>().await;
        }
    };
    let server = Server::start(Router::new().route("/hang", get(hang)));
    let detached = server.shutdown.tracker().spawn(std::future::pending::<()>());
    let mut client = server.connect().await;
    client.send("GET /hang HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    entered.notified().await;
    server.shutdown.trigger();
    server.shutdown.abort();
    let drained = server.drained().await;
    assert!(!drained.clean);
    assert_eq!((drained.connections_left, drained.tasks_left), (1, 1));
    drained.cut().await;
    assert!(client.answer().await.is_none());
    detached.abort();
}

#[tokio::test]
async fn the_drain_waits_for_detached_tasks() {
    let server = Server::start(Router::new());
    let shutdown: Shutdown = server.shutdown.clone();
    let ended = Arc::new(AtomicU64::new(0));
    shutdown.tracker().spawn({
        let (ended, shutdown) = (Arc::clone(&ended), shutdown.clone());
        async move {
            shutdown.intake_closed().cancelled().await;
            tokio::task::yield_now().await;
            ended.store(1, Ordering::Relaxed);
        }
    });
    let drained = server.stop().await;
    assert!(drained.clean);
    assert_eq!(ended.load(Ordering::Relaxed), 1);
}
