//! The cause of an error, and whether the request may be sent again.

use std::error::Error;
use std::io;

use h2::Reason;
use hyper::client::conn::TrySendError;
use tokio_rustls::rustls;

use crate::load::Cause;

/// Why a connection was not made.
pub(super) fn of_connect(error: &io::Error) -> Cause {
    // Not among the named kinds: too many open files, in this process or on this machine.
    const DESCRIPTORS: [i32; 2] = [23, 24];
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Cause::ConnectionRefused,
        io::ErrorKind::TimedOut => Cause::ConnectTimeout,
        io::ErrorKind::AddrNotAvailable => Cause::OutOfSockets,
        _ if error.raw_os_error().is_some_and(|code| DESCRIPTORS.contains(&code)) => Cause::OutOfSockets,
        _ => Cause::ConnectFailed,
    }
}

/// Why encryption was not agreed on.
pub(super) fn of_tls(error: &io::Error) -> Cause {
    if is_gone(error.kind()) { Cause::Handshake } else { Cause::Tls }
}

/// Why no answer began.
pub(super) fn of_answer(error: &hyper::Error) -> Cause {
    if error.is_parse_too_large() {
        Cause::HeadTooLarge
    } else if error.is_parse() {
        Cause::NotHttp
    } else {
        of_either(error, Cause::ClosedBeforeAnswer)
    }
}

/// Why a body did not end.
pub(super) fn of_body(error: &hyper::Error) -> Cause {
    if error.is_parse() { Cause::NotHttp } else { of_either(error, Cause::BodyCutShort) }
}

fn of_either(error: &hyper::Error, closed: Cause) -> Cause {
    if inside::<rustls::Error>(error).is_some() {
        Cause::Tls
    } else if let Some(reason) = inside::<h2::Error>(error).and_then(h2::Error::reason) {
        of_reason(reason)
    } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        closed
    } else {
        let io = inside::<io::Error>(error).or_else(|| inside::<h2::Error>(error)?.get_io());
        match io.map(io::Error::kind) {
            Some(kind) if is_gone(kind) => closed,
            Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => Cause::NotHttp,
            _ => Cause::Broken,
        }
    }
}

const fn of_reason(reason: Reason) -> Cause {
    match reason {
        Reason::NO_ERROR => Cause::Http2NoError,
        Reason::PROTOCOL_ERROR => Cause::Http2Protocol,
        Reason::INTERNAL_ERROR => Cause::Http2Internal,
        Reason::FLOW_CONTROL_ERROR => Cause::Http2FlowControl,
        Reason::SETTINGS_TIMEOUT => Cause::Http2SettingsTimeout,
        Reason::STREAM_CLOSED => Cause::Http2StreamClosed,
        Reason::FRAME_SIZE_ERROR => Cause::Http2FrameSize,
        Reason::REFUSED_STREAM => Cause::Http2Refused,
        Reason::CANCEL => Cause::Http2Cancel,
        Reason::COMPRESSION_ERROR => Cause::Http2Compression,
        Reason::CONNECT_ERROR => Cause::Http2Connect,
        Reason::ENHANCE_YOUR_CALM => Cause::Http2EnhanceYourCalm,
        Reason::INADEQUATE_SECURITY => Cause::Http2InadequateSecurity,
        Reason::HTTP_1_1_REQUIRED => Cause::Http2Http11Required,
        _ => Cause::Http2Unknown,
    }
}

/// Why a request was not processed, so that it may be sent again whatever its method (RFC 9113, 8.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotProcessed {
    /// The connection closed before the request was written.
    NotSent,
    /// The server ends the connection with GOAWAY, and processes none from this request on.
    GoAway,
    /// The server refused this one request; the connection is good.
    StreamRefused,
}

/// Whether the server ends the connection, and says so.
pub(super) fn is_go_away(error: &hyper::Error) -> bool {
    inside::<h2::Error>(error).is_some_and(|told| told.is_remote() && told.is_go_away())
}

/// Whether the server has not processed the request that ended so.
pub(super) fn not_processed<T>(error: &mut TrySendError<T>) -> Option<NotProcessed> {
    if error.take_message().is_some() {
        return Some(NotProcessed::NotSent);
    }
    let error = error.error();
    match inside::<h2::Error>(error) {
        Some(_) if is_go_away(error) => Some(NotProcessed::GoAway),
        Some(told) if told.is_remote() && told.reason() == Some(Reason::REFUSED_STREAM) => {
            Some(NotProcessed::StreamRefused)
        }
        Some(_) => None,
        // A request that waits until the server allows one more stream was not sent when the connection ends.
        None => error.is_user().then_some(NotProcessed::NotSent),
    }
}

fn is_gone(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::NotConnected
    )
}

/// The error of this type within `error`.
fn inside<E: Error + 'static>(error: &hyper::Error) -> Option<&E> {
    std::iter::successors(error.source(), |error| inner(*error)).find_map(|error| error.downcast_ref())
}

/// What `error` holds; an I/O error does not show it as its source.
pub(super) fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}
