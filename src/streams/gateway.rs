//! Streams from outside: each TCP connection is one, and so is each body posted to
//! `/streams/in/{name}`.
//!
//! ```text
//!   TCP listener ──> peer ─┐
//!                          ├─> Intake: bytes ──> Frames ──> chunk ──> Buffer::offer
//!   POST body ─────────────┘
//! ```
//!
//! Everything a peer can do is bounded: how many there are, how long one may be silent, how long a
//! frame may be. A peer holds at most one frame of memory and, under `block`, waits for room with it,
//! so that back-pressure reaches the other side. TCP peers get no answer; the metrics count their chunks.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::{
    bytes::BytesMut,
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use super::{
    Framing,
    buffer::{Buffer, Offered},
    chunk::{Chunk, Label, Stream},
    framing::{Fault, Frame, Frames, LongLines},
    metrics::{Refusal, StreamMetrics},
    stats::Recorder,
};
use crate::web;

/// The ids of streams from outside begin here, above all generated ones.
const FIRST_OUTSIDE_ID: u32 = 1 << 31;
/// How much is read at a time, bytes.
const READ_BYTES: usize = 8 * 1024;
/// Pause after an accept that failed for want of resources.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What every stream from outside needs.
pub(super) struct Intake {
    pub(super) buffer: Arc<Buffer>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) metrics: Arc<StreamMetrics>,
    pub(super) framing: Framing,
    pub(super) frame_limit_bytes: usize,
    pub(super) long_lines: LongLines,
    pub(super) idle: Duration,
    pub(super) stopping: CancellationToken,
    pub(super) cut: CancellationToken,
}

/// The counts of one stream from outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[schema(as = streams::Received)]
pub struct Received {
    /// Chunks that entered the buffer.
    pub accepted: u64,
    /// Chunks that the overload policy dropped at once.
    pub dropped: u64,
    /// Lines above the limit that were skipped.
    pub skipped: u64,
}

crate::document!(Received as "lab/streams-received/1");

/// How one stream from outside ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerEnd {
    /// Its bytes came to their end.
    Whole,
    /// The orchestrator stops.
    Stopped,
    /// It was closed for a fault of its own.
    Fault(Fault),
}

/// The gateway for streams from outside. Cloning shares it.
#[derive(Clone)]
pub(super) struct Gateway {
    shared: Arc<Shared>,
}

struct Shared {
    intake: Intake,
    seats: Arc<Semaphore>,
    peers_limit: usize,
    next_id: AtomicU32,
    sources: TaskTracker,
    addr: OnceLock<SocketAddr>,
}

/// A stream from outside that was admitted.
pub(super) struct Peer {
    gateway: Gateway,
    stream: Arc<Stream>,
    _seat: OwnedSemaphorePermit,
    _source: TaskTrackerToken,
}

/// Why a stream was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotAdmitted {
    #[error("the orchestrator is stopping")]
    Stopping,
    #[error(transparent)]
    Refused(Refusal),
}

impl Gateway {
    /// Opens the gateway, and listens if an address is configured.
    pub(super) fn open(
        listen: Option<SocketAddr>,
        peers_limit: usize,
        intake: Intake,
        sources: TaskTracker,
    ) -> anyhow::Result<Self> {
        let seats = Arc::new(Semaphore::new(peers_limit.min(Semaphore::MAX_PERMITS)));
        let shared = Shared {
            intake,
            seats,
            peers_limit,
            next_id: AtomicU32::new(FIRST_OUTSIDE_ID),
            sources,
            addr: OnceLock::new(),
        };
        let gateway = Self { shared: Arc::new(shared) };
        if let Some(addr) = listen {
            let listener = web::listen(addr, "--listen (STREAMS_LISTEN)")?;
            let _ = gateway.shared.addr.set(listener.addr());
            gateway.shared.sources.spawn(gateway.clone().accept(listener.into_socket()));
        }
        Ok(gateway)
    }

    /// Where it listens.
    pub(super) fn addr(&self) -> Option<SocketAddr> {
        self.shared.addr.get().copied()
    }

    /// Streams that are connected now.
    pub(super) fn peers(&self) -> usize {
        self.shared.peers_limit.saturating_sub(self.shared.seats.available_permits())
    }

    /// Admits one stream, or says why not.
    pub(super) fn admit(&self, name: Option<&str>) -> Result<Peer, NotAdmitted> {
        let intake = &self.shared.intake;
        // The token first: a drain that sees no token can be sure that none will offer.
        let source = self.shared.sources.token();
        if intake.stopping.is_cancelled() {
            return Err(NotAdmitted::Stopping);
        }
        let refused = |refusal| {
            intake.metrics.refused(refusal);
            NotAdmitted::Refused(refusal)
        };
        let seat = self.shared.seats.clone().try_acquire_owned();
        let seat = seat.map_err(|_| refused(Refusal::TooMany))?;
        let place = intake.buffer.join().ok_or_else(|| refused(Refusal::NoSlot))?;
        intake.metrics.peers.add(1);
        let id = self.shared.next_id.fetch_add(1, Relaxed);
        let label = match name {
            Some(name) => name.into(),
            None => format!("tcp-{}", id.wrapping_sub(FIRST_OUTSIDE_ID)).into_boxed_str(),
        };
        let stream = Arc::new(Stream { id, label: Label::Named(label), place });
        Ok(Peer { gateway: self.clone(), stream, _seat: seat, _source: source })
    }

