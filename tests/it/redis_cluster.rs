//! A real Redis Cluster of a test's own. The queue's slot has a master that is not asked first, and may have a replica.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use lab::storage::redis::Redis;
use redis::{FromRedisValue, cmd};
use rustix::process::Signal;

use crate::{redis_server::RedisServer, support::PATIENCE};

/// Between two looks at a node, which has no sign for those who only watch.
const LOOK: Duration = Duration::from_millis(20);
/// Slots of a cluster.
const SLOTS: usize = 16_384;
/// The key whose slot is meant.
const KEY: &str = "tasks:pending";

async fn pause() {
    // See `LOOK`.
    tokio::time::sleep(LOOK).await;
}

/// A node, and a way to it that follows nobody to another one.
pub(crate) struct Node {
    pub(crate) server: RedisServer,
    direct: Redis,
    id: String,
    bus: SocketAddr,
    is_up: bool,
}

impl Node {
    async fn start(node_timeout_ms: u64, arguments: &[&str]) -> Self {
        let timeout = node_timeout_ms.to_string();
        // The usual one is ten thousand above the port, which may be none.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let bus = listener.local_addr().expect("an address");
        drop(listener);
        let port = bus.port().to_string();
        let mut all = vec!["--cluster-enabled", "yes", "--cluster-node-timeout", &timeout];
        all.extend(["--cluster-port", &port, "--repl-diskless-sync-delay", "0"]);
        all.extend(arguments);
        let server = RedisServer::start(&all).await;
        let direct = Redis::connect(&server.url()).await.expect("connected");
        let mut node = Self { server, direct, id: String::new(), bus, is_up: true };
        node.id = node.say("CLUSTER MYID").await;
        node
    }

    /// Sends a command, until it is answered.
    pub(crate) async fn say<T: FromRedisValue>(&self, text: &str) -> T {
        let mut words = text.split(' ');
        let mut command = cmd(words.next().expect("a command"));
        command.arg(words.collect::<Vec<_>>());
        let answer = async {
            loop {
                match self.direct.command(&command).await {
                    Ok(answer) => return answer,
                    // Such as that it has just started.
                    Err(error) => tracing::debug!(%error, "asked again"),
                }
                pause().await;
            }
        };
        tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| panic!("{text}: not in time"))
    }

    /// Waits until what it says of itself has this line.
    async fn until(&self, text: &str, line: &str) {
        let said = async {
            while !self.say::<String>(text).await.lines().any(|said| said.trim() == line) {
                pause().await;
            }
        };
        tokio::time::timeout(PATIENCE, said).await.unwrap_or_else(|_| panic!("{text}: no {line} in time"));
    }
}

/// Nodes that know each other.
pub(crate) struct RedisCluster {
    pub(crate) nodes: Vec<Node>,
}

impl RedisCluster {
    /// Starts this many masters, and a replica of the one with the queue's slot if that is wanted. A node that does
    /// not answer within the time limit is replaced by its replica.
    pub(crate) async fn start(
        masters: usize,
        replica: bool,
        node_timeout_ms: u64,
        arguments: &[&str],
    ) -> Self {
        let all = masters + usize::from(replica);
        let nodes = (0..all).map(|_| Node::start(node_timeout_ms, arguments));
        let nodes = futures_util::future::join_all(nodes).await;
        for (number, node) in nodes.iter().take(masters).enumerate() {
            let (from, to) = (SLOTS * number / masters, SLOTS * (number + 1) / masters - 1);
            node.say::<()>(&format!("CLUSTER ADDSLOTSRANGE {from} {to}")).await;
        }
        for Node { server, bus, .. } in &nodes[1..] {
            let port = server.addr().port();
            nodes[0].say::<()>(&format!("CLUSTER MEET 127.0.0.1 {port} {}", bus.port())).await;
        }
        let cluster = Self { nodes };
        cluster.agrees().await;
        if replica {
            let (master, replica) = (cluster.master().await, &cluster.nodes[masters]);
            replica.say::<()>(&format!("CLUSTER REPLICATE {}", cluster.nodes[master].id)).await;
            replica.until("INFO replication", "master_link_status:up").await;
            cluster.agrees().await;
        }
        cluster
    }

