//! A TCP stream that gives up on peers who do not read, and that closes without losing an answer.
//!
//! hyper bounds the wait for a head but not the wait for a client to take its answer: here a write
//! that makes no progress for the stall timeout fails. The timer is allocated only while a write is
//! stalled, so an ordinary connection pays one pointer for it. A client that takes a byte now and then
//! is not caught; the connection cap bounds how much that can cost.
//!
//! Closing a socket while request bytes are unread makes the kernel reset the connection, and the
//! reset may overtake the answer. `shutdown` therefore sends the end of our side, then reads and
//! discards until the peer ends its own, or for [`LINGER_MS`].

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::head::HeadWait;

/// How long a closing connection waits for its peer's end.
const LINGER_MS: u64 = 1_000;
/// Discarded a read; on the stack, so small.
const DISCARD_BYTES: usize = 1024;

pub(super) struct Socket {
    stream: TcpStream,
    stall_timeout: Duration,
    head: HeadWait,
    /// Runs while a write is stalled, then while the close lingers.
    timer: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, stall_timeout: Duration, head: HeadWait) -> Self {
        Self { stream, stall_timeout, head, timer: None, ended: false }
    }

    /// Passes a write's progress on, unless there was none for too long.
    fn watch(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if progress.is_ready() {
            if self.timer.take().is_some() {
                self.head.write_goes_on();
            }
            return progress;
        }
        let Self { stall_timeout, head, timer, .. } = self;
        let timer = timer.get_or_insert_with(|| {
            head.write_stalls();
            Box::pin(sleep(*stall_timeout))
        });
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(Duration::from_millis(LINGER_MS))));
        let mut scratch = [0; DISCARD_BYTES];
        while timer.as_mut().poll(cx).is_pending() {
            let mut discarded = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut discarded)) {
                Ok(()) if !discarded.filled().is_empty() => {}
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ended {
            self.head.closes();
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.ended = true;
            self.timer = None;
        }
        self.poll_linger(cx).map(Ok)
    }
}
