//! The connections to one server: a limited number, the last used first.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::connect::{Address, Connector, NewConnection, Wanted};
use super::counters::Connections;
use super::failure::{self, NotProcessed};
use super::reasons::Reasons;
use super::settings::{Protocol, Settings};
use super::target::Template;
use crate::load::{Cause, Trace};

type Http2 = http2::SendRequest<Full<Bytes>>;

/// One server and the connections to it.
#[derive(Debug)]
pub(super) struct Origin {
    connector: Connector,
    protocol: Protocol,
    /// Permits to make a connection, shared by all origins.
    connecting: Arc<Semaphore>,
    /// Permits to hold a connection of HTTP/1.1: no more are open than this allows, because one is made
    /// only when none is idle.
    free: Arc<Semaphore>,
    idle: Mutex<Vec<KeptAlive>>,
    /// HTTP/2 connections, each carrying many requests.
    shared: Vec<tokio::sync::Mutex<Option<Shared>>>,
    /// How many of these were made.
    shared_made: AtomicUsize,
    turn: AtomicUsize,
    /// Whether TLS negotiated HTTP/2 on the first connection.
    agreed: OnceLock<bool>,
    agreeing: tokio::sync::Mutex<()>,
}

impl Origin {
    pub(super) fn new(
        address: Address,
        settings: &Settings,
        copy_bodies: bool,
        connecting: &Arc<Semaphore>,
        reasons: &Arc<Reasons>,
    ) -> Self {
        let connections = settings.connections.get() as usize;
        let protocol = match settings.protocol {
            Protocol::Auto if !address.encrypted => Protocol::Http1,
            protocol => protocol,
        };
        let shared = match protocol {
            Protocol::Http1 => 0,
            Protocol::Auto | Protocol::Http2 => settings.shared_connections.get(),
        };
        Self {
            connector: Connector::new(address, settings.tls.clone(), copy_bodies, Arc::clone(reasons)),
            protocol,
            connecting: Arc::clone(connecting),
            free: Arc::new(Semaphore::new(connections)),
            idle: Mutex::default(),
            shared: (0..shared).map(|_| tokio::sync::Mutex::default()).collect(),
            shared_made: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
            agreed: OnceLock::new(),
            agreeing: tokio::sync::Mutex::default(),
        }
    }

    pub(super) const fn address(&self) -> &Address {
        self.connector.address()
    }

    pub(super) fn connections(&self) -> Connections {
        self.connector.connections()
    }

    /// A connection for one request: an idle one, a shared one, or a new one. Waits while the limit is reached.
    pub(super) async fn take(self: &Arc<Self>, trace: &mut Trace) -> Result<Held, Cause> {
        match self.protocol {
            Protocol::Http1 => self.take_one(trace).await,
            Protocol::Http2 => self.take_shared(trace).await,
            Protocol::Auto => {
                let agreed = match self.agreed.get() {
                    Some(agreed) => *agreed,
                    None => self.agree(trace).await?,
                };
                if agreed { self.take_shared(trace).await } else { self.take_one(trace).await }
            }
        }
    }

    /// Makes the first connection, which decides the protocol of all, and keeps it for the next request.
    async fn agree(&self, trace: &mut Trace) -> Result<bool, Cause> {
        let _turn = self.agreeing.lock().await;
        if let Some(agreed) = self.agreed.get() {
            return Ok(*agreed);
        }
        let agreed = match self.open(Wanted::Negotiated, trace).await? {
            NewConnection::Http1(sender) => {
                self.idle.lock().push(KeptAlive::new(sender));
                false
            }
            NewConnection::Http2(sender) => {
                if let Some(first) = self.shared.first() {
                    *first.lock().await = Some(self.shared(sender));
                }
                true
            }
        };
        Ok(*self.agreed.get_or_init(|| agreed))
    }

