//! The part of a measurement that belongs to one target of several.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Cause, Completed};
use crate::latency::{Recorder, Sample};

/// Limit of different statuses that are counted: all that HTTP has.
const STATUSES_LIMIT: usize = 900;

/// One target's part of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Part {
    /// The target as it was asked for.
    pub target: String,
    /// Latency from the intended start, from the send, by outcome.
    pub recorder: Recorder,
    /// Whole answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without a whole answer, by cause; those that are 0 are left out.
    pub causes: BTreeMap<String, u64>,
}

impl Part {
    pub(super) fn of(target: String) -> Self {
        Self { target, ..Self::default() }
    }

    pub(super) fn record(&mut self, sample: Sample, result: Option<Result<Completed, Cause>>) {
        self.recorder.record(sample);
        tally(&mut self.statuses, &mut self.causes, result);
    }

    /// Adds what another host measured of the same target.
    pub(super) fn merge(&mut self, other: &Self) {
        self.recorder.merge(&other.recorder);
        add(&mut self.statuses, &other.statuses);
        add(&mut self.causes, &other.causes);
    }
}

/// Counts an answer under its status, or the cause that there is none.
pub(super) fn tally(
    statuses: &mut BTreeMap<u16, u64>,
    causes: &mut BTreeMap<String, u64>,
    result: Option<Result<Completed, Cause>>,
) {
    match result {
        Some(Ok(Completed { status, .. }))
            if statuses.len() < STATUSES_LIMIT || statuses.contains_key(&status) =>
        {
            *statuses.entry(status).or_insert(0) += 1;
        }
        Some(Err(cause)) => match causes.get_mut(cause.label()) {
            Some(count) => *count += 1,
            None => drop(causes.insert(cause.label().to_owned(), 1)),
        },
        Some(Ok(_)) | None => {}
    }
}

/// Adds the counts of `other`.
pub(super) fn add<K: Ord + Clone>(counts: &mut BTreeMap<K, u64>, other: &BTreeMap<K, u64>) {
    for (key, count) in other {
        *counts.entry(key.clone()).or_insert(0) += count;
    }
}
