//! The transport: how a request reaches the server and how its answer comes back.
//!
//! The drivers do not know HTTP. They give a request's number to a [`Transport`] and read the [`Trace`] it fills, so that schedules, checks and searches run against a simulated server in virtual
//! time just as they run against a real one.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Cause;

/// Carries requests to a server.
pub trait Transport: Send + Sync + 'static {
    /// Sends request number `request` (from 0) and reads the whole answer. `trace` is filled while that happens.
    /// Dropping the future gives the request up.
    fn exchange(
        &self,
        request: u64,
        trace: &mut Trace,
    ) -> impl Future<Output = Result<Completed, Cause>> + Send;

    /// The names of several targets, each with a part of the result; empty for one target.
    fn targets(&self) -> Vec<String> {
        Vec::new()
    }

    /// Which of the [targets](Self::targets) request number `request` goes to.
    fn target_of(&self, _request: u64) -> usize {
        0
    }

    /// Waits for a moment of its own clock: Tokio's, whose timers are 1 ms coarse and round up, unless it
    /// has a finer one.
    fn wait_until(&self, at: Instant) -> impl Future<Output = ()> + Send {
        sleep_until(at)
    }
}

/// A complete response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completed {
    /// The status.
    pub status: u16,
    /// Whether the status is a success.
    pub success: bool,
    /// The length of the body.
    pub body_bytes: u64,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It waits for a connection to become free.
    #[default]
    Waiting,
    /// The addresses of the server's name are being looked up.
    Resolving,
    /// A connection is being made for it.
    Connecting,
    /// It has been sent.
    Sent,
    /// The head of the answer is here.
    Answered,
}

impl Stage {
    /// The cause when time runs out here.
    pub(super) const fn out_of_time(self) -> Cause {
        match self {
            Self::Waiting => Cause::NoConnectionInTime,
            Self::Resolving => Cause::LookupTimeout,
            Self::Connecting => Cause::ConnectTimeout,
            Self::Sent => Cause::NoAnswerInTime,
            Self::Answered => Cause::BodyNotInTime,
        }
    }
}

/// The progress of a request, with its times.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace {
    /// Which of the targets it goes to.
    pub target: usize,
    /// How far it has come.
    pub stage: Stage,
    /// How long its connection took to make, if it was made for this request.
    pub connect: Option<Duration>,
    /// When it was handed to its connection.
    pub sent: Option<Instant>,
    /// When the head of the answer had arrived.
    pub first_byte: Option<Instant>,
    /// When its last byte had arrived; without it, the exchange's own end counts.
    pub finished: Option<Instant>,
}
