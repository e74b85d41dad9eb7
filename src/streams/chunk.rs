//! What flows: chunks, and the streams that they come from.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicUsize},
    },
};

use bytes::Bytes;
use tokio::{sync::Notify, time::Instant};

/// What people call a stream.
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

/// How a stream's wait for room stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Wait {
    /// There is none, or the last one ended with a place.
    None,
    /// Its chunk stands in line.
    InLine,
    /// The buffer closed before there was a place.
    SentHome,
}

/// One stream, shared by its source and its chunks.
#[derive(Debug)]
pub(super) struct Stream {
    /// The key of its draws.
    pub(super) id: u32,
    pub(super) label: Label,
    /// Chunks of it in the buffer; changed under the buffer's lock only.
    pub(super) held: AtomicUsize,
    /// Its source has ended; changed under the buffer's lock only.
    pub(super) left: AtomicBool,
    /// Whether a chunk of it waits for room (`block`), a [`Wait`]; changed under the buffer's lock only.
    pub(super) wait: AtomicU8,
    /// Woken when that wait is over.
    pub(super) waited: Notify,
}

impl Stream {
    pub(super) fn new(id: u32, label: Label) -> Arc<Self> {
        Arc::new(Self {
            id,
            label,
            held: AtomicUsize::new(0),
            left: AtomicBool::new(false),
            wait: AtomicU8::new(Wait::None as u8),
            waited: Notify::new(),
        })
    }
}

/// A piece of a stream on its way.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) stream: Arc<Stream>,
    /// Its number in its stream, from 0: with the stream's id the key of its draws.
    pub(super) index: u64,
    /// When it should have been emitted: latency counts from here.
    pub(super) intended: Instant,
    /// When it was.
    pub(super) offered: Instant,
    pub(super) data: Bytes,
}

/// A chunk that a worker has taken.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) chunk: Chunk,
    /// Its number among all that were generated, from 0.
    pub(super) number: u64,
    /// When it entered the buffer.
    pub(super) queued: Instant,
}
