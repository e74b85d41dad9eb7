//! A trigger: B is slower for a while, for everybody who uses this server, and then as before by itself.
//!
//! It changes no setting. What the settings say can be changed while it acts, and counts when it has ended.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{bounded, document, latency::milliseconds, time};

bounded!(
    /// Times as long as B takes.
    pub Slower: u32 = 1 to 100
);
time!(
    /// How long a trigger acts.
    pub TriggerMs = 100 ms to 5 m in milliseconds
);

/// What is asked for.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// Times as long as B takes; 1 ends a trigger that acts.
    pub slower: Slower,
    /// For how long.
    pub length_ms: TriggerMs,
}

/// What makes B slower for a while, and for how long still.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct TriggerStatus {
    /// Times as long as B takes; 1: no trigger acts.
    pub slower: u32,
    /// How long it still acts.
    pub left_ms: f64,
}

document!(TriggerStatus as "lab/trigger/1");

/// The trigger that acts, if one does.
#[derive(Debug, Default)]
pub(super) struct Acting(Mutex<Option<Arc<Until>>>);

/// How much slower, and until when.
#[derive(Debug)]
pub(super) struct Until {
    slower: u32,
    pub(super) end: Instant,
}

impl Acting {
    /// Sets the trigger, and replaces one that is active; `None` ends it.
    pub(super) fn set(&self, trigger: Trigger) -> Option<Arc<Until>> {
        let until = Until { slower: trigger.slower.get(), end: Instant::now() + trigger.length_ms.get() };
        let until = (trigger.slower.get() > 1).then(|| Arc::new(until));
        (*self.0.lock()).clone_from(&until);
        until
    }

    /// Ends `until`, unless another has taken its place.
    pub(super) fn end(&self, until: &Arc<Until>) -> bool {
        let mut acting = self.0.lock();
        let is_it = acting.as_ref().is_some_and(|acting| Arc::ptr_eq(acting, until));
        if is_it {
            *acting = None;
        }
        is_it
    }

    /// Times as long as B takes.
    pub(super) fn slower(&self) -> f64 {
        self.0.lock().as_ref().map_or(1.0, |until| f64::from(until.slower))
    }

    pub(super) fn status(&self) -> TriggerStatus {
        match self.0.lock().as_deref() {
            Some(Until { slower, end }) => {
                let left = end.saturating_duration_since(Instant::now());
                TriggerStatus { slower: *slower, left_ms: milliseconds(left) }
            }
            None => TriggerStatus { slower: 1, left_ms: 0.0 },
        }
    }
}
