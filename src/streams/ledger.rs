//! The balance sheet: `generated = processed + dropped + queued + in_progress`, at every instant.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{document, labelled};

document!(ChunkLedger as "lab/audit-streams/1");

labelled! {
    /// Why a chunk was dropped.
    pub enum Reason {
        /// The buffer was full (`drop-newest`).
        Full = "full",
        /// A newer chunk took its room (`drop-oldest`; `fair`, from a stream above its share).
        Evicted = "evicted",
        /// Its stream already held its share of the buffer (`fair`).
        Share = "share",
        /// The sink gave up.
        Sink = "sink",
        /// The drain was cut short by a second signal or a deadline.
        Abandoned = "abandoned",
    }
}

impl Reason {
    /// The reason for people.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Full => "the buffer was full",
            Self::Evicted => "a newer one took its place",
            Self::Share => "its stream's share was used up",
            Self::Sink => "the sink gave up",
            Self::Abandoned => "the drain was cut short",
        }
    }
}

/// Dropped chunks by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = streams::Dropped)]
pub struct Dropped {
    /// The buffer was full.
    pub full: u64,
    /// A newer chunk took the room.
    pub evicted: u64,
    /// The stream held its share.
    pub share: u64,
    /// The sink gave up.
    pub sink: u64,
    /// The drain was cut short.
    pub abandoned: u64,
}

impl Dropped {
    /// How many, whatever the reason.
    pub fn total(&self) -> u64 {
        Reason::ALL.iter().map(|reason| self.of(*reason)).sum()
    }

    /// How many for one reason.
    pub const fn of(&self, reason: Reason) -> u64 {
        match reason {
            Reason::Full => self.full,
            Reason::Evicted => self.evicted,
            Reason::Share => self.share,
            Reason::Sink => self.sink,
            Reason::Abandoned => self.abandoned,
        }
    }

    pub(super) fn add(&mut self, reason: Reason, chunks: u64) {
        *match reason {
            Reason::Full => &mut self.full,
            Reason::Evicted => &mut self.evicted,
            Reason::Share => &mut self.share,
            Reason::Sink => &mut self.sink,
            Reason::Abandoned => &mut self.abandoned,
        } += chunks;
    }
}

/// The balance sheet of the streams, in chunks. A chunk that waits for room (`block`) is not generated yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = streams::Ledger)]
pub struct ChunkLedger {
    /// Chunks that sources emitted.
    pub generated: u64,
    /// Chunks that a worker finished.
    pub processed: u64,
    /// Chunks that were dropped, whatever the reason.
    pub dropped: u64,
    /// Chunks in the buffer.
    pub queued: u64,
    /// Chunks that a worker has.
    pub in_progress: u64,
    /// The dropped ones by reason.
    pub dropped_by: Dropped,
}

impl ChunkLedger {
    /// Whether the two sides are equal, and the reasons add up.
    pub fn balances(&self) -> bool {
        self.generated == self.processed + self.dropped + self.queued + self.in_progress
            && self.dropped == self.dropped_by.total()
    }

    pub(super) fn drop_chunks(&mut self, reason: Reason, chunks: u64) {
        self.dropped += chunks;
        self.dropped_by.add(reason, chunks);
    }

    /// What several runs come to.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.generated += other.generated;
        self.processed += other.processed;
        self.queued += other.queued;
        self.in_progress += other.in_progress;
        for reason in Reason::ALL {
            self.drop_chunks(reason, other.dropped_by.of(reason));
        }
        self
    }
}