    async fn take_one(self: &Arc<Self>, trace: &mut Trace) -> Result<Held, Cause> {
        let free = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(free) => free,
            // The semaphore is never closed, so the permit comes in the end.
            Err(_) => Arc::clone(&self.free).acquire_owned().await.map_err(|_| Cause::Broken)?,
        };
        let used = loop {
            let last = self.idle.lock().pop();
            match last {
                Some(KeptAlive(connection)) if connection.sender.is_closed() => {}
                other => break other,
            }
        };
        let connection = match used {
            Some(connection) => connection,
            None => match self.open(Wanted::Http1, trace).await? {
                NewConnection::Http1(sender) => KeptAlive::new(sender),
                NewConnection::Http2(_) => return Err(Cause::Handshake),
            },
        };
        Ok(Held::One { connection, origin: Arc::clone(self), _free: free })
    }

    async fn take_shared(self: &Arc<Self>, trace: &mut Trace) -> Result<Held, Cause> {
        let place = self.turn.fetch_add(1, Relaxed) % self.shared.len().max(1);
        let Some(slot) = self.shared.get(place) else {
            return Err(Cause::Broken);
        };
        let mut slot = slot.lock().await;
        let known = slot.as_ref().filter(|shared| !shared.sender.is_closed());
        let (connection, was_used) = match known {
            Some(shared) => (shared.clone(), true),
            None => match self.open(Wanted::Http2, trace).await? {
                NewConnection::Http2(sender) => (slot.insert(self.shared(sender)).clone(), false),
                NewConnection::Http1(_) => return Err(Cause::Handshake),
            },
        };
        Ok(Held::Shared { connection, place, was_used, origin: Arc::clone(self) })
    }

    fn shared(&self, sender: Http2) -> Shared {
        Shared { sender, number: self.shared_made.fetch_add(1, Relaxed) }
    }

    /// Sends no more requests over the shared connection of this number.
    async fn retire(&self, place: usize, number: usize) {
        if let Some(slot) = self.shared.get(place) {
            let mut slot = slot.lock().await;
            slot.take_if(|shared| shared.number == number);
        }
    }

    async fn open(&self, wanted: Wanted, trace: &mut Trace) -> Result<NewConnection, Cause> {
        let _permit = self.connecting.acquire().await.map_err(|_| Cause::Broken)?;
        let started = Instant::now();
        // Boxed: it is large, and would be copied with each request, which seldom needs it.
        let fresh = Box::pin(self.connector.open(wanted, trace)).await?;
        trace.connect = Some(started.elapsed());
        Ok(fresh)
    }
}

/// A connection of HTTP/1.1. In a box, it goes in and out of use without being copied.
#[derive(Debug)]
pub(super) struct KeptAlive(Box<Connection>);

#[derive(Debug)]
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    was_used: bool,
    /// The empty map of the last answer's headers, reused for the next request.
    headers: HeaderMap,
}

impl KeptAlive {
    fn new(sender: http1::SendRequest<Full<Bytes>>) -> Self {
        Self(Box::new(Connection { sender, was_used: false, headers: HeaderMap::new() }))
    }
}

/// A connection of HTTP/2, by its number.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    sender: Http2,
    number: usize,
}

/// A connection in use. Dropping one of HTTP/1.1 closes it, whatever is in flight.
#[derive(Debug)]
pub(super) enum Held {
    One { connection: KeptAlive, origin: Arc<Origin>, _free: OwnedSemaphorePermit },
    Shared { connection: Shared, place: usize, was_used: bool, origin: Arc<Origin> },
}

impl Held {
    /// Sends a request made from `template`.
    pub(super) async fn send(
        &mut self,
        template: &Template,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        match self {
            Self::One { connection: KeptAlive(connection), .. } => {
                let headers = mem::take(&mut connection.headers);
                connection.sender.try_send_request(template.http1(headers)).await
            }
            Self::Shared { connection, .. } => connection.sender.try_send_request(template.http2()).await,
        }
    }

    /// Whether the request that failed with `error` may be sent again. A connection that is ending is retired.
    pub(super) async fn failed(self, error: &mut TrySendError<Request<Full<Bytes>>>) -> Option<NotProcessed> {
        let not_processed = failure::not_processed(error)?;
        let was_used = match self {
            Self::One { connection, .. } => connection.0.was_used,
            Self::Shared { connection, place, was_used, origin } => {
                if not_processed != NotProcessed::StreamRefused {
                    origin.retire(place, connection.number).await;
                }
                was_used
            }
        };
        // A connection that fails on its first request is the server's fault, not bad timing.
        (was_used || not_processed != NotProcessed::NotSent).then_some(not_processed)
    }

    /// Makes it idle after `answer`, if it can carry another request.
    pub(super) async fn give_back(self, answer: &mut Response<Incoming>) {
        if let Self::One { connection: KeptAlive(mut connection), origin, _free } = self
            && connection.sender.ready().await.is_ok()
        {
            connection.was_used = true;
            connection.headers = mem::take(answer.headers_mut());
            connection.headers.clear();
            origin.idle.lock().push(KeptAlive(connection));
        }
    }
}
