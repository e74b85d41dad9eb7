//! What one server grants its clients.

use std::time::Duration;

use super::Hosts;

/// hyper's own floor for its read buffer, and so for a head.
pub(super) const HEAD_LIMIT_FLOOR_BYTES: usize = 8 * 1024;

/// The bounds of one server; every wait for a peer and every buffer it can fill is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections (`LAB_MAX_CONNECTIONS`); one more is answered 503 and closed.
    pub connections: usize,
    /// Time for a complete head; it also closes a keep-alive connection that stays idle.
    pub header_timeout_ms: u64,
    /// Bytes of a request's head, and of hyper's buffers; never below 8 KiB.
    pub head_limit_bytes: usize,
    /// Bytes of a request's body. axum's own extractors refuse more than 2 MiB whatever this is.
    pub body_limit_bytes: usize,
    /// Time for a complete body, from the end of the head; of a streamed one, for each piece.
    pub body_timeout_ms: u64,
    /// Routes with another limit for bodies; the first that matches applies.
    pub routes: Vec<RouteLimit>,
    /// Names that are answered beside loopback's (`LAB_HOSTS`). None: where only this machine can connect loopback's
    /// alone, else all.
    pub hosts: Hosts,
    /// Time in which a client that has an answer to read must take at least some of it.
    pub write_stall_timeout_ms: u64,
}

/// The rule for the bodies of some routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteLimit {
    /// Paths that begin so.
    pub under: &'static str,
    /// What their bodies may be.
    pub body: BodyLimit,
}

/// What a request's body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLimit {
    /// At most this many bytes, read whole before the handler runs.
    Bytes(usize),
    /// Of any length: the handler reads it and bounds what it keeps.
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

    /// The rule for the body of a request to `path`.
    pub(super) fn body(&self, path: &str) -> BodyLimit {
        let own = self.routes.iter().find(|route| path.starts_with(route.under));
        own.map_or(BodyLimit::Bytes(self.body_limit_bytes), |route| route.body)
    }

    /// hyper panics below its floor, so a smaller value is raised to it.
    pub(super) fn head_buffer_bytes(&self) -> usize {
        self.head_limit_bytes.max(HEAD_LIMIT_FLOOR_BYTES)
    }
}
