//! Why a request has no complete response: each cause has a name and a count.

use crate::{labelled, latency::Outcome};

labelled! {
    /// Why a request that was offered has no whole answer.
    pub enum Cause {
        /// The generator was at its limit of requests in flight.
        NotSent = "not_sent",
        /// No connection became free within the time limit.
        NoConnectionInTime = "no_connection_in_time",
        /// The host's name has no address.
        NotResolved = "not_resolved",
        /// The lookup of the host's name did not end within the time limit.
        LookupTimeout = "lookup_timeout",
        /// The address refused the connection.
        ConnectionRefused = "connection_refused",
        /// The connection was not made within the time limit.
        ConnectTimeout = "connect_timeout",
        /// This process, or its machine, is out of descriptors or ports.
        OutOfSockets = "out_of_sockets",
        /// No connection for another reason, such as no route.
        ConnectFailed = "connect_failed",
        /// The TLS handshake failed, or the certificate is not trusted.
        Tls = "tls",
        /// Connected, but the HTTP protocol could not be started.
        Handshake = "handshake",
        /// The connection closed before an answer began.
        ClosedBeforeAnswer = "closed_before_answer",
        /// The answer is not HTTP.
        NotHttp = "not_http",
        /// The head of the answer is above the limit of bytes or lines.
        HeadTooLarge = "head_too_large",
        /// No answer had begun within the time limit.
        NoAnswerInTime = "no_answer_in_time",
        /// The connection closed before the end of the body.
        BodyCutShort = "body_cut_short",
        /// The body had not ended within the time limit.
        BodyNotInTime = "body_not_in_time",
        /// HTTP/2: the stream or the connection was ended without an error and without an answer.
        Http2NoError = "http2_no_error",
        /// HTTP/2: one side violated the protocol.
        Http2Protocol = "http2_protocol_error",
        /// HTTP/2: the server had an internal error.
        Http2Internal = "http2_internal_error",
        /// HTTP/2: a side sent more than it was allowed to.
        Http2FlowControl = "http2_flow_control_error",
        /// HTTP/2: settings were not acknowledged in time.
        Http2SettingsTimeout = "http2_settings_timeout",
        /// HTTP/2: a frame came for a stream that had ended.
        Http2StreamClosed = "http2_stream_closed",
        /// HTTP/2: a frame has a wrong size.
        Http2FrameSize = "http2_frame_size_error",
        /// HTTP/2: the server did not process the request, each time that it was sent.
        Http2Refused = "http2_refused_stream",
        /// HTTP/2: the server cancelled the stream.
        Http2Cancel = "http2_cancel",
        /// HTTP/2: compressed headers could not be read.
        Http2Compression = "http2_compression_error",
        /// HTTP/2: a tunnel broke.
        Http2Connect = "http2_connect_error",
        /// HTTP/2: the server takes this load for an attack.
        Http2EnhanceYourCalm = "http2_enhance_your_calm",
        /// HTTP/2: the encryption is too weak for the server.
        Http2InadequateSecurity = "http2_inadequate_security",
        /// HTTP/2: the server wants HTTP/1.1 for this request.
        Http2Http11Required = "http2_http_1_1_required",
        /// HTTP/2: an error code that no standard names.
        Http2Unknown = "http2_unknown_error",
        /// Anything else that broke the exchange.
        Broken = "broken",
    }
}

impl Cause {
    /// What it means, for people.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::NotSent => "not sent: at the limit of requests in flight (--max-in-flight)",
            Self::NoConnectionInTime => "no connection became free in time (--connections)",
            Self::NotResolved => "the host's name has no address",
            Self::LookupTimeout => "the lookup of the host's name did not end within the time limit",
            Self::ConnectionRefused => "connection refused: nobody listens there",
            Self::ConnectTimeout => "no connection within the time limit",
            Self::OutOfSockets => "this machine is out of descriptors or ports",
            Self::ConnectFailed => "no connection",
            Self::Tls => "TLS failed",
            Self::Handshake => "connected, but the HTTP protocol could not be started",
            Self::ClosedBeforeAnswer => "the connection closed before an answer",
            Self::NotHttp => "the answer is not HTTP",
            Self::HeadTooLarge => "the head of the answer has more than 64 KiB or 100 lines",
            Self::NoAnswerInTime => "no answer within the time limit",
            Self::BodyCutShort => "the connection closed before the end of the body",
            Self::BodyNotInTime => "the body did not end within the time limit",
            Self::Http2NoError => "HTTP/2 NO_ERROR: ended by the server without an answer",
            Self::Http2Protocol => "HTTP/2 PROTOCOL_ERROR",
            Self::Http2Internal => "HTTP/2 INTERNAL_ERROR",
            Self::Http2FlowControl => "HTTP/2 FLOW_CONTROL_ERROR",
            Self::Http2SettingsTimeout => "HTTP/2 SETTINGS_TIMEOUT",
            Self::Http2StreamClosed => "HTTP/2 STREAM_CLOSED",
            Self::Http2FrameSize => "HTTP/2 FRAME_SIZE_ERROR",
            Self::Http2Refused => "HTTP/2 REFUSED_STREAM: not processed, however often it was sent",
            Self::Http2Cancel => "HTTP/2 CANCEL",
            Self::Http2Compression => "HTTP/2 COMPRESSION_ERROR",
            Self::Http2Connect => "HTTP/2 CONNECT_ERROR",
            Self::Http2EnhanceYourCalm => {
                "HTTP/2 ENHANCE_YOUR_CALM: the server takes this load for an attack"
            }
            Self::Http2InadequateSecurity => "HTTP/2 INADEQUATE_SECURITY",
            Self::Http2Http11Required => "HTTP/2 HTTP_1_1_REQUIRED (--http1)",
            Self::Http2Unknown => "HTTP/2: an error code that no standard names",
            Self::Broken => "broken in another way",
        }
    }

    /// Whether there was no connection to send the request on.
    #[must_use]
    pub const fn is_without_connection(self) -> bool {
        matches!(
            self,
            Self::NotResolved
                | Self::LookupTimeout
                | Self::ConnectionRefused
                | Self::ConnectTimeout
                | Self::OutOfSockets
                | Self::ConnectFailed
                | Self::Tls
                | Self::Handshake
        )
    }

    /// The outcome under which it counts.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::NotSent => Outcome::NotSent,
            Self::NoConnectionInTime
            | Self::LookupTimeout
            | Self::ConnectTimeout
            | Self::NoAnswerInTime
            | Self::BodyNotInTime => Outcome::TimedOut,
            Self::ConnectionRefused | Self::Http2Refused => Outcome::Refused,
            _ => Outcome::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_listed_once_under_a_label_of_its_own() {
        for (place, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, place, "{}", cause.label());
            assert_eq!(Cause::ALL.iter().filter(|other| other.label() == cause.label()).count(), 1);
        }
    }
}
