//! Requests over real sockets: HTTP/1.1 keep-alive, HTTP/2, with or without TLS.
//!
//! ```text
//!   request n ──> target (by weight) ──> origin ──> a connection ──> head, body counted away
//!                                          |            ^ idle, last used first; or made, a few at a time
//!                                          '- at most so many connections; the rest queue
//! ```
//!
//! A connection goes back only when it can carry another request. A request that the server did not process
//! is sent again, on another connection where the first one ends: HTTP/1.1 that closed before it took the
//! request, HTTP/2 that ended with GOAWAY or refused the stream. Anything else that breaks is a cause, and is
//! not tried again. Redirects are not followed. Memory is bounded: heads have a limit, and of bodies only a beginning is
//! kept, for a reader.

mod connect;
mod counters;
mod failure;
mod header;
mod origin;
mod reasons;
mod settings;
mod target;
mod timer;
mod url;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::Version;
use hyper::header::HeaderMap;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use self::connect::{HEAD_LIMIT_BYTES, HEAD_LIMIT_LINES};
pub use self::counters::Connections;
use self::failure::NotProcessed;
pub use self::header::{Header, Misfit};
use self::origin::Origin;
use self::reasons::Reasons;
pub use self::settings::{Protocol, Settings};
pub use self::target::{Target, Template};
use self::timer::Timer;
use super::transport::Stage;
use super::{Cause, Completed, Success, Trace, Transport};

/// The limit of connections being made at a time: well below a listener's usual backlog, because a connection
/// that overflows it is retried only after a second.
const CONNECTING_LIMIT: usize = 128;
/// Bodies of requests up to this length are copied behind their heads.
const COPIED_BODY_BYTES: usize = 16 * 1024;
/// How often a request that was not processed is sent at most: enough for a burst of ten thousand to a server that
/// ends each connection after a hundred requests.
const SENDS_LIMIT: u32 = 100;
/// The longest pause before a refused request is sent again: none the first time, then doubling from a millisecond
/// up to this.
const REFUSED_PAUSE_LIMIT: Duration = Duration::from_millis(64);
/// How much of a body a reader is handed.
const READ_LIMIT_BYTES: usize = 4 * 1024;

/// The targets with their origins and connections.
#[derive(Debug)]
pub struct Http {
    /// Targets in rotation, by weight; never empty.
    turns: Vec<Turn>,
    origins: Vec<Arc<Origin>>,
    timer: Timer,
    reasons: Arc<Reasons>,
    /// The names of several targets; empty for one, which needs no row of its own.
    names: Vec<String>,
    success: Success,
    reader: Option<Reader>,
}

/// What is handed the status of each whole answer and the beginning of its body.
struct Reader(Box<Read>);

type Read = dyn Fn(u16, &[u8]) + Send + Sync;

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

/// One turn in the rotation: the request to send, and where.
#[derive(Debug)]
struct Turn {
    /// Its target's place among all.
    target: usize,
    origin: Arc<Origin>,
    template: Template,
}

impl Http {
    /// A transport that requests `targets` in turn, each as often as its weight says. Opens no connection yet.
    #[must_use]
    pub fn new(targets: &[Target], settings: &Settings) -> Self {
        let connecting = Arc::new(Semaphore::new(CONNECTING_LIMIT));
        let copy_bodies = targets.iter().all(|target| target.template().body_bytes() <= COPIED_BODY_BYTES);
        let reasons = Arc::default();
        let names = targets.iter().filter(|_| targets.len() > 1).map(ToString::to_string).collect();
        let mut origins: Vec<Arc<Origin>> = Vec::new();
        let turns = target::rotation(targets)
            .into_iter()
            .map(|place| {
                let target = &targets[place];
                let address = target.address();
                let known = origins.iter().find(|origin| *origin.address() == address).cloned();
                let origin = known.unwrap_or_else(|| {
                    let origin = Arc::new(Origin::new(address, settings, copy_bodies, &connecting, &reasons));
                    origins.push(Arc::clone(&origin));
                    origin
                });
                Turn { target: place, origin, template: target.template().clone() }
            })
            .collect();
        Self {
            turns,
            origins,
            timer: Timer::default(),
            reasons,
            names,
            success: settings.success.clone(),
            reader: None,
        }
    }

