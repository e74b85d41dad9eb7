//! The limits of one server.

use std::time::Duration;

use super::Hosts;

/// The smallest read buffer that hyper accepts, and so the smallest limit for a head.
pub(super) const HEAD_LIMIT_FLOOR_BYTES: usize = 8 * 1024;

/// The limits of one server, for every wait for a client and every buffer that a client can fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections (`LAB_MAX_CONNECTIONS`); further ones get a 503 and are closed.
    pub connections: usize,
    /// The time to receive a complete head. It also closes idle keep-alive connections.
    pub header_timeout_ms: u64,
    /// The size of a request's head, and of hyper's buffers; at least 8 KiB.
    pub head_limit_bytes: usize,
    /// The size of a request's body. axum's own extractors refuse more than 2 MiB in any case.
    pub body_limit_bytes: usize,
    /// The time to receive a complete body after the head, or each piece of a streamed body.
    pub body_timeout_ms: u64,
    /// Routes with another body limit; the first match applies.
    pub routes: Vec<RouteLimit>,
    /// Host names that are accepted in addition to those of loopback (`LAB_HOSTS`). If empty, a server on a loopback
    /// address accepts only loopback's names, and any other server accepts all.
    pub hosts: Hosts,
    /// The time in which a client must read at least a part of a response that waits for it.
    pub write_stall_timeout_ms: u64,
}

/// The body limit of some routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteLimit {
    /// The prefix of their paths.
    pub under: &'static str,
    /// Their limit.
    pub body: BodyLimit,
}

/// The limit for a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLimit {
    /// At most this many bytes, which are read before the handler runs.
    Bytes(usize),
    /// Any length: the handler reads the body and must limit what it keeps.
    Streamed,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            header_timeout_ms: 10_000,
            head_limit_bytes: 16 * 1024,
            body_limit_bytes: 64 * 1024,
            body_timeout_ms: 10_000,
            routes: Vec::new(),
            hosts: Hosts::default(),
            write_stall_timeout_ms: 10_000,
        }
    }
}

impl Limits {
    pub(super) fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    pub(super) fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    pub(super) fn write_stall_timeout(&self) -> Duration {
        Duration::from_millis(self.write_stall_timeout_ms)
    }

    /// The limit for the body of a request to `path`.
    pub(super) fn body(&self, path: &str) -> BodyLimit {
        let own = self.routes.iter().find(|route| path.starts_with(route.under));
        own.map_or(BodyLimit::Bytes(self.body_limit_bytes), |route| route.body)
    }

    /// The head limit, raised to hyper's minimum if necessary, because hyper panics below it.
    pub(super) fn head_buffer_bytes(&self) -> usize {
        self.head_limit_bytes.max(HEAD_LIMIT_FLOOR_BYTES)
    }
}
