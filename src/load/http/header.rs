//! A header of a request, and whether it reaches the server unchanged.

use std::str::FromStr;

use hyper::header::{
    ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH,
    CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN, RANGE, TE, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use hyper::http::uri::Authority;

use crate::config::{Allowed, Invalid};

/// What `Host` may be.
pub(super) const HOST_ALLOWED: &str = "a host, with a port where it needs one, is expected";

/// One header line of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header(pub(super) HeaderName, pub(super) HeaderValue);

/// A header that would be changed or left out before it is sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {why}")]
pub struct Misfit {
    name: HeaderName,
    why: String,
}

impl Allowed for Header {
    const ALLOWED: &'static str = "NAME: VALUE, a header";
}

impl FromStr for Header {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let read = || {
            let (name, value) = text.split_once(':')?;
            Some(Self(name.trim().parse().ok()?, value.trim().parse().ok()?))
        };
        read().ok_or_else(|| Invalid::new(text, Self::ALLOWED))
    }
}

impl Header {
    /// A header.
    #[must_use]
    pub const fn new(name: HeaderName, value: HeaderValue) -> Self {
        Self(name, value)
    }

    /// Whether its value may be a secret: it may, except in headers that never contain one.
    #[must_use]
    pub fn may_be_secret(&self) -> bool {
        const HARMLESS: [HeaderName; 13] = [
            ACCEPT,
            ACCEPT_CHARSET,
            ACCEPT_ENCODING,
            ACCEPT_LANGUAGE,
            CACHE_CONTROL,
            CONNECTION,
            CONTENT_LENGTH,
            CONTENT_TYPE,
            HOST,
            ORIGIN,
            RANGE,
            TE,
            USER_AGENT,
        ];
        !HARMLESS.contains(&self.0)
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &HeaderName {
        &self.0
    }

    pub(super) fn misfit(&self, why: impl Into<String>) -> Misfit {
        Misfit { name: self.0.clone(), why: why.into() }
    }

    /// The authority that a `Host` header names.
    pub(super) fn authority(&self) -> Option<Authority> {
        let read = || Authority::try_from(self.1.as_bytes()).ok();
        (self.0 == HOST).then(read)?.filter(|authority| !authority.as_str().contains('@'))
    }

    /// Whether a request may have only one of it.
    pub(super) fn stands_once(&self) -> bool {
        [HOST, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&self.0)
    }

    /// Checks the header against the request's body and protocol: it must arrive unchanged.
    pub(super) fn check(&self, body_bytes: usize, may_be_http2: bool) -> Result<(), Misfit> {
        let Self(name, value) = self;
        let of_a_connection = [CONNECTION, TRANSFER_ENCODING, UPGRADE].contains(name)
            || ["keep-alive", "proxy-connection"].contains(&name.as_str())
            || *name == TE && value != "trailers";
        if may_be_http2 && of_a_connection {
            return Err(self.misfit("HTTP/2 has no such header (use --http1)"));
        }
        if *name == HOST && self.authority().is_none() {
            return Err(self.misfit(HOST_ALLOWED));
        }
        if *name == CONTENT_LENGTH && value.as_bytes() != body_bytes.to_string().as_bytes() {
            return Err(self.misfit(format!("the body has {body_bytes} bytes")));
        }
        if *name == TRANSFER_ENCODING
            && (body_bytes == 0 || !value.as_bytes().eq_ignore_ascii_case(b"chunked"))
        {
            return Err(self.misfit("only chunked is sent, and only with a body"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_would_not_arrive_unchanged_is_refused() {
        for (text, http2, fits) in [
            ("x-a: b", true, true),
            ("connection: close", false, true),
            ("connection: close", true, false),
            ("Keep-Alive: 5", true, false),
            ("te: trailers", true, true),
            ("te: gzip", true, false),
            ("transfer-encoding: chunked", false, true),
            ("transfer-encoding: gzip", false, false),
            ("host: h:81", true, true),
            ("host: u@h", false, false),
            ("host:", false, false),
            ("content-length: 4", true, true),
            ("content-length: 5", false, false),
        ] {
            let header: Header = text.parse().unwrap();
            assert_eq!(header.check(4, http2).is_ok(), fits, "{text} {http2}");
        }
        let chunked: Header = "transfer-encoding: chunked".parse().unwrap();
        assert!(chunked.check(0, false).is_err());
        assert!("no header".parse::<Header>().is_err() && "a b: c".parse::<Header>().is_err());
    }
}
