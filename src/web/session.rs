//! Sessions of people who traded the admin token for a cookie.
//!
//! An id is 256 bits from the operating system; ids live in memory only, at most [`SESSIONS_MAX`] of
//! them for [`SESSION_S`] each, and a full store forgets the one that would expire first. The cookie is
//! `HttpOnly`, `SameSite=Strict` and `Path=/`. It is not `Secure`, since the lab speaks plain HTTP on
//! loopback and a browser would not send it back; put TLS in front before going further.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::{OpenApi, ToSchema};

use super::{Admin, Problem};

const SESSIONS_MAX: usize = 1_024;
const SESSION_S: u64 = 12 * 60 * 60;
const ID_BYTES: usize = 32;
const COOKIE: &str = "lab_session";

#[derive(Debug, Default)]
pub(super) struct Sessions {
    expiries: HashMap<String, Instant>,
}

impl Sessions {
    /// Opens a session and gives its id.
    pub(super) fn open(&mut self, now: Instant) -> Result<String, getrandom::Error> {
        let mut bytes = [0; ID_BYTES];
        getrandom::fill(&mut bytes)?;
        let id = bytes.iter().fold(String::new(), |mut id, byte| {
            let _infallible = write!(id, "{byte:02x}");
            id
        });
        self.expiries.retain(|_, expiry| *expiry > now);
        if self.expiries.len() >= SESSIONS_MAX {
            let first = self.expiries.iter().min_by_key(|(_, expiry)| **expiry);
            if let Some(first) = first.map(|(id, _)| id.clone()) {
                self.expiries.remove(&first);
            }
        }
        self.expiries.insert(id.clone(), now + Duration::from_secs(SESSION_S));
        Ok(id)
    }

    pub(super) fn knows(&self, id: &str, now: Instant) -> bool {
        self.expiries.get(id).is_some_and(|expiry| *expiry > now)
    }

    pub(super) fn close(&mut self, id: &str) {
        self.expiries.remove(id);
    }
}

/// The session id a request carries.
pub(super) fn id_in(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

fn cookie(id: &str, max_age_s: u64) -> [(header::HeaderName, String); 1] {
    let cookie = format!("{COOKIE}={id}; HttpOnly; SameSite=Strict; Path=/; Max-Age={max_age_s}");
    [(header::SET_COOKIE, cookie)]
}

/// The OpenAPI description of the session routes.
#[derive(OpenApi)]
#[openapi(paths(sign_in, sign_out), components(schemas(Problem)))]
pub struct SessionApi;

#[derive(Deserialize, ToSchema)]
pub(super) struct SignIn {
    token: String,
    /// Where a browser goes next: a path of this server.
    #[serde(default)]
    next: Option<String>,
}

/// Trades the admin token for a session cookie.
#[utoipa::path(post, path = "/session", tag = "session",
    request_body(content = SignIn, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 204, description = "Signed in; the cookie is set"),
        (status = 303, description = "Signed in, for a browser"),
        (status = 401, description = "Wrong token", body = Problem),
        (status = 403, description = "Sent by a page of another origin", body = Problem),
        (status = 404, description = "No token is set, so none is needed", body = Problem),
        (status = 429, description = "Too many wrong tokens", body = Problem)))]
pub(super) async fn sign_in(
    State(admin): State<Admin>,
    headers: HeaderMap,
    Form(form): Form<SignIn>,
) -> Result<Response, Problem> {
    let id = admin.sign_in(&headers, &form.token, Instant::now())?;
    let signed_in = cookie(&id, SESSION_S);
    let wants_page = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if wants_page {
        let next = form.next.as_deref().filter(|next| is_own_path(next));
        Ok((signed_in, Redirect::to(next.unwrap_or("/"))).into_response())
    } else {
        Ok((StatusCode::NO_CONTENT, signed_in).into_response())
    }
}

/// Ends the session.
#[utoipa::path(delete, path = "/session", tag = "session", responses(
    (status = 204, description = "Signed out"),
    (status = 403, description = "Sent by a page of another origin", body = Problem)))]
pub(super) async fn sign_out(State(admin): State<Admin>, headers: HeaderMap) -> Result<Response, Problem> {
    admin.sign_out(&headers)?;
    Ok((StatusCode::NO_CONTENT, cookie("", 0)).into_response())
}

/// Whether a browser would stay on this server: `//host` and `/\host` would leave it, and browsers
/// drop tabs and line ends before they look.
fn is_own_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_expires_and_the_store_stays_bounded() {
        let mut sessions = Sessions::default();
        let begun = Instant::now();
        let first = sessions.open(begun).unwrap();
        assert_eq!(first.len(), 2 * ID_BYTES);
        let life = Duration::from_secs(SESSION_S);
        assert!(sessions.knows(&first, begun + life - Duration::from_secs(1)));
        assert!(!sessions.knows(&first, begun + life));

        let later = begun + Duration::from_secs(1);
        for _ in 0..SESSIONS_MAX {
            sessions.open(later).unwrap();
        }
        assert_eq!(sessions.expiries.len(), SESSIONS_MAX);
        assert!(!sessions.knows(&first, later));
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=b; lab_session=ff; c=d".parse().unwrap());
        assert_eq!(id_in(&headers), Some("ff"));
        headers.insert(header::COOKIE, "xlab_session=ff".parse().unwrap());
        assert_eq!(id_in(&headers), None);
    }

    #[test]
    fn a_browser_is_sent_only_to_this_server() {
        for (path, expected) in [
            ("/streams?x=1", true),
            ("//evil.example", false),
            ("/\\evil.example", false),
            ("/\t/evil.example", false),
            ("https://evil.example", false),
        ] {
            assert_eq!(is_own_path(path), expected, "{path}");
        }
    }
}
