//! Heartbeats that are lost, and connections that say nothing.

use std::{net::SocketAddr, time::Duration};

use lab::queue::{
    WorkerSettings,
    broker::{Broker, Cancel, CrashRule, RedisBroker},
};
use redis::cmd;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{
    store::Store,
    workers::{Running, gated, settings, until},
};
use crate::support::PATIENCE;

#[tokio::test]
async fn a_lost_heartbeat_is_tried_again_soon() {
    let store = Store::redis().await;
    let Broker::Redis(broker) = &store.broker else { unreachable!("a Redis") };
    let rejected = async || {
        let info: String = broker.redis().command(cmd("INFO").arg("stats")).await.expect("answered");
        let count = info.lines().find_map(|line| line.strip_prefix("rejected_connections:"));
        count.expect("counted").parse::<u64>().expect("a number")
    };
    let clients = async |limit: u32| {
        let mut set = cmd("CONFIG");
        set.arg("SET").arg("maxclients").arg(limit);
        broker.redis().command::<()>(&set).await.expect("set");
    };
    store.fill("2|a|", 1).await;
    // The heart has a connection of its own, which is refused.
    clients(1).await;
    // A beat each hundred minutes.
    let rarely = WorkerSettings { lease: Duration::from_secs(36_000), ..settings(1) };
    let (worker, mut begins, _gate) = gated(&store.broker, rarely);
    let worker = Running::start(&store.broker, worker);
    let id = begins.recv().await.expect("begun");
    let again = async {
        while rejected().await < 2 {
            // The store has no sign for those who only watch.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("in time");
    assert_eq!(store.broker.cancel(id).await.expect("answered"), Cancel::Stopping);
    clients(100).await;
    // The answer to a beat says so.
    until(&store, |counts| counts.cancelled == 1).await;
    worker.stopped().await;
    store.balances().await;
}

/// A way to `server` whose connections fall silent once the sender says so; later ones pass.
async fn silenced(server: SocketAddr) -> (SocketAddr, watch::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let (silence, silent) = watch::channel(());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut silent = silent.clone();
            silent.mark_unchanged();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await.expect("connected");
                tokio::select! {
                    biased;
                    // Both ends stay open.
                    _ = silent.changed() => std::future::pending::<()>().await,
                    _ = copy_bidirectional(&mut client, &mut server) => {}
                }
            });
        }
    });
    (addr, silence)
}

#[tokio::test]
async fn a_silent_connection_costs_no_lease() {
    let store = Store::redis().await;
    let (addr, silence) = silenced(store.addr()).await;
    let url = format!("redis://{addr}").parse().expect("a URL");
    let broker = Broker::Redis(RedisBroker::connect(&url).await.expect("connected"));
    store.fill("2|a|", 1).await;
    // A reply may take longer than this lease.
    let short = WorkerSettings { lease: Duration::from_millis(4_500), ..settings(1) };
    let (worker, mut begins, gate) = gated(&broker, short);
    let worker = Running::start(&broker, worker);
    begins.recv().await.expect("begun");
    silence.send(()).expect("somebody listens");
    // Two leases pass on the store's clock.
    for _ in 0..45 {
        store.pass(200).await;
        assert_eq!(store.broker.reap(CrashRule::default()).await.expect("answered").epoch, None);
        store.broker.promote().await.expect("answered");
    }
    gate.add_permits(1);
    until(&store, |counts| counts.succeeded == 1).await;
    let tally = worker.stopped().await;
    assert_eq!((tally.started, tally.succeeded), (1, 1));
    store.balances().await;
}
