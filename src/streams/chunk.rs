//! What flows: chunks, and the streams that they come from.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

/// The name of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Label {
    /// A generated one, by its number.
    Number(u32),
    /// One from outside, by its name.
    Named(Box<str>),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Named(name) => name.fmt(f),
        }
    }
}

/// Where the buffer counts what a stream has in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(pub(super) usize);

/// One stream, shared by its source and its chunks.
#[derive(Debug)]
pub(super) struct Stream {
    /// The key of its draws.
    pub(super) id: u32,
    pub(super) label: Label,
    /// Its place in the buffer's counts.
    pub(super) place: Place,
}

/// A piece of a stream on its way.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) stream: Arc<Stream>,
    /// Its number in its stream, from 0: with the stream's id the key of its draws.
    pub(super) index: u64,
    /// When it should have been emitted: latency counts from here.
    pub(super) intended: Instant,
    /// When it was emitted.
    pub(super) offered: Instant,
    pub(super) data: Bytes,
}

/// A chunk that a worker has taken.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) chunk: Chunk,
    /// Its number among all that were generated, from 0.
    pub(super) number: u64,
    /// How long it was in the buffer.
    pub(super) wait: Duration,
}
