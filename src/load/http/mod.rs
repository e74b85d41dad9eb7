//! Requests over real sockets: HTTP/1.1 keep-alive, HTTP/2, with or without TLS.
//!
//! ```text
//!   request n ──> target (by weight) ──> origin ──> a connection ──> head, body counted away
//!                                          |            ^ idle, last used first; or made, a few at a time
//!                                          '- at most so many connections; the rest queue
//! ```
//!
//! A connection goes back only when it can carry another request. One that the server had closed before it
//! took the request is replaced, as nothing was sent; anything else that breaks is a cause, and is not
//! tried again. Redirects are not followed. Memory is bounded: heads have a limit, bodies are not kept.

mod connect;
mod origin;
mod target;
mod timer;

use std::num::NonZeroU32;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::origin::Origin;
pub use self::origin::{Connections, Protocol};
pub use self::target::{Header, Target, Template};
use self::timer::Timer;
use super::transport::Stage;
use super::{Answer, Cause, Trace, Transport};
use crate::client::tls;

/// How many connections are being made at a time: well below a listener's usual backlog, as what
/// overflows it comes back only after a second.
const CONNECTING_LIMIT: usize = 128;
/// How often a request that was not taken is offered to another connection.
const OFFERS_LIMIT: u32 = 4;

/// How servers are reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections of HTTP/1.1 open at a time, to each origin.
    pub connections: NonZeroU32,
    /// Connections of HTTP/2 open at a time, to each origin; they share the requests.
    pub shared_connections: NonZeroU32,
    /// Which HTTP is spoken.
    pub protocol: Protocol,
    /// Whom to trust; none where no target needs it.
    pub tls: Option<Arc<tls::ClientConfig>>,
}

/// The targets with their origins and connections.
#[derive(Debug)]
pub struct Http {
    /// Targets in rotation, by weight.
    turns: Vec<(usize, Template)>,
    origins: Vec<Arc<Origin>>,
    timer: Timer,
}

impl Http {
    /// Makes ready to ask `targets` in turn, each as often as its weight says. Opens nothing yet.
    #[must_use]
    pub fn new(targets: &[Target], settings: &Settings) -> Self {
        let connecting = Arc::new(Semaphore::new(CONNECTING_LIMIT));
        let mut origins: Vec<Arc<Origin>> = Vec::new();
        let turns = target::rotation(targets)
            .into_iter()
            .map(|target| {
                let address = target.address();
                let known = origins.iter().position(|origin| *origin.address() == address);
                let place = known.unwrap_or_else(|| {
                    origins.push(Arc::new(Origin::new(address, settings, &connecting)));
                    origins.len() - 1
                });
                (place, target.template().clone())
            })
            .collect();
        Self { turns, origins, timer: Timer::default() }
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> Connections {
        self.origins.iter().map(|origin| origin.connections()).fold(Connections::default(), Connections::plus)
    }
}

impl Transport for Http {
    async fn wait_until(&self, at: Instant) {
        self.timer.wait_until(at).await;
    }

    async fn exchange(&self, request: u64, trace: &mut Trace) -> Result<Answer, Cause> {
        // A rotation is never empty, and its length is far below any request's number's limit.
        let turn = usize::try_from(request % self.turns.len() as u64).unwrap_or_default();
        let (origin, template) = &self.turns[turn];
        let mut offers = 0;
        let (connection, response) = loop {
            offers += 1;
            trace.stage = Stage::Waiting;
            let mut connection = self.origins[*origin].take(trace).await?;
            let request = template.request(connection.is_http2());
            trace.stage = Stage::Sent;
            trace.sent = Some(Instant::now());
            match connection.send(request).await {
                Ok(response) => break (connection, response),
                Err(mut error) => {
                    let untouched = error.take_message().is_some() && offers < OFFERS_LIMIT;
                    if !(untouched && connection.was_used()) {
                        return Err(connect::cause_of_answer(error.error()));
                    }
                }
            }
        };
        trace.stage = Stage::Answered;
        trace.first_byte = Some(Instant::now());
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut body_bytes = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| connect::cause_of_body(&error))?;
            body_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        trace.finished = Some(Instant::now());
        connection.give_back().await;
        Ok(Answer { status, body_bytes })
    }
}
