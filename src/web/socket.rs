//! A TCP stream that gives up on clients that do not read, and that closes without losing a response.
//!
//! hyper limits the wait for a head, but not the wait for a client to read its response. Here a write fails if it
//! makes no progress for the stall timeout. The timer is allocated only while a write is stalled, so a normal
//! connection needs only one pointer for it. A client that reads a byte now and then is not detected; the connection
//! cap limits the damage.
//!
//! If a socket is closed while request bytes are unread, the kernel resets the connection, and the reset may overtake
//! the response. So `shutdown` closes only the sending side, and then reads and discards until the client closes its
//! side, at most for [`LINGER_MS`].

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::head::HeadWait;

/// How long a closing connection waits for the client to close its side.
const LINGER_MS: u64 = 1_000;
/// The size of a discarding read; small, because the buffer is on the stack.
const DISCARD_BYTES: usize = 1024;

pub(super) struct Socket {
    stream: TcpStream,
    stall_timeout: Duration,
    head: HeadWait,
    /// Set while a write is stalled, and while the close lingers.
    timer: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, stall_timeout: Duration, head: HeadWait) -> Self {
        Self { stream, stall_timeout, head, timer: None, ended: false }
    }

    /// Returns the write's progress, or a timeout error if there was none for the stall timeout.
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
