//! The accept loop and its shutdown.
//!
//! From *stopping* to *intake closed*, connections are still accepted, and each response closes its connection.
//! Then the kernel's backlog is accepted too, the listener is closed, and the drain waits for connections and
//! detached tasks until its deadline. The connections that are still open then are counted. The caller reports
//! them and cuts them ([`Drained::cut`]).
//!
//! One gap remains that no system call can close: if a handshake completes between the last accept and the close of
//! the listener, the kernel resets that connection. It was never accepted.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Connections;
use super::edge::Edge;
use super::listen::ACCEPT_BACKLOG_CONNECTIONS;
use super::rejection::Rejections;
use super::{Limits, Metrics, peer};
use crate::shutdown::Shutdown;

/// The pause after an accept that failed for lack of resources.
const ACCEPT_RETRY_MS: u64 = 100;
/// How long the drain still waits after its deadline for connections that have sent their last response.
const ENDING_MS: u64 = 100;
/// How long to wait for cut connections to be dropped; only a handler that blocks its thread takes longer.
const CUT_MS: u64 = 1_000;

/// The result of a server's drain.
#[derive(Debug)]
#[must_use]
pub struct Drained {
    /// Whether every connection and every detached task has ended.
    pub clean: bool,
    /// Connections that the server accepted, without refused ones.
    pub connections_accepted: u64,
    /// Connections that were still open at the deadline or at the second signal; [`cut`](Self::cut) ends them.
    pub connections_left: usize,
    /// Detached tasks of the whole process that had not ended by then; nothing here stops them.
    pub tasks_left: usize,
    tasks: TaskTracker,
    cut: CancellationToken,
}

/// Serves `app` on `listener` until `shutdown` has completed. Handlers get the client's address from
/// [`peer`](super::peer()).
///
/// Dropping this future closes the listener; accepted connections continue as detached tasks.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    metrics: &Metrics,
    shutdown: Shutdown,
) -> Drained {
    let mut acceptor =
        Acceptor::new(app, &limits, listener.local_addr().ok(), metrics.clone(), shutdown.clone());
    let mut outage = Outage::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.intake_closed().cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                outage.over();
                acceptor.admit(stream, peer);
            }
            Err(error) if outage.begins_or_lasts(&error, metrics) => {
                tokio::select! {
                    biased;
                    () = shutdown.intake_closed().cancelled() => break,
                    () = tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)) => {}
                }
            }
            Err(_) => {}
        }
    }
    if let Err(error) = acceptor.admit_backlog(listener) {
        tracing::warn!(%error, "the accept backlog could not be emptied");
    }
    acceptor.drain().await
}

/// Accepts connections up to the cap, and keeps track of the open ones.
struct Acceptor {
    connections: Arc<Connections>,
    room: Arc<Semaphore>,
    room_max: usize,
    rejections: Rejections,
    tasks: TaskTracker,
    cut: CancellationToken,
    accepted: u64,
    metrics: Metrics,
    shutdown: Shutdown,
}

impl Acceptor {
    fn new(
        app: Router,
        limits: &Limits,
        bound: Option<SocketAddr>,
        metrics: Metrics,
        shutdown: Shutdown,
    ) -> Self {
        let edge = Edge::new(app, limits, bound, metrics.clone(), shutdown.clone());
        let cut = CancellationToken::new();
        let room_max = limits.connections.min(Semaphore::MAX_PERMITS);
        Self {
            connections: Arc::new(Connections::new(
                edge,
                limits,
                metrics.clone(),
                shutdown.clone(),
                cut.clone(),
            )),
            room: Arc::new(Semaphore::new(room_max)),
            room_max,
            rejections: Rejections::new(),
            tasks: TaskTracker::new(),
            cut,
            accepted: 0,
            metrics,
            shutdown,
        }
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            self.metrics.refused_limit.add(1);
            return self.rejections.send(stream, &self.tasks);
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the peer left before it was served");
        }
        self.accepted += 1;
        let open = self.metrics.connection_opened();
        let connections = Arc::clone(&self.connections);
        self.tasks.spawn(async move {
            peer::serving(peer, connections.serve(stream)).await;
            drop((open, place));
        });
    }

    /// Accepts the connections in the kernel's backlog, then closes the listener. It calls `accept` directly, because
    /// Tokio's readiness may lag behind the kernel.
    fn admit_backlog(&mut self, listener: TcpListener) -> io::Result<()> {
        let listener = listener.into_std()?;
        for _ in 0..ACCEPT_BACKLOG_CONNECTIONS {
            match listener.accept() {
                Ok((stream, peer)) => {
                    stream.set_nonblocking(true)?;
                    self.admit(TcpStream::from_std(stream)?, peer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if is_caused_by_peer(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn drain(self) -> Drained {
        let detached = self.shutdown.tracker();
        detached.close();
        self.tasks.close();
        let over = async {
            self.shutdown.drain_over().await;
            tokio::time::sleep(Duration::from_millis(ENDING_MS)).await;
        };
        let clean = tokio::select! {
            biased;
            ((), ()) = async { tokio::join!(self.tasks.wait(), detached.wait()) } => true,
            () = over => false,
        };
        Drained {
            clean,
            connections_accepted: self.accepted,
            connections_left: self.room_max - self.room.available_permits(),
            tasks_left: detached.len(),
            tasks: self.tasks,
            cut: self.cut,
        }
    }
}

impl Drained {
    /// Cuts the remaining connections. Call it after reporting what they were doing.
    pub async fn cut(self) {
        self.cut.cancel();
        let dropped = tokio::time::timeout(Duration::from_millis(CUT_MS), self.tasks.wait());
        if dropped.await.is_err() {
            tracing::warn!("a handler blocks its thread and could not be cut");
        }
    }
}

/// A period in which accepting fails, which is logged once.
#[derive(Default)]
struct Outage {
    lasting: bool,
}

impl Outage {
    fn over(&mut self) {
        if std::mem::take(&mut self.lasting) {
            tracing::info!("connections are accepted again");
        }
    }

    /// Whether `error` is an outage of this server. It is not if the client disconnected before it was accepted.
    fn begins_or_lasts(&mut self, error: &io::Error, metrics: &Metrics) -> bool {
        if is_caused_by_peer(error) {
            return false;
        }
        if is_out_of_descriptors(error) {
            metrics.refused_descriptors.add(1);
        }
        if !std::mem::replace(&mut self.lasting, true) {
            tracing::error!(%error, "no connection can be accepted");
        }
        true
    }
}

fn is_caused_by_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disconnected_peer_is_not_an_outage() {
        let metrics = Metrics::new(&crate::telemetry::Instruments::silent());
        let mut outage = Outage::default();
        let departed = io::Error::from(io::ErrorKind::ConnectionAborted);
        assert!(!outage.begins_or_lasts(&departed, &metrics));
        assert!(!outage.lasting);

        let exhausted = io::Error::from(Errno::MFILE);
        assert!(is_out_of_descriptors(&exhausted));
        assert!(outage.begins_or_lasts(&exhausted, &metrics));
        assert!(outage.lasting);
        outage.over();
        assert!(!outage.lasting);
    }
}
