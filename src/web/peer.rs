//! Who is at the other end of a connection.
//!
//! Few routes ask, so a request does not carry it: it lies beside the connection's task.

use std::net::SocketAddr;

use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    static PEER: SocketAddr;
}

/// Serves a connection of `peer`.
pub(super) fn serving<F: Future>(peer: SocketAddr, connection: F) -> TaskLocalFuture<SocketAddr, F> {
    PEER.scope(peer, connection)
}

/// The peer whose request this task answers; `None` where no connection is behind it.
pub fn peer() -> Option<SocketAddr> {
    PEER.try_with(|peer| *peer).ok()
}
