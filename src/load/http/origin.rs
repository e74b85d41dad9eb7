//! The connections to one server: at most so many, the last used first.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::{Request, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::Settings;
use super::connect::{Address, Fresh, Resolved, Wanted, open};
use crate::client::tls::ClientConfig;
use crate::load::transport::Stage;
use crate::load::{Cause, Trace};

type Http1 = http1::SendRequest<Full<Bytes>>;
type Http2 = http2::SendRequest<Full<Bytes>>;

/// Which HTTP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Over TLS what both sides can, preferring HTTP/2; HTTP/1.1 without TLS.
    Auto,
    /// HTTP/1.1 with keep-alive.
    Http1,
    /// HTTP/2, without TLS by prior knowledge.
    Http2,
}

/// Connections, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// Made.
    pub opened: u64,
    /// Broken by the server while no request was on them, such as by bytes that nobody asked for.
    pub broken_idle: u64,
}

impl Connections {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { opened: self.opened + other.opened, broken_idle: self.broken_idle + other.broken_idle }
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    opened: AtomicU64,
    broken_idle: AtomicU64,
}

impl Counters {
    pub(super) fn ended(&self, broken: bool) {
        self.broken_idle.fetch_add(u64::from(broken), Relaxed);
    }
}

/// One server and the connections to it.
#[derive(Debug)]
pub(super) struct Origin {
    address: Address,
    tls: Option<Arc<ClientConfig>>,
    protocol: Protocol,
    resolved: Resolved,
    /// Leave to make a connection, shared by all origins.
    connecting: Arc<Semaphore>,
    /// Leave to hold a connection of HTTP/1.1: no more are open than this allows, because one is made
    /// only when none is idle.
    free: Arc<Semaphore>,
    idle: Mutex<Vec<Http1>>,
    /// HTTP/2 connections, each carrying many requests.
    shared: Vec<tokio::sync::Mutex<Option<Http2>>>,
    turn: AtomicUsize,
    /// What TLS agreed on first: whether it is HTTP/2.
    agreed: OnceLock<bool>,
    agreeing: tokio::sync::Mutex<()>,
    counters: Arc<Counters>,
}

impl Origin {
    pub(super) fn new(address: Address, settings: &Settings, connecting: &Arc<Semaphore>) -> Self {
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
            address,
            tls: settings.tls.clone(),
            protocol,
            resolved: Resolved::default(),
            connecting: Arc::clone(connecting),
            free: Arc::new(Semaphore::new(connections)),
            idle: Mutex::default(),
            shared: (0..shared).map(|_| tokio::sync::Mutex::default()).collect(),
            turn: AtomicUsize::new(0),
            agreed: OnceLock::new(),
            agreeing: tokio::sync::Mutex::default(),
            counters: Arc::default(),
        }
    }

    pub(super) const fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn connections(&self) -> Connections {
        Connections {
            opened: self.counters.opened.load(Relaxed),
            broken_idle: self.counters.broken_idle.load(Relaxed),
        }
    }

    /// A connection for one request: an idle one, a shared one, or a new one. Waits when there are as
    /// many as there may be.
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

    /// Makes the first connection, which says what all will speak, and leaves it where it is found.
    async fn agree(&self, trace: &mut Trace) -> Result<bool, Cause> {
        let _turn = self.agreeing.lock().await;
        if let Some(agreed) = self.agreed.get() {
            return Ok(*agreed);
        }
        let agreed = match self.open(Wanted::Negotiated, trace).await? {
            Fresh::Http1(sender) => {
                self.idle().push(sender);
                false
            }
            Fresh::Http2(sender) => {
                if let Some(first) = self.shared.first() {
                    *first.lock().await = Some(sender);
                }
                true
            }
        };
        Ok(*self.agreed.get_or_init(|| agreed))
    }

    async fn take_one(self: &Arc<Self>, trace: &mut Trace) -> Result<Held, Cause> {
        // Never closed, so that the permit always comes in the end.
        let free = Arc::clone(&self.free).acquire_owned().await.map_err(|_| Cause::Broken)?;
        let used = loop {
            let last = self.idle().pop();
            match last {
                Some(sender) if sender.is_closed() => {}
                other => break other,
            }
        };
        let was_used = used.is_some();
        let sender = match used {
            Some(sender) => sender,
            None => match self.open(Wanted::Http1, trace).await? {
                Fresh::Http1(sender) => sender,
                Fresh::Http2(_) => return Err(Cause::Handshake),
            },
        };
        Ok(Held { sender: Sender::One { sender, origin: Arc::clone(self), _free: free }, was_used })
    }

    async fn take_shared(&self, trace: &mut Trace) -> Result<Held, Cause> {
        let turn = self.turn.fetch_add(1, Relaxed) % self.shared.len().max(1);
        let Some(slot) = self.shared.get(turn) else {
            return Err(Cause::Broken);
        };
        let mut slot = slot.lock().await;
        if let Some(sender) = slot.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(Held { sender: Sender::Shared(sender.clone()), was_used: true });
        }
        match self.open(Wanted::Http2, trace).await? {
            Fresh::Http2(sender) => {
                *slot = Some(sender.clone());
                Ok(Held { sender: Sender::Shared(sender), was_used: false })
            }
            Fresh::Http1(_) => Err(Cause::Handshake),
        }
    }

    async fn open(&self, wanted: Wanted, trace: &mut Trace) -> Result<Fresh, Cause> {
        let _leave = self.connecting.acquire().await.map_err(|_| Cause::Broken)?;
        trace.stage = Stage::Connecting;
        let started = Instant::now();
        let addresses = self.resolved.get(&self.address).await?;
        let fresh = open(&self.address, &addresses, self.tls.as_ref(), wanted, &self.counters).await?;
        self.counters.opened.fetch_add(1, Relaxed);
        trace.connect = Some(started.elapsed());
        Ok(fresh)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Http1>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in use. Dropping one of HTTP/1.1 closes it, whatever is in flight.
#[derive(Debug)]
pub(super) struct Held {
    sender: Sender,
    was_used: bool,
}

#[derive(Debug)]
enum Sender {
    One { sender: Http1, origin: Arc<Origin>, _free: OwnedSemaphorePermit },
    Shared(Http2),
}

impl Held {
    pub(super) const fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Shared(_))
    }

    /// Whether it carried a request before, so that the server may have closed it meanwhile.
    pub(super) const fn was_used(&self) -> bool {
        self.was_used
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        match &mut self.sender {
            Sender::One { sender, .. } => sender.try_send_request(request).await,
            Sender::Shared(sender) => sender.try_send_request(request).await,
        }
    }

    /// Lets others have it, if it can carry another request.
    pub(super) async fn give_back(self) {
        if let Sender::One { mut sender, origin, _free } = self.sender
            && sender.ready().await.is_ok()
        {
            origin.idle().push(sender);
        }
    }
}
