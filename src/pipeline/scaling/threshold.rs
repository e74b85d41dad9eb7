//! The seed's policy: one worker more at a large backlog, one fewer at a small one.
//!
//! It looks at the backlog's size only, not at its direction, and acts only outside a band; under a constant
//! load between what min and max carry, the backlog therefore swings through the whole band for ever (a limit
//! cycle), and the workers with it.

use super::{Decision, Observation};

/// Where to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    /// A backlog of this size or more asks for a worker more.
    pub grow: u64,
    /// A backlog of this size or less asks for a worker fewer.
    pub shrink: u64,
}

impl Threshold {
    pub(super) fn decide(&self, seen: &Observation<'_>) -> Decision {
        let workers = seen.now.workers;
        let backlog = seen.backlog();
        Decision::plain(if backlog >= self.grow && workers < seen.max {
            workers + 1
        } else if backlog <= self.shrink && workers > seen.min {
            workers - 1
        } else {
            workers
        })
    }
}
