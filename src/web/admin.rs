//! The rule that decides which requests may use administrative routes.
//!
//! | `LAB_ADMIN_TOKEN` | allowed requests |
//! |---|---|
//! | set | those with the token as a bearer token, or with a session cookie from `POST /session` |
//! | not set | those from a loopback address, to a loopback name (against DNS rebinding), and not through a proxy |
//!
//! In both cases, requests from pages of another origin are refused: see [`serve`](super::serve()). Wrong tokens are
//! rate limited per client. A client at its limit gets a 429 even for the right token, because otherwise it could go
//! on guessing. Other clients are not affected, and neither are sessions, because their IDs cannot be guessed.
//! Behind a proxy on this machine, every client has a loopback address, and not every proxy adds a header: set a
//! token there.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::peer::peer;
use super::session::{self, Sessions};
use super::throttle::Throttle;
use super::{Problem, Secret, origin};

/// The rule of one server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admin {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    token: Option<Secret>,
    state: Mutex<Mutable>,
}

#[derive(Debug, Default)]
struct Mutable {
    sessions: Sessions,
    throttle: Throttle,
}

impl Admin {
    /// The rule with `token`, or for loopback only if there is none.
    pub fn new(token: Option<Secret>) -> Self {
        Self { shared: Arc::new(Shared { token, state: Mutex::default() }) }
    }

    /// Whether pages must ask for a token.
    pub fn token_required(&self) -> bool {
        self.shared.token.is_some()
    }

    /// Whether a request may use administrative routes; for pages that show the available controls.
    pub fn allows(&self, peer: SocketAddr, headers: &HeaderMap, uri: &Uri) -> bool {
        self.check(Some(peer), headers, uri, Instant::now()).is_ok()
    }

    /// Applies the rule to every route of `router`. The client's address comes from [`serve`](super::serve()); a
    /// request without one does not count as loopback.
    pub fn guard(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.clone(), guard))
    }

    pub(super) fn sign_in(
        &self,
        peer: Option<SocketAddr>,
        candidate: &str,
        now: Instant,
    ) -> Result<String, Problem> {
        let Some(token) = &self.shared.token else {
            return Err(Problem::of(StatusCode::NOT_FOUND)
                .detail("LAB_ADMIN_TOKEN is not set, so requests from this machine need no session"));
        };
        let mut state = self.shared.state.lock();
        state.compare(token, peer, candidate, now)?;
        state.sessions.open(now).map_err(|error| {
            tracing::error!(%error, "no random bytes for a session");
            Problem::of(StatusCode::INTERNAL_SERVER_ERROR)
        })
    }

    pub(super) fn sign_out(&self, headers: &HeaderMap) {
        if let Some(id) = session::id_in(headers) {
            self.shared.state.lock().sessions.close(id);
        }
    }

    fn check(
        &self,
        peer: Option<SocketAddr>,
        headers: &HeaderMap,
        uri: &Uri,
        now: Instant,
    ) -> Result<(), Problem> {
        let Some(token) = &self.shared.token else {
            let near = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
            return if near && origin::names_loopback(headers, uri) && !origin::is_forwarded(headers) {
                Ok(())
            } else {
                Err(Problem::of(StatusCode::FORBIDDEN).detail(
                    "LAB_ADMIN_TOKEN is not set, so only requests from this machine to localhost, without a proxy, are allowed",
                ))
            };
        };
        let mut state = self.shared.state.lock();
        match (session::id_in(headers), bearer(headers)) {
            (Some(id), _) if state.sessions.knows(id, now) => Ok(()),
            (_, Some(candidate)) => state.compare(token, peer, candidate, now),
            _ => Err(Problem::of(StatusCode::UNAUTHORIZED)),
        }
    }
}

impl Mutable {
    /// Compares while the lock is held, so that concurrent attempts cannot bypass the throttle.
    fn compare(
        &mut self,
        token: &Secret,
        peer: Option<SocketAddr>,
        candidate: &str,
        now: Instant,
    ) -> Result<(), Problem> {
        if !self.throttle.is_open(peer, now) {
            return Err(Problem::of(StatusCode::TOO_MANY_REQUESTS).detail("too many wrong tokens"));
        }
        if token.matches(candidate) {
            return Ok(());
        }
        self.throttle.failed(peer, now);
        Err(Problem::of(StatusCode::UNAUTHORIZED).detail("the token is wrong"))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn guard(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    match admin.check(peer(), request.headers(), request.uri(), Instant::now()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}
