//! The body of a request: one event, an array of events, or a line for each event.
//!
//! Its content decides which, since beacons cannot set a content type: what begins with `[` is an array, what is one
//! JSON value is one event, and everything else is lines. Each event gets its own verdict, so that a bad one does not
//! sink the others. Only a body that cannot be divided into events is refused as a whole, with the place of the fault.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use serde_json::value::RawValue;

use super::event::{
    Event, Reason, Refusal, Request,
    json::{self, Kind},
};

#[cfg(test)]
mod tests;

/// The largest body, in bytes, before and after decompression.
pub const BODY_LIMIT_BYTES: usize = 1 << 20;
/// The most events of a body.
pub const EVENTS_LIMIT: usize = 1_000;

/// What becomes of an event of a batch.
pub type Verdict = Result<Event, Refusal>;

/// A body that is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is larger than [`BODY_LIMIT_BYTES`], before or after decompression.
    #[error("a body has at most 1 MiB, also after decompression")]
    TooLarge,
    /// It is said to be gzip, and is not, or is cut off.
    #[error("the body is not valid gzip")]
    InvalidGzip,
    /// There is nothing in it.
    #[error("the body is empty; an event is a JSON object")]
    Empty,
    /// It holds more than [`EVENTS_LIMIT`] events.
    #[error("a body has at most 1,000 events")]
    TooManyEvents,
    /// It is neither JSON nor lines of JSON.
    #[error("the body is not valid JSON at line {line}, column {column}")]
    InvalidJson {
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1; 0 before the first of a line.
        column: usize,
    },
}

impl Unreadable {
    /// Its name, which is part of the API and never changes.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TooLarge => "body_too_large",
            Self::InvalidGzip => "invalid_gzip",
            Self::Empty => "empty_body",
            Self::TooManyEvents => "too_many_events",
            Self::InvalidJson { .. } => "invalid_json",
        }
    }

    fn of(error: &serde_json::Error) -> Self {
        Self::InvalidJson { line: error.line(), column: error.column() }
    }
}

/// Decompresses a gzip body, of which it holds no more than the limit.
///
/// # Errors
/// [`Unreadable::TooLarge`] or [`Unreadable::InvalidGzip`].
pub fn gunzip(body: &[u8]) -> Result<Vec<u8>, Unreadable> {
    if body.len() > BODY_LIMIT_BYTES {
        return Err(Unreadable::TooLarge);
    }
    let mut plain = Vec::new();
    let mut decoder = MultiGzDecoder::new(body).take(BODY_LIMIT_BYTES as u64 + 1);
    decoder.read_to_end(&mut plain).map_err(|_| Unreadable::InvalidGzip)?;
    if plain.len() > BODY_LIMIT_BYTES { Err(Unreadable::TooLarge) } else { Ok(plain) }
}

/// The verdicts on the events of a body, in their order.
///
/// Blank lines count as no event, an empty array holds none.
///
/// # Errors
/// The body is too large, is empty, holds too many events, or cannot be divided into events.
pub fn read(body: &[u8], request: &Request) -> Result<Vec<Verdict>, Unreadable> {
    if body.len() > BODY_LIMIT_BYTES {
        return Err(Unreadable::TooLarge);
    }
    let body = body.trim_ascii();
    let events: Vec<Option<&RawValue>> = match body.first() {
        None => return Err(Unreadable::Empty),
        Some(b'[') => {
            let elements = json::elements(body, EVENTS_LIMIT).map_err(|error| Unreadable::of(&error))?;
            elements.into_iter().map(Some).collect()
        }
        Some(_) => match serde_json::from_slice(body) {
            Ok(event) => vec![Some(event)],
            Err(error) => lines(body).ok_or_else(|| Unreadable::of(&error))?,
        },
    };
    if events.len() > EVENTS_LIMIT {
        return Err(Unreadable::TooManyEvents);
    }
    let verdict = |(index, event): (usize, Option<&RawValue>)| match event {
        Some(event) => Event::read(event, index, request),
        None => Err(Refusal::of(Reason::InvalidJson, "")),
    };
    Ok(events.into_iter().enumerate().map(verdict).collect())
}

/// The JSON value of each line, at most one more than the limit. `None`: no line is an object, so these are no lines of
/// events, but for instance one event that is broken.
fn lines(body: &[u8]) -> Option<Vec<Option<&RawValue>>> {
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let values: Vec<Option<&RawValue>> =
        lines.take(EVENTS_LIMIT + 1).map(|line| serde_json::from_slice(line).ok()).collect();
    let is_object = |value: &&RawValue| json::kind(value) == Kind::Object;
    let has_objects = values.iter().flatten().any(is_object);
    has_objects.then_some(values)
}
