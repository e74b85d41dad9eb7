//! Sessions of users who have signed in with the admin token.
//!
//! A session ID is 256 random bits from the operating system. IDs are kept only in memory, at most [`SESSIONS_MAX`]
//! for [`SESSION_S`] each; a full store drops the session that would expire first. The cookie's name contains the
//! port of the request, because browsers share cookies between the ports of a host and two labs may run on one. The
//! cookie is `HttpOnly`, `SameSite=Strict` and `Path=/`. It is not `Secure`, because the lab speaks plain HTTP on
//! loopback and a browser would not send it back; beyond loopback, use a proxy with TLS.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use tokio::time::Instant;

use super::host::Host;

const SESSIONS_MAX: usize = 1_024;
pub(super) const SESSION_S: u64 = 12 * 60 * 60;
const ID_BYTES: usize = 32;
/// The cookie's name, to which the port is appended.
const COOKIE: &str = "lab_session_";
/// The port of a `Host` without one.
const PORT_DEFAULT: u16 = 80;

#[derive(Debug, Default)]
pub(super) struct Sessions {
    expiries: HashMap<String, Instant>,
}

impl Sessions {
    /// Opens a session and returns its ID.
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

fn port(headers: &HeaderMap) -> u16 {
    Host::of(headers).and_then(|host| host.port).unwrap_or(PORT_DEFAULT)
}

/// The session ID in a request's cookies.
pub(super) fn id_in(headers: &HeaderMap) -> Option<&str> {
    let port = port(headers);
    let is_ours = |name: &str| name.strip_prefix(COOKIE).and_then(|port| port.parse().ok()) == Some(port);
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(name, value)| is_ours(name).then_some(value))
}

/// The `Set-Cookie` header for a session that a request with `headers` opens or closes.
pub(super) fn cookie(headers: &HeaderMap, id: &str, max_age_s: u64) -> [(header::HeaderName, String); 1] {
    let port = port(headers);
    let cookie = format!("{COOKIE}{port}={id}; HttpOnly; SameSite=Strict; Path=/; Max-Age={max_age_s}");
    [(header::SET_COOKIE, cookie)]
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
    fn the_cookie_of_the_addressed_port_is_found_among_others() {
        for (host, cookies, expected) in [
            ("localhost:8080", "a=b; lab_session_8080=ff; c=d", Some("ff")),
            ("localhost:8080", "lab_session_8081=aa; lab_session_8080=ff", Some("ff")),
            ("localhost:8081", "lab_session_8080=ff", None),
            ("localhost", "lab_session_80=ff", Some("ff")),
            ("localhost:80", "xlab_session_80=ff; lab_session=aa; lab_session_=bb", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            headers.insert(header::COOKIE, cookies.parse().unwrap());
            assert_eq!(id_in(&headers), expected, "{host}: {cookies}");
        }
    }
}