    /// Waits until all nodes serve, know all others, and name the same master of the slot.
    pub(crate) async fn agrees(&self) {
        let known = format!("cluster_known_nodes:{}", self.nodes.len());
        for node in self.up() {
            node.until("CLUSTER INFO", "cluster_state:ok").await;
            node.until("CLUSTER INFO", &known).await;
        }
        let agreed = async {
            loop {
                let mut named = BTreeSet::new();
                for node in self.up() {
                    named.insert(self.master_by(node).await);
                }
                if named.len() == 1 && !named.contains(&None) {
                    return;
                }
                pause().await;
            }
        };
        tokio::time::timeout(PATIENCE, agreed).await.expect("the nodes agree in time");
    }

    fn up(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_up)
    }

    fn any(&self) -> &Node {
        self.up().next().expect("a node that is up")
    }

    /// Ends a node as a power cut would. Waits until another one is the master of the slot, if this one was.
    pub(crate) async fn kill(&mut self, at: usize) {
        self.nodes[at].server.kill();
        self.replaced(at).await;
    }

    /// The same of a node that stands still, and goes on as if nothing had been.
    pub(crate) async fn stop(&mut self, at: usize) {
        self.nodes[at].server.signal(Signal::STOP);
        self.replaced(at).await;
        self.nodes[at].server.signal(Signal::CONT);
        self.is_replica(at).await;
    }

    async fn replaced(&mut self, at: usize) {
        self.nodes[at].is_up = false;
        let replaced = async {
            while self.master_by(self.any()).await.is_none_or(|master| master == at) {
                pause().await;
            }
        };
        tokio::time::timeout(PATIENCE, replaced).await.expect("a replica takes over in time");
    }

    /// Starts a node again, and waits until it is a replica of the master, and has its data.
    pub(crate) async fn revive(&mut self, at: usize) {
        self.nodes[at].server.restart().await;
        self.is_replica(at).await;
    }

    async fn is_replica(&mut self, at: usize) {
        self.nodes[at].is_up = true;
        self.nodes[at].until("INFO replication", "role:slave").await;
        self.nodes[at].until("INFO replication", "master_link_status:up").await;
        self.agrees().await;
    }

    /// The slot of the queue.
    pub(crate) async fn slot(&self) -> u16 {
        self.any().say(&format!("CLUSTER KEYSLOT {KEY}")).await
    }

    /// Which node is the master of the slot.
    pub(crate) async fn master(&self) -> usize {
        self.master_by(self.any()).await.expect("a node of this cluster")
    }

    /// The same as `node` sees it, if that is one of the nodes and serves.
    async fn master_by(&self, node: &Node) -> Option<usize> {
        let slot = usize::from(self.slot().await);
        let text: String = node.say("CLUSTER NODES").await;
        let serves = |words: &[&str]| {
            words.iter().skip(8).any(|range| {
                let (from, to) = range.split_once('-').unwrap_or((range, range));
                matches!((from.parse(), to.parse()), (Ok(from), Ok(to)) if (from..=to).contains(&slot))
            })
        };
        let lines = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let words = lines.into_iter().find(|words| serves(words) && !words[2].contains("fail"))?;
        self.nodes.iter().position(|node| node.id == words[0])
    }

    /// A node that is no master of the slot, as a client may know it.
    pub(crate) async fn other(&self) -> &Node {
        let master = self.master().await;
        &self.nodes[usize::from(master == 0)]
    }

    /// Begins to move the slot to another master: no key is moved yet.
    pub(crate) async fn begin_move(&self, to: usize) {
        let (slot, from) = (self.slot().await, self.master().await);
        let (from, to) = (&self.nodes[from], &self.nodes[to]);
        to.say::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", from.id)).await;
        from.say::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", to.id)).await;
    }

    /// Moves up to `limit` keys. Returns whether there are more.
    pub(crate) async fn move_keys(&self, to: usize, limit: usize) -> bool {
        let (slot, from) = (self.slot().await, self.master().await);
        let keys: Vec<String> = self.nodes[from].say(&format!("CLUSTER GETKEYSINSLOT {slot} {limit}")).await;
        if keys.is_empty() {
            return false;
        }
        let port = self.nodes[to].server.addr().port();
        let mut command = cmd("MIGRATE");
        command.arg("127.0.0.1").arg(port).arg("").arg(0).arg(5_000).arg("KEYS").arg(&keys);
        self.nodes[from].direct.command::<String>(&command).await.expect("moved");
        true
    }

    /// Ends the move.
    pub(crate) async fn end_move(&self, to: usize) {
        let (slot, from) = (self.slot().await, self.master().await);
        let said = format!("CLUSTER SETSLOT {slot} NODE {}", self.nodes[to].id);
        // Who gets it learns of it first.
        self.nodes[to].say::<()>(&said).await;
        self.nodes[from].say::<()>(&said).await;
        self.agrees().await;
    }
}
