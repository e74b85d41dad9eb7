//! Stores that survive the process: Redis, which many processes share, and SQLite, which one process owns.
//!
//! ```text
//!   system ──script──> redis::Redis ──one connection──> server      (NOSCRIPT, lost replies, away: named)
//!   system ──job────> sqlite::Sqlite ──writer thread──> file        (group commit, one owner)
//! ```
//!
//! There is no common trait: a system's broker has its own requests, and makes of each one script or one
//! transaction. What both share is how they fail ([`StoreError`]) and what an accepted write survives
//! ([`Durability`]), read from the store's real settings.

pub mod redis;
pub mod sqlite;

use crate::labelled;

labelled! {
    /// What an accepted write survives.
    pub enum Durability {
        /// The end of the client only: the store keeps it in memory.
        Memory = "memory",
        /// The end of the store's process: it is in a file, which the disk may not have yet.
        Appended = "appended",
        /// A power cut: it is on the disk.
        Fsynced = "fsynced",
        /// The loss of the store's machine: a replica has it.
        Replicated = "replicated",
        /// Not known: the store's settings cannot be read.
        Unknown = "unknown",
    }
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or cannot serve now. Nothing was done; the same may be asked again.
    #[error("the store is away: {0}")]
    Away(String),
    /// The request was sent and its reply was lost. It may have been carried out.
    #[error("the store's reply was lost, so the request may have been carried out: {0}")]
    OutcomeUnknown(String),
    /// Its memory or disk is full. Nothing was done.
    #[error("the store is full: {0}")]
    Full(String),
    /// It refused in a way that asking again does not change. Nothing was done, unless a script met an error after its
    /// first write: scripts do not roll back, so they check before they write.
    #[error("the store refused: {0}")]
    Refused(String),
}

impl StoreError {
    /// What it means for a request that changes nothing: that has no outcome which could be unknown.
    #[must_use]
    pub fn of_read(self) -> Self {
        match self {
            Self::OutcomeUnknown(said) => Self::Away(said),
            error => error,
        }
    }
}
