//! The default policy: one worker more at a large backlog, one fewer at a small one.
//!
//! It looks at the backlog's size only, not at its direction, and acts only outside a band; under a constant
//! load between what min and max carry, the backlog therefore swings through the whole band for ever (a limit
//! cycle), and the workers with it.

use super::{Decision, Observation};
use crate::pipeline::config::Settings;

pub(super) fn decide(settings: &Settings, seen: &Observation<'_>) -> Decision {
    let workers = seen.now.workers;
    let backlog = seen.backlog();
    Decision::plain(if backlog >= settings.grow_threshold.get() && workers < seen.max {
        workers + 1
    } else if backlog <= settings.shrink_threshold.get() && workers > seen.min {
        workers - 1
    } else {
        workers
    })
}
