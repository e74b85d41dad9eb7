//! Why an exchange failed, by name.

use std::{error::Error, io, time::Duration};

use axum::http::StatusCode;
use hyper_util::client::legacy;
use tokio_rustls::rustls;

/// Why there is no answer, or none that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing listens there.
    #[error("connection refused")]
    Refused,
    /// The host's name has no address.
    #[error("the name cannot be resolved: {0}")]
    NotResolved(String),
    /// There is no way to the server, or no connection to be had.
    #[error("no connection: {0}")]
    NotConnected(String),
    /// TLS could not be agreed on, or the certificate is not trusted: rustls' reason.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The whole took longer than its bound.
    #[error("timed out after {0:?}")]
    TimedOut(Duration),
    /// The connection ended before an answer began, or what came is not HTTP.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// The answer began and did not end.
    #[error("the answer broke off")]
    BrokeOff,
    /// The answer has more bytes than its bound.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// There is an answer, with another status than was wanted.
    #[error("answered {0}")]
    Status(StatusCode),
}

impl Failure {
    /// The same without its details: one of a few words.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Refused => "connection refused",
            Self::NotResolved(_) => "name not resolved",
            Self::NotConnected(_) => "no connection",
            Self::Tls(_) => "TLS failed",
            Self::TimedOut(_) => "timed out",
            Self::NoAnswer(_) => "no answer",
            Self::BrokeOff => "the answer broke off",
            Self::TooLarge(_) => "the answer is too large",
            Self::Status(_) => "answered with a failure",
        }
    }

    /// Whether nothing was heard from a server.
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Refused | Self::NotResolved(_) | Self::NotConnected(_) | Self::TimedOut(_))
    }

    /// Why no answer began; a connection attempt takes at most `connect_limit`.
    pub(super) fn before_answer(error: &legacy::Error, connect_limit: Duration) -> Self {
        let mut reason = error.to_string();
        for cause in causes(error) {
            if let Some(NotResolved(error)) = cause.downcast_ref() {
                return Self::NotResolved(error.to_string());
            }
            if let Some(error) = cause.downcast_ref::<rustls::Error>() {
                return Self::Tls(error.to_string());
            }
            if error.is_connect() {
                match cause.downcast_ref().map(io::Error::kind) {
                    Some(io::ErrorKind::ConnectionRefused) => return Self::Refused,
                    Some(io::ErrorKind::TimedOut) => return Self::TimedOut(connect_limit),
                    _ => {}
                }
            }
            reason = cause.to_string();
        }
        if error.is_connect() { Self::NotConnected(reason) } else { Self::NoAnswer(reason) }
    }
}

/// A name without an address. The connector's own error says so in its text only.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotResolved(pub(super) io::Error);

/// An error and all that it holds, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| inside(*error))
}

/// What `error` holds. An I/O error does not show it as its source.
fn inside<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}
