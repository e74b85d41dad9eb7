//! The balance of the engine: what became of the events that were accepted.

use serde::Serialize;
use utoipa::ToSchema;

/// What the terms must satisfy once the log is drained.
pub const EQUATION: &str = "accepted = stored + duplicate + quarantined + late";

/// What became of the events of an entry, or of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Inserted into the raw table.
    pub stored: u64,
    /// Already there, or twice in the batch.
    pub duplicate: u64,
    /// Set aside, because the store takes them not. A discarded one stays counted here.
    pub quarantined: u64,
    /// Of an hour that was closed: added to the rollups only.
    pub late: u64,
}

impl Outcome {
    /// The number of events.
    pub const fn events(&self) -> u64 {
        let Self { stored, duplicate, quarantined, late } = *self;
        stored.saturating_add(duplicate).saturating_add(quarantined).saturating_add(late)
    }

    /// Both together.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            stored: self.stored.saturating_add(other.stored),
            duplicate: self.duplicate.saturating_add(other.duplicate),
            quarantined: self.quarantined.saturating_add(other.quarantined),
            late: self.late.saturating_add(other.late),
        }
    }

    /// After events left quarantine, which became `replayed`. `None`: there were not so many in quarantine.
    pub const fn replayed(&self, replayed: &Self) -> Option<Self> {
        match self.quarantined.checked_sub(replayed.events()) {
            Some(quarantined) => Some(Self { quarantined, ..*self }.plus(replayed)),
            None => None,
        }
    }
}

/// The terms of the balance, read at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Terms {
    /// Events that the log has taken, ever.
    pub accepted: u64,
    /// Of these: inserted into the raw table.
    pub stored: u64,
    /// Of these: already there.
    pub duplicate: u64,
    /// Of these: set aside, also if discarded since.
    pub quarantined: u64,
    /// Of these: added to the rollups only, as their hour was closed.
    pub late: u64,
    /// Of these: still in the log.
    pub in_log: u64,
}

/// The receipts are of more events than the log says it has accepted: it is not the log that they were written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("log lost: it has accepted {accepted} events, and {done} are accounted for")]
pub struct LogLost {
    /// What the log has accepted.
    pub accepted: u64,
    /// What the receipts account for.
    pub done: u64,
}

impl Terms {
    /// From what the receipts account for and what the log has accepted, which must be read in this order: then no event
    /// is accounted for that is not accepted, and the difference is in the log.
    ///
    /// # Errors
    /// More is accounted for than was accepted.
    pub const fn new(outcome: &Outcome, accepted: u64) -> Result<Self, LogLost> {
        let Outcome { stored, duplicate, quarantined, late } = *outcome;
        match accepted.checked_sub(outcome.events()) {
            Some(in_log) => Ok(Self { accepted, stored, duplicate, quarantined, late, in_log }),
            None => Err(LogLost { accepted, done: outcome.events() }),
        }
    }

    /// Whether they satisfy [`EQUATION`]: the log is drained.
    pub const fn is_balanced(&self) -> bool {
        self.in_log == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTCOME: Outcome = Outcome { stored: 5, duplicate: 3, quarantined: 2, late: 1 };

    #[test]
    fn what_is_not_accounted_for_is_in_the_log() {
        let terms = Terms::new(&OUTCOME, 15).unwrap();
        assert_eq!((terms.in_log, terms.is_balanced()), (4, false));
        assert!(Terms::new(&OUTCOME, 11).unwrap().is_balanced());
        let lost = Terms::new(&OUTCOME, 10).unwrap_err();
        assert_eq!(lost.to_string(), "log lost: it has accepted 10 events, and 11 are accounted for");
        let json = serde_json::to_value(terms).unwrap();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["accepted", "stored", "duplicate", "quarantined", "late", "in_log"]);
    }

    #[test]
    fn a_replay_moves_events_and_makes_none() {
        let replayed = Outcome { stored: 1, late: 1, ..Outcome::default() };
        let after = OUTCOME.replayed(&replayed).unwrap();
        assert_eq!(after, Outcome { stored: 6, duplicate: 3, quarantined: 0, late: 2 });
        assert_eq!(after.events(), OUTCOME.events());
        assert_eq!(after.replayed(&replayed), None);
        // What fails again is in quarantine still.
        let again = Outcome { quarantined: 2, ..Outcome::default() };
        assert_eq!(OUTCOME.replayed(&again), Some(OUTCOME));
    }
}
