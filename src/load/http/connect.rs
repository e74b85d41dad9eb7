//! From an address to a connection that speaks HTTP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::counters::{Connections, Counters};
use super::failure;
use super::reasons::Reasons;
use crate::client::tls::{ALPN_HTTP2, ClientConfig};
use crate::load::{Cause, Stage, Trace};

/// The longest head of an answer that is read, over every protocol.
pub(super) const HEAD_LIMIT_BYTES: usize = 64 * 1024;
/// The most lines of it: hyper's own limit for HTTP/1.1, above which it parses more slowly.
pub(super) const HEAD_LIMIT_LINES: usize = 100;
/// The size of hyper's response buffer and of HTTP/2's decoded head: enough to detect a head that is too long.
const BUFFER_LIMIT_BYTES: u32 = 256 * 1024;
/// How long a name without an address is not looked up again.
const RESOLVE_PAUSE: Duration = Duration::from_secs(1);

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) encrypted: bool,
}

/// A fresh connection.
#[derive(Debug)]
pub(super) enum NewConnection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// Which protocol to begin with on a connection without TLS, or where TLS negotiated none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Http1,
    Http2,
    /// The protocol negotiated by TLS, or HTTP/1.1 if there was no negotiation.
    Negotiated,
}

/// Makes connections to one server, and counts them.
#[derive(Debug)]
pub(super) struct Connector {
    address: Address,
    tls: Option<Arc<ClientConfig>>,
    /// Whether request bodies are copied behind their heads, which is cheaper than a vectored write while they are
    /// short.
    copy_bodies: bool,
    resolved: Resolved,
    counters: Arc<Counters>,
    reasons: Arc<Reasons>,
}

impl Connector {
    pub(super) fn new(
        address: Address,
        tls: Option<Arc<ClientConfig>>,
        copy_bodies: bool,
        reasons: Arc<Reasons>,
    ) -> Self {
        Self { address, tls, copy_bodies, resolved: Resolved::default(), counters: Arc::default(), reasons }
    }

    pub(super) const fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn connections(&self) -> Connections {
        self.counters.read()
    }

    /// Connects to the first of the server's addresses that accepts.
    pub(super) async fn open(&self, wanted: Wanted, trace: &mut Trace) -> Result<NewConnection, Cause> {
        let mut last = Cause::NotResolved;
        trace.stage = Stage::Resolving;
        let sockets = self.resolved.get(&self.address, &self.reasons).await?;
        trace.stage = Stage::Connecting;
        for socket in &*sockets {
            match TcpStream::connect(socket).await {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(|error| self.of_connect(&error))?;
                    let fresh = self.begin(stream, wanted).await?;
                    self.counters.opened();
                    return Ok(fresh);
                }
                Err(error) => last = self.of_connect(&error),
            }
        }
        Err(last)
    }

    fn of_connect(&self, error: &io::Error) -> Cause {
        self.reasons.note(failure::of_connect(error), error)
    }

    async fn begin(&self, stream: TcpStream, wanted: Wanted) -> Result<NewConnection, Cause> {
        let Some(tls) = self.tls.as_ref().filter(|_| self.address.encrypted) else {
            return self.handshake(stream, wanted == Wanted::Http2).await;
        };
        let name = ServerName::try_from(self.address.host.clone())
            .map_err(|error| self.reasons.note(Cause::Tls, &error))?;
        let connector = TlsConnector::from(Arc::clone(tls));
        let stream = connector.connect(name, stream).await;
        let stream = stream.map_err(|error| self.reasons.note(failure::of_tls(&error), &error))?;
        let negotiated = stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2);
        match wanted {
            // A server that does not speak it would answer with something else entirely.
            Wanted::Http2 if !negotiated => Err(Cause::Handshake),
            _ => self.handshake(stream, negotiated).await,
        }
    }

    async fn handshake<S>(&self, stream: S, speak_http2: bool) -> Result<NewConnection, Cause>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let io = TokioIo::new(stream);
        let counters = Arc::clone(&self.counters);
        if speak_http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.max_header_list_size(BUFFER_LIMIT_BYTES);
            let (sender, protocol) =
                builder.handshake(io).await.map_err(|error| self.reasons.note(Cause::Handshake, &error))?;
            tokio::spawn(async move {
                counters.ended(protocol.await.is_err_and(|error| !failure::is_go_away(&error)));
            });
            return Ok(NewConnection::Http2(sender));
        }
        let mut builder = http1::Builder::new();
        builder.max_header_size(HEAD_LIMIT_BYTES);
        if self.copy_bodies {
            builder.writev(false);
        }
        let (sender, protocol) =
            builder.handshake(io).await.map_err(|error| self.reasons.note(Cause::Handshake, &error))?;
        // An exchange gets its own errors; an error that ends up here belongs to an idle connection.
        tokio::spawn(async move { counters.ended(protocol.await.is_err()) });
        Ok(NewConnection::Http1(sender))
    }
}

/// The addresses of a name: looked up once, and after a failure again, but not for every request.
#[derive(Debug, Default)]
struct Resolved {
    asking: tokio::sync::Mutex<()>,
    known: Mutex<Option<Lookup>>,
}

#[derive(Clone, Debug)]
enum Lookup {
    Found(Arc<[SocketAddr]>),
    NotFound(Instant),
}

impl Resolved {
    async fn get(&self, address: &Address, reasons: &Reasons) -> Result<Arc<[SocketAddr]>, Cause> {
        if let Some(known) = self.known() {
            return known;
        }
        let _turn = self.asking.lock().await;
        if let Some(known) = self.known() {
            return known;
        }
        let found: Vec<SocketAddr> = match lookup_host((address.host.as_str(), address.port)).await {
            Ok(found) => found.collect(),
            Err(error) => {
                reasons.note(Cause::NotResolved, &error);
                Vec::new()
            }
        };
        let (lookup, result) = if found.is_empty() {
            (Lookup::NotFound(Instant::now()), Err(Cause::NotResolved))
        } else {
            let found: Arc<[SocketAddr]> = found.into();
            (Lookup::Found(Arc::clone(&found)), Ok(found))
        };
        *self.known.lock() = Some(lookup);
        result
    }

    fn known(&self) -> Option<Result<Arc<[SocketAddr]>, Cause>> {
        match self.known.lock().as_ref()? {
            Lookup::Found(found) => Some(Ok(Arc::clone(found))),
            Lookup::NotFound(at) if at.elapsed() < RESOLVE_PAUSE => Some(Err(Cause::NotResolved)),
            Lookup::NotFound(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_lookup_that_does_not_end_has_its_own_cause() {
        let address = Address { host: "h".to_owned(), port: 80, encrypted: false };
        let connector = Connector::new(address, None, true, Arc::default());
        let _slow_lookup = connector.resolved.asking.lock().await;
        let mut trace = Trace::default();
        assert!(connector.open(Wanted::Http1, &mut trace).now_or_never().is_none());
        assert_eq!(trace.stage.out_of_time(), Cause::LookupTimeout);
    }
}