    async fn accept(self, listener: TcpListener) {
        let (mut failing, mut refusing) = (false, false);
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.shared.intake.stopping.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, from)) => {
                    failing = false;
                    let peer = match self.admit(None) {
                        Ok(peer) => peer,
                        // The connection is closed at once. Of refusals that follow each other, the first is logged;
                        // a metric counts all.
                        Err(NotAdmitted::Refused(refusal)) => {
                            if !std::mem::replace(&mut refusing, true) {
                                tracing::warn!(%from, "streams are refused: {refusal}");
                            }
                            continue;
                        }
                        Err(NotAdmitted::Stopping) => continue,
                    };
                    refusing = false;
                    tokio::spawn(async move {
                        let stream = peer.stream.clone();
                        if let (received, PeerEnd::Fault(fault)) = peer.receive(socket).await {
                            let (stream, accepted) = (&stream.label, received.accepted);
                            tracing::info!(%from, %stream, accepted, "a stream was closed: {fault}");
                        }
                    });
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(%error, "no stream can be accepted");
                    }
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }
}

impl Peer {
    /// Takes chunks from `bytes` until they end, the peer is at fault, or the orchestrator stops.
    pub(super) async fn receive(self, mut bytes: impl AsyncRead + Unpin) -> (Received, PeerEnd) {
        let mut received = Received::default();
        let intake = &self.gateway.shared.intake;
        let ended = tokio::select! {
            biased;
            () = intake.cut.cancelled() => PeerEnd::Stopped,
            ended = self.chunks(&mut bytes, &mut received) => ended,
        };
        // Counted before it is closed, so that a peer that sees the end finds it counted.
        if let PeerEnd::Fault(fault) = ended {
            intake.metrics.fault(fault);
        }
        (received, ended)
    }

    async fn chunks(&self, bytes: &mut (impl AsyncRead + Unpin), received: &mut Received) -> PeerEnd {
        let intake = &self.gateway.shared.intake;
        let mut frames = Frames::new(intake.framing, intake.frame_limit_bytes, intake.long_lines);
        let mut unread = BytesMut::new();
        let (mut index, mut whole) = (0, false);
        // Counted from the last whole frame: bytes that come one by one do not keep a place for ever.
        let mut patience_ends = Instant::now() + intake.idle;
        loop {
            // Frames first, so that those before a stop or a fault are not lost.
            loop {
                match frames.next(&mut unread, whole) {
                    Err(fault) => return PeerEnd::Fault(fault),
                    Ok(None) if whole => return PeerEnd::Whole,
                    Ok(None) => break,
                    Ok(Some(Frame::Skipped)) => {
                        received.skipped += 1;
                        intake.metrics.skipped.add(1);
                    }
                    Ok(Some(Frame::Whole(data))) => {
                        if self.offer(&mut index, data, received).await == Offered::Closed {
                            return PeerEnd::Stopped;
                        }
                    }
                }
                patience_ends = Instant::now() + intake.idle;
            }
            unread.reserve(READ_BYTES);
            let read = tokio::select! {
                biased;
                () = intake.stopping.cancelled() => return PeerEnd::Stopped,
                read = bytes.read_buf(&mut unread) => read,
                () = tokio::time::sleep_until(patience_ends) => return PeerEnd::Fault(Fault::Idle),
            };
            match read {
                Err(error) => return PeerEnd::Fault(error.into()),
                Ok(read) => whole = read == 0,
            }
        }
    }

    /// Latency counts from here: under `block`, the wait for room is part of it.
    async fn offer(&self, index: &mut u64, data: bytes::Bytes, received: &mut Received) -> Offered {
        let now = Instant::now();
        let chunk = Chunk { stream: self.stream.clone(), index: *index, intended: now, offered: now, data };
        *index += 1;
        let Intake { buffer, recorder, .. } = &self.gateway.shared.intake;
        let offered = buffer.offer(chunk).await;
        if offered != Offered::Closed {
            recorder.generated(&self.stream, now);
        }
        match offered {
            Offered::Accepted => received.accepted += 1,
            Offered::Dropped(_) => received.dropped += 1,
            Offered::Closed => {}
        }
        offered
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.gateway.shared.intake.buffer.leave(self.stream.place);
    }
}
