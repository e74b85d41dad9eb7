//! Why a request has no whole answer, each reason told apart and counted.

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
        /// Nobody listens there.
        ConnectionRefused = "connection_refused",
        /// The connection was not made within the time limit.
        ConnectTimeout = "connect_timeout",
        /// This process, or its machine, is out of descriptors or ports.
        OutOfSockets = "out_of_sockets",
        /// No connection for another reason, such as no route.
        ConnectFailed = "connect_failed",
        /// The two sides could not agree on encryption, or the certificate is not trusted.
        Tls = "tls",
        /// Connected, but the protocol could not be begun.
        Handshake = "handshake",
        /// The connection closed before an answer began.
        ClosedBeforeAnswer = "closed_before_answer",
        /// What came is no HTTP.
        NotHttp = "not_http",
        /// The head of the answer is longer, or has more lines, than is read.
        HeadTooLarge = "head_too_large",
        /// No answer had begun within the time limit.
        NoAnswerInTime = "no_answer_in_time",
        /// The connection closed within the body.
        BodyCutShort = "body_cut_short",
        /// The body had not ended within the time limit.
        BodyNotInTime = "body_not_in_time",
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
            Self::ConnectionRefused => "connection refused: nobody listens there",
            Self::ConnectTimeout => "no connection within the time limit",
            Self::OutOfSockets => "this machine is out of descriptors or ports",
            Self::ConnectFailed => "no connection",
            Self::Tls => "TLS failed: no agreement, or a certificate that is not trusted",
            Self::Handshake => "the protocol could not be begun",
            Self::ClosedBeforeAnswer => "the connection closed before an answer",
            Self::NotHttp => "what came is no HTTP",
            Self::HeadTooLarge => "the head of the answer is too large",
            Self::NoAnswerInTime => "no answer within the time limit",
            Self::BodyCutShort => "the connection closed within the body",
            Self::BodyNotInTime => "the body did not end within the time limit",
            Self::Broken => "broken in another way",
        }
    }

    /// How it counts in the second view.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::NotSent => Outcome::NotSent,
            Self::NoConnectionInTime | Self::ConnectTimeout | Self::NoAnswerInTime | Self::BodyNotInTime => {
                Outcome::TimedOut
            }
            _ => Outcome::Refused,
        }
    }
}

/// How an answer with this status counts: success is any 2xx, what a server refuses to protect itself
/// is shed, redirects are not followed.
#[must_use]
pub const fn outcome_of_status(status: u16) -> Outcome {
    match status {
        200..=299 => Outcome::Ok,
        429 | 503 => Outcome::Shed,
        504 => Outcome::Deadline,
        _ => Outcome::ServiceError,
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
