//! The address of the client.
//!
//! Few routes need it, so it is a task-local of the connection's task instead of an extension of every request.

use std::net::SocketAddr;

use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    static PEER: SocketAddr;
}

/// Runs `connection` with `peer` as its client address.
pub(super) fn serving<F: Future>(peer: SocketAddr, connection: F) -> TaskLocalFuture<SocketAddr, F> {
    PEER.scope(peer, connection)
}

/// The address of the client whose request this task serves; `None` outside of a connection.
pub fn peer() -> Option<SocketAddr> {
    PEER.try_with(|peer| *peer).ok()
}
