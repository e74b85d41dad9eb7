//! Why an HTTP exchange failed.

use std::{error::Error, io, net::IpAddr, time::Duration};

use axum::http::StatusCode;
use hyper_util::client::legacy;
use tokio_rustls::rustls;

/// Why an exchange gave no usable response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing listens at the address.
    #[error("connection refused")]
    Refused,
    /// The host's name could not be resolved.
    #[error("the name cannot be resolved: {0}")]
    NotResolved(String),
    /// The host's name has only addresses to which the client may not connect, such as this one.
    #[error("the address {0} is not public")]
    NotPublic(IpAddr),
    /// The connection could not be opened for another reason.
    #[error("no connection: {0}")]
    NotConnected(String),
    /// The TLS handshake failed, or the certificate is not trusted: rustls' reason.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The connection attempt or the whole exchange took longer than its limit.
    #[error("timed out after {0:?}")]
    TimedOut(Duration),
    /// The connection ended before a response began, or the server did not speak HTTP.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// The connection ended in the middle of the response.
    #[error("the answer broke off")]
    BrokeOff,
    /// The response body is larger than its limit.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The response has an unexpected status.
    #[error("answered {0}")]
    Status(StatusCode),
}

impl Failure {
    /// The kind of failure, without details.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Refused => "connection refused",
            Self::NotResolved(_) => "name not resolved",
            Self::NotPublic(_) => "address not public",
            Self::NotConnected(_) => "no connection",
            Self::Tls(_) => "TLS failed",
            Self::TimedOut(_) => "timed out",
            Self::NoAnswer(_) => "no answer",
            Self::BrokeOff => "the answer broke off",
            Self::TooLarge(_) => "the answer is too large",
            Self::Status(_) => "answered with a failure",
        }
    }

    /// Whether no server was reached.
    pub const fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Refused
                | Self::NotResolved(_)
                | Self::NotPublic(_)
                | Self::NotConnected(_)
                | Self::TimedOut(_)
        )
    }

    /// Classifies an error from before the response; `connect_limit` is the time limit of a connection attempt.
    pub(super) fn before_answer(error: &legacy::Error, connect_limit: Duration) -> Self {
        let mut reason = error.to_string();
        for cause in causes(error) {
            match cause.downcast_ref() {
                Some(NoAddress::NotResolved(error)) => return Self::NotResolved(error.to_string()),
                Some(NoAddress::NotPublic(ip)) => return Self::NotPublic(*ip),
                None => {}
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

/// Why a name gave no address. A type of its own, because the connector's error says so only in its text.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAddress {
    /// The lookup failed.
    #[error("{0}")]
    NotResolved(io::Error),
    /// It has only addresses that the rule forbids, such as this one.
    #[error("{0} is not public")]
    NotPublic(IpAddr),
}

/// An error and its chain of causes, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| inside(*error))
}

/// The cause of `error`. An I/O error does not return its inner error as its source.
fn inside<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}