    /// Hands each whole answer to `read`: its status, and the first 4 KiB of its body. It runs between
    /// requests: be brief.
    #[must_use]
    pub fn reading(self, read: impl Fn(u16, &[u8]) + Send + Sync + 'static) -> Self {
        Self { reader: Some(Reader(Box::new(read))), ..self }
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> Connections {
        self.origins.iter().map(|origin| origin.connections()).fold(Connections::default(), Connections::plus)
    }

    fn turn(&self, request: u64) -> &Turn {
        // A remainder is below the length, which is a `usize`.
        &self.turns[usize::try_from(request % self.turns.len() as u64).unwrap_or_default()]
    }

    /// The first error message of each cause, by its label.
    #[must_use]
    pub fn reasons(&self) -> BTreeMap<String, String> {
        self.reasons.read()
    }
}

impl Transport for Http {
    async fn wait_until(&self, at: Instant) {
        self.timer.wait_until(at).await;
    }

    fn targets(&self) -> Vec<String> {
        self.names.clone()
    }

    fn target_of(&self, request: u64) -> usize {
        if self.names.is_empty() { 0 } else { self.turn(request).target }
    }

    async fn exchange(&self, request: u64, trace: &mut Trace) -> Result<Completed, Cause> {
        let Turn { origin, template, .. } = self.turn(request);
        let mut sends = 0;
        loop {
            sends += 1;
            trace.stage = Stage::Waiting;
            let mut connection = origin.take(trace).await?;
            trace.stage = Stage::Sent;
            trace.sent = Some(Instant::now());
            let mut response = match connection.send(template).await {
                Ok(response) => response,
                Err(mut error) => {
                    let again = connection.failed(&mut error).await.filter(|_| sends < SENDS_LIMIT);
                    match again {
                        Some(NotProcessed::StreamRefused) => pause_after(sends).await,
                        Some(NotProcessed::NotSent | NotProcessed::GoAway) => {}
                        None => {
                            let error = error.error();
                            return Err(self.reasons.note(failure::of_answer(error), error));
                        }
                    }
                    continue;
                }
            };
            trace.stage = Stage::Answered;
            trace.first_byte = Some(Instant::now());
            if response.version() == Version::HTTP_2 && is_too_large(response.headers()) {
                return Err(Cause::HeadTooLarge);
            }
            let (mut body_bytes, mut beginning) = (0, Vec::new());
            while let Some(frame) = response.body_mut().frame().await {
                let frame = frame.map_err(|error| self.reasons.note(failure::of_body(&error), &error))?;
                let data = frame.data_ref().map_or(&[][..], |data| data);
                body_bytes += data.len() as u64;
                if self.reader.is_some() {
                    beginning.extend_from_slice(&data[..data.len().min(READ_LIMIT_BYTES - beginning.len())]);
                }
            }
            trace.finished = Some(Instant::now());
            connection.give_back(&mut response).await;
            let status = response.status().as_u16();
            if let Some(Reader(read)) = &self.reader {
                read(status, &beginning);
            }
            return Ok(Completed { status, success: self.success.contains(status), body_bytes });
        }
    }
}

/// Waits before a request is sent again that the server refused `refusals` times in a row.
async fn pause_after(refusals: u32) {
    let pause = Duration::from_millis(1 << refusals.saturating_sub(2).min(16)).min(REFUSED_PAUSE_LIMIT);
    if refusals > 1 {
        sleep(pause).await;
    }
}

/// Whether a head is above the limits, which hyper checks for HTTP/1.1 only.
fn is_too_large(headers: &HeaderMap) -> bool {
    let lines = headers.iter();
    let bytes: usize = lines.map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum();
    headers.len() > HEAD_LIMIT_LINES || bytes > HEAD_LIMIT_BYTES
}
