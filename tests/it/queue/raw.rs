//! The raw list on an idle queue: what other programs push starts by itself, and how soon.

use axum::{Router, routing::post};
use lab::storage::redis::Redis;
use redis::cmd;
use tokio::{net::TcpListener, sync::mpsc, time::Instant};

use crate::{
    redis_server::RedisServer,
    support::{PATIENCE, Server},
};

/// How often something is pushed.
const PUSHES: usize = 40;

/// Prints how long each push took to start. Slow is no failure: the machine may be busy.
#[tokio::test]
async fn a_raw_push_on_an_idle_queue_starts_by_itself() {
    let redis = RedisServer::start(&[]).await;
    let client = Redis::connect(&redis.url()).await.expect("connected");
    let (started, mut starts) = mpsc::unbounded_channel();
    let begin = move || {
        let started = started.clone();
        async move { started.send(Instant::now()).expect("somebody listens") }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let route = format!("raw=http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(begin))).await });
    let url = redis.url().to_string();
    // A lease that a busy machine does not let expire.
    let environment = [("REDIS_URL", url.as_str()), ("QUEUE_LEASE_MS", "10m")];
    let arguments = ["queue", "worker", "--http", &route, "--http-private", "127.0.0.1"];
    let mut worker = Server::start(&arguments, &environment);
    worker.line_with("working on redis://");
    let mut delays = Vec::new();
    for push in 0..PUSHES {
        // At another moment of its looks each time.
        tokio::time::sleep(std::time::Duration::from_millis(100 + 7 * push as u64)).await;
        let pushed = Instant::now();
        let mut command = cmd("LPUSH");
        command.arg("tasks:pending").arg(format!(r#"{{"type": "raw", "payload": {push}}}"#));
        client.command::<u64>(&command).await.expect("pushed");
        let start =
            tokio::time::timeout(PATIENCE, starts.recv()).await.expect("in time").expect("one starts");
        delays.push(start.duration_since(pushed));
    }
    delays.sort();
    let (middle, longest) = (delays[PUSHES / 2], delays[PUSHES - 1]);
    println!("from the push to the start, {PUSHES} times: median {middle:?}, at most {longest:?}");
    assert!(starts.try_recv().is_err(), "one started twice");
}
