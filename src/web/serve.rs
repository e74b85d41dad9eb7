//! The accept loop, and the stop along the data's path.
//!
//! From *stopping* to *intake closed* connections are still taken, each answer ends its connection.
//! Then what the kernel accepted for us is taken too, the listener closes, and connections and
//! detached tasks are waited for until the drain deadline. What is open then is counted, and cut when
//! its owner has said what it was.
//!
//! One gap remains that no system call closes: a connection whose handshake ends between the last
//! look at the backlog and the close of the listener is reset by the kernel. It was never accepted.

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
use super::goodbye::Goodbyes;
use super::listen::ACCEPT_BACKLOG_CONNECTIONS;
use super::{Limits, Metrics, peer};
use crate::shutdown::Shutdown;

/// Pause after an accept that failed for want of resources.
const ACCEPT_RETRY_MS: u64 = 100;
/// What connections get to end that have said all they had to say when the drain is over: they are not left behind.
const ENDING_MS: u64 = 100;
/// What cut connections get to be dropped; only a handler that blocks its thread needs longer.
const CUT_MS: u64 = 1_000;

/// How a server's stop went.
#[derive(Debug)]
#[must_use]
pub struct Drained {
    /// Whether every connection and every detached task ended by itself.
    pub clean: bool,
    /// Connections taken in over the server's life, refused ones not included.
    pub connections_accepted: u64,
    /// Connections that are still open at the deadline, or at the second signal; [`cut`](Self::cut)
    /// ends them.
    pub connections_left: usize,
    /// Detached tasks of the whole process that had not ended by then; they are not stopped here.
    pub tasks_left: usize,
    tasks: TaskTracker,
    cut: CancellationToken,
}

/// Serves `app` on `listener` until `shutdown` has run its course. `app` is told of its peer by
/// [`peer`](super::peer()).
///
/// Dropping this future closes the listener; connections already taken go on unattended.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    metrics: &Metrics,
    shutdown: Shutdown,
) -> Drained {
    let mut door = Door::new(app, &limits, listener.local_addr().ok(), metrics.clone(), shutdown.clone());
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
                door.admit(stream, peer);
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
    if let Err(error) = door.admit_backlog(listener) {
        tracing::warn!(%error, "the accept backlog could not be emptied");
    }
    door.drain().await
}

/// Admits connections while there is room, and knows which are open.
struct Door {
    connections: Arc<Connections>,
    room: Arc<Semaphore>,
    room_max: usize,
    goodbyes: Goodbyes,
    tasks: TaskTracker,
    cut: CancellationToken,
    accepted: u64,
    metrics: Metrics,
    shutdown: Shutdown,
}

impl Door {
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
            goodbyes: Goodbyes::new(),
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
            return self.goodbyes.say(stream, &self.tasks);
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

    /// Takes what the kernel accepted for us, then closes the listener. Goes by the system call, since
    /// Tokio's readiness may lag behind it.
    fn admit_backlog(&mut self, listener: TcpListener) -> io::Result<()> {
        let listener = listener.into_std()?;
        for _ in 0..ACCEPT_BACKLOG_CONNECTIONS {
            match listener.accept() {
                Ok((stream, peer)) => {
                    stream.set_nonblocking(true)?;
                    self.admit(TcpStream::from_std(stream)?, peer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if is_peers_doing(&error) => {}
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
    /// Cuts the connections that are left, after their owner has looked at what they were doing.
    pub async fn cut(self) {
        self.cut.cancel();
        let dropped = tokio::time::timeout(Duration::from_millis(CUT_MS), self.tasks.wait());
        if dropped.await.is_err() {
            tracing::warn!("a handler blocks its thread and could not be cut");
        }
    }
}

/// A stretch of time in which accepting fails; logged once.
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

    /// Whether `error` is an outage of ours, rather than a peer that left before it was accepted.
    fn begins_or_lasts(&mut self, error: &io::Error, metrics: &Metrics) -> bool {
        if is_peers_doing(error) {
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

fn is_peers_doing(error: &io::Error) -> bool {
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
    fn an_outage_is_ours_and_a_departed_peer_is_not() {
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
