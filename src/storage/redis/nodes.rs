//! Where the server is: at one address; or, in a cluster, wherever the slot of one key is served.
//!
//! ```text
//!   known nodes ──first──> connect ──> asks for the key ──served──> home
//!        ^                    │                 └ MOVED: that one next
//!        └──── CLUSTER NODES ─┘ (the master is dead: the next of the known ones)
//! ```
//!
//! No setting says that a server is one of a cluster: it says so itself. The client's own way to a cluster is not used:
//! it sends a request again whose reply was lost.

use std::collections::VecDeque;

use parking_lot::Mutex;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, ServerErrorKind,
    aio::MultiplexedConnection, cmd,
};

use super::{Settings, failure, url::RedisUrl};
use crate::storage::StoreError;

/// Nodes that are known at most.
const KNOWN_LIMIT: usize = 64;
/// How often nodes may name other ones in one attempt to connect.
const MOVES_LIMIT: usize = 5;

/// The servers to ask. All connections of a handle share what one of them has learnt.
pub(super) struct Nodes {
    /// The address that was given, the user and the password.
    given: ConnectionInfo,
    /// The key whose slot is meant in a cluster; none: that server, whatever it is.
    key: Option<&'static str>,
    /// The one to ask first is in front.
    known: Mutex<Vec<ConnectionAddr>>,
}

/// What a server said.
enum Met {
    /// The key is served here.
    Home(MultiplexedConnection, Settings),
    /// The key is served there.
    Elsewhere(ConnectionAddr),
}

impl Nodes {
    /// The server at `url`, or the master of the slot of `key` where that is a node of a cluster.
    ///
    /// # Errors
    /// When the client refuses the URL.
    pub(super) fn of(url: &RedisUrl, key: Option<&'static str>) -> Result<Self, StoreError> {
        let given = url.info().clone();
        Client::open(given.clone()).map_err(|error| failure::of_connecting(&error))?;
        Ok(Self { known: Mutex::new(vec![given.addr().clone()]), given, key })
    }

    /// Connects, wherever the key is served now.
    pub(super) async fn connect(
        &self,
        config: &AsyncConnectionConfig,
    ) -> Result<(MultiplexedConnection, Settings), StoreError> {
        let mut next: VecDeque<ConnectionAddr> = self.known.lock().clone().into();
        let (mut failed, mut failure, mut moves) = (Vec::new(), None, 0);
        while let Some(node) = next.pop_front() {
            match self.meet(&node, config).await {
                Ok(Met::Home(connection, settings)) => {
                    self.learn(&node, &connection, &settings).await;
                    return Ok((connection, settings));
                }
                Ok(Met::Elsewhere(there)) => {
                    moves += 1;
                    if moves <= MOVES_LIMIT && !failed.contains(&there) {
                        next.retain(|node| *node != there);
                        next.push_front(there);
                    }
                }
                Err(error) => {
                    failed.push(node);
                    // One of several that refuses does not speak for the others.
                    let is_worse = matches!(failure, None | Some(StoreError::Refused(_)));
                    failure = if is_worse { Some(error) } else { failure };
                }
            }
        }
        Err(failure.unwrap_or_else(|| StoreError::Away("its nodes name each other".to_owned())))
    }

    async fn meet(&self, node: &ConnectionAddr, config: &AsyncConnectionConfig) -> Result<Met, StoreError> {
        let away = |error: RedisError| failure::of_connecting(&error);
        let client = Client::open(self.given.clone().set_addr(node.clone())).map_err(away)?;
        let mut connection =
            client.get_multiplexed_async_connection_with_config(config).await.map_err(away)?;
        // It may be another server than before, or the same with other settings.
        let settings = Settings::ask(&connection).await.map_err(away)?;
        if let (Some(key), Some(true)) = (self.key, settings.is_cluster) {
            let asked: Result<u64, RedisError> = cmd("EXISTS").arg(key).query_async(&mut connection).await;
            match asked {
                Err(error) if let Some(there) = named_by(&error, node) => return Ok(Met::Elsewhere(there)),
                // The slot is on its way to another node, and still here.
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::Ask) => {}
                asked => drop(asked.map_err(away)?),
            }
        }
        Ok(Met::Home(connection, settings))
    }

    /// Remembers the nodes of a cluster, `home` first, and what was given.
    async fn learn(&self, home: &ConnectionAddr, connection: &MultiplexedConnection, settings: &Settings) {
        if self.key.is_none() || settings.is_cluster != Some(true) {
            return;
        }
        let mut nodes = cmd("CLUSTER");
        // It may be forbidden.
        let listed: String =
            nodes.arg("NODES").query_async(&mut connection.clone()).await.unwrap_or_default();
        let mut known = vec![home.clone()];
        for node in read_nodes(&listed).chain([self.given.addr().clone()]) {
            if !known.contains(&node) && known.len() < KNOWN_LIMIT {
                known.push(node);
            }
        }
        *self.known.lock() = known;
    }

    /// Learns where to ask from what a node said instead of serving a key.
    pub(super) fn follow(&self, error: &RedisError) {
        if self.key.is_none() {
            return;
        }
        let mut known = self.known.lock();
        if let Some(there) = known.first().and_then(|asked| named_by(error, asked)) {
            known.retain(|node| *node != there);
            known.insert(0, there);
            known.truncate(KNOWN_LIMIT);
        }
    }
}

/// The node that serves the key by what `asked` says.
fn named_by(error: &RedisError, asked: &ConnectionAddr) -> Option<ConnectionAddr> {
    if error.kind() != ErrorKind::Server(ServerErrorKind::Moved) {
        return None;
    }
    match (read_address(error.redirect_node()?.0)?, asked) {
        // A node that does not know its own name means the one under which it was asked.
        ((host, port), ConnectionAddr::Tcp(asked, _)) if host.is_empty() || host == "?" => {
            Some(ConnectionAddr::Tcp(asked.clone(), port))
        }
        ((host, port), _) => Some(ConnectionAddr::Tcp(host.to_owned(), port)),
    }
}

/// Reads the lines of `CLUSTER NODES`: `ID HOST:PORT@BUS_PORT[,NAME] FLAGS ...`.
fn read_nodes(text: &str) -> impl Iterator<Item = ConnectionAddr> {
    text.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (address, flags) = (words.next()?.split('@').next()?, words.next()?);
        let (host, port) = read_address(address)?;
        let is_known = !host.is_empty() && port > 0 && !flags.contains("noaddr");
        is_known.then(|| ConnectionAddr::Tcp(host.to_owned(), port))
    })
}

fn read_address(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    Some((host, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_read_as_a_cluster_lists_them() {
        let text = "07c3 127.0.0.1:30004@31004,name slave e7d1 0 1426238317239 4 connected\n\
                    67ed ::1:30002@31002 master - 0 1426238316232 2 connected 5461-10922\n\
                    e7d1 :0@0 master,noaddr - 1426238316232 1426238316232 1 disconnected\n\
                    e7d2 :30001@31001 myself,master - 0 0 1 connected 0-5460\n\nnonsense";
        let nodes: Vec<ConnectionAddr> = read_nodes(text).collect();
        let expected = [("127.0.0.1", 30004), ("::1", 30002)];
        assert_eq!(nodes, expected.map(|(host, port)| ConnectionAddr::Tcp(host.to_owned(), port)));
    }
}
