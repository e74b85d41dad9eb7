//! One connection, from its first byte to its end.
//!
//! While the server stops, every response has `Connection: close`, so a busy connection ends by itself. The others
//! are idle when the intake closes, or their next request is still in the kernel's buffers. hyper's graceful shutdown
//! closes an idle connection at once, even if a request is unread. So a connection first gets [`QUIET_MS`], in which
//! a request that was already sent is read and served. A request whose head is not complete by then may get no
//! response.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::FutureExt as _;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanic;

use super::edge::{Edge, Panicked};
use super::head::HeadWait;
use super::socket::Socket;
use super::{Limits, Metrics};
use crate::shutdown::Shutdown;

/// How long an idle connection stays open after the intake has closed, so that a sent request can arrive.
const QUIET_MS: u64 = 250;

/// The state that all connections of one server share.
pub(super) struct Connections {
    http: http1::Builder,
    edge: Arc<Edge>,
    header_timeout: Duration,
    write_stall_timeout: Duration,
    metrics: Metrics,
    shutdown: Shutdown,
    /// Cancelled when the drain gives up; never before the intake is closed.
    cut: CancellationToken,
}

impl Connections {
    pub(super) fn new(
        edge: Edge,
        limits: &Limits,
        metrics: Metrics,
        shutdown: Shutdown,
        cut: CancellationToken,
    ) -> Self {
        let mut http = http1::Builder::new();
        http.header_read_timeout(None).max_buf_size(limits.head_buffer_bytes()).half_close(false);
        Self {
            http,
            edge: Arc::new(edge),
            header_timeout: limits.header_timeout(),
            write_stall_timeout: limits.write_stall_timeout(),
            metrics,
            shutdown,
            cut,
        }
    }

    /// Serves one connection until it ends, or is cut.
    pub(super) async fn serve(&self, stream: TcpStream) {
        let head = HeadWait::begin();
        let socket = Socket::new(stream, self.write_stall_timeout, head.clone());
        let (edge, waits) = (Arc::clone(&self.edge), head.clone());
        let service = tower::service_fn(move |request| {
            let serving = waits.serving();
            // Not an async block, which would store the awaited future twice.
            Arc::clone(&edge)
                .answer(request)
                .map(|answered| answered.map(|answer| answer.map(|body| serving.until_the_end_of(body))))
        });
        let service = TowerToHyperService::new(CatchPanic::custom(service, Panicked));
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(socket), service));
        let mut too_long = pin!(head.exceeds(self.header_timeout));

        let mut closed = pin!(self.shutdown.intake_closed().cancelled());
        let mut listens = false;
        let intake_closed = poll_fn(|cx| {
            // Only the first poll registers the waker: each poll takes a lock that all connections share.
            if listens && !self.shutdown.is_stopping() {
                return Poll::Pending;
            }
            listens = true;
            closed.as_mut().poll(cx)
        });
        tokio::select! {
            biased;
            ended = connection.as_mut() => return self.ended(ended),
            () = intake_closed => {}
            () = too_long.as_mut() => return gave_up(),
        }
        // Boxed, so that it uses no memory until the connection stops.
        Box::pin(self.stop(connection, too_long)).await;
    }

    /// Waits until the connection has ended, or cuts it.
    async fn stop<C: GracefulConnection<Error = hyper::Error>>(
        &self,
        mut connection: Pin<&mut C>,
        mut too_long: Pin<&mut impl Future<Output = ()>>,
    ) {
        let mut cut = pin!(self.cut.cancelled());
        tokio::select! {
            biased;
            ended = connection.as_mut() => return self.ended(ended),
            () = cut.as_mut() => return,
            () = too_long.as_mut() => return gave_up(),
            () = tokio::time::sleep(Duration::from_millis(QUIET_MS)) => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            ended = connection => self.ended(ended),
            () = cut => {}
            () = too_long => gave_up(),
        }
    }

    /// Counts the requests that hyper itself refused. Other early ends are mostly caused by the client.
    fn ended(&self, ended: hyper::Result<()>) {
        let Err(error) = ended else { return };
        if error.is_parse_too_large() {
            self.metrics.refused(None, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        } else if error.is_parse() {
            self.metrics.refused(None, StatusCode::BAD_REQUEST);
        }
        tracing::debug!(%error, "connection ended early");
    }
}

fn gave_up() {
    tracing::debug!("connection closed: no head came in time");
}
