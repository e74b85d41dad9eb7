//! How connections are made.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::client::tls::ClientConfig;
use crate::load::Success;

/// The version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Over TLS the newest version that both sides have; without TLS HTTP/1.1.
    Auto,
    /// HTTP/1.1 with keep-alive.
    Http1,
    /// HTTP/2, without TLS by prior knowledge.
    Http2,
}

/// How connections are made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections of HTTP/1.1 open at a time, to each origin.
    pub connections: NonZeroU32,
    /// Connections of HTTP/2 open at a time, to each origin; they share the requests.
    pub shared_connections: NonZeroU32,
    /// The version of HTTP.
    pub protocol: Protocol,
    /// Which certificates are trusted; `None` where no target uses TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// Which statuses are a success.
    pub success: Success,
}

impl Settings {
    /// HTTP/1.1 without TLS, over at most this many connections to each origin.
    #[must_use]
    pub fn plain(connections: NonZeroU32) -> Self {
        Self {
            connections,
            shared_connections: NonZeroU32::MIN,
            protocol: Protocol::Http1,
            tls: None,
            success: Success::default(),
        }
    }
}
