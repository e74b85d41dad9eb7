//! A task as it is enqueued.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use uuid::Uuid;

use super::lane::Lane;
use crate::config::{Allowed, Invalid};

/// The name of a task: a UUID of version 7, which begins with the time at which it was made.
///
/// Whoever enqueues a task makes its id, not the store. So an enqueue whose answer was lost can be sent again: the
/// store knows the id and does not enqueue it twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(Uuid);

impl TaskId {
    /// A new id.
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// Its random part.
    pub(super) fn random(&self) -> u64 {
        self.0.as_u64_pair().1
    }

    /// When it was made, in milliseconds since 1970; `None` for a UUID of another version.
    pub fn made_ms(self) -> Option<u64> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        Some(seconds * 1_000 + u64::from(nanos / 1_000_000))
    }
}

impl Default for TaskId {
    fn default() -> Self {
        Self::new()
    }
}

impl Allowed for TaskId {
    const ALLOWED: &'static str = "the id of a task, as the response to its enqueue names it";
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for TaskId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // Only the form that it prints, so that one task has one name.
        let id = Uuid::try_parse(text).ok().map(Self).filter(|id| id.to_string() == text);
        id.ok_or_else(|| Invalid::new(text, Self::ALLOWED))
    }
}

crate::documented!(TaskId as String);

/// When a task may start at the earliest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Due {
    /// At once.
    #[default]
    Now,
    /// This long after the store took it, in milliseconds.
    InMs(u64),
    /// At this time, in milliseconds since 1970, by the store's clock.
    AtMs(u64),
}

/// A task to enqueue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// Its name.
    pub id: TaskId,
    /// Where it waits.
    pub lane: Lane,
    /// When it may start.
    pub due: Due,
    /// What its handlers get, and what they may use.
    pub spec: Spec,
    /// The key of an enqueue that may be sent again, and a fingerprint of what was sent.
    pub key: Option<IdempotencyKey>,
}

/// A key under which an enqueue may be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The client's key; of a batch, with the index of the item.
    pub key: String,
    /// A hash of what was sent with it.
    pub fingerprint: String,
}

/// What a task's handlers get and may use. It never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// How often it is started at most, counting failures only.
    pub attempts_limit: u32,
    /// How long one attempt may take, in milliseconds.
    pub timeout_ms: u64,
    /// It is not started after this time, in milliseconds since 1970; 0: whenever.
    pub deadline_ms: u64,
    /// The `traceparent` of the request that enqueued it; may be empty.
    pub trace: String,
    /// The bytes for the handler. No store reads them.
    pub payload: Bytes,
}

/// The version of the text form of a [`Spec`].
const SPEC_VERSION: &str = "1";

impl Spec {
    /// Its text form: a line of numbers, and the payload after it.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let Self { attempts_limit, timeout_ms, deadline_ms, trace, payload } = self;
        let mut bytes =
            format!("{SPEC_VERSION} {attempts_limit} {timeout_ms} {deadline_ms} {trace}\n").into_bytes();
        bytes.extend_from_slice(payload);
        bytes
    }

    /// Reads the text form; `None` for anything else.
    pub(super) fn from_bytes(bytes: &Bytes) -> Option<Self> {
        let end = bytes.iter().position(|&byte| byte == b'\n')?;
        let line = str::from_utf8(&bytes[..end]).ok()?;
        let mut parts = line.splitn(5, ' ');
        if parts.next()? != SPEC_VERSION {
            return None;
        }
        Some(Self {
            attempts_limit: parts.next()?.parse().ok()?,
            timeout_ms: parts.next()?.parse().ok()?,
            deadline_ms: parts.next()?.parse().ok()?,
            trace: parts.next()?.to_owned(),
            payload: bytes.slice(end + 1..),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_task_has_one_name() {
        let id = TaskId::new();
        assert_eq!(id.to_string().parse::<TaskId>().unwrap(), id);
        assert!(id.made_ms().is_some());
        for bad in ["", "1", &id.to_string().to_uppercase(), &id.to_string().replace('-', "")] {
            assert!(bad.parse::<TaskId>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_spec_reads_what_it_prints(
            attempts_limit in 1_u32.., timeout_ms: u64, deadline_ms: u64, trace in "[0-9a-f-]{0,55}", payload: Vec<u8>
        ) {
            let spec = Spec { attempts_limit, timeout_ms, deadline_ms, trace, payload: payload.into() };
            prop_assert_eq!(Spec::from_bytes(&spec.to_bytes().into()), Some(spec));
        }

        #[test]
        fn other_bytes_are_no_spec_and_no_panic(bytes: Vec<u8>) {
            let _ = Spec::from_bytes(&bytes.into());
        }
    }
}
