//! The second check of the audit: each task is where its record says and nowhere else, and each count is what there is.

use serde::Serialize;
use utoipa::ToSchema;

use crate::choice;

/// Findings that are named; further ones are only counted.
const NAMED_LIMIT: usize = 1_000;

choice! {
    /// What is wrong.
    pub enum Wrong {
        /// A task is not where its record says.
        Missing = "missing",
        /// A task is in a second place.
        Doubled = "doubled",
        /// A place names a task that has no record.
        Orphaned = "orphaned",
        /// A task has no payload.
        NoPayload = "no_payload",
        /// A task is held under a lease that does not exist.
        NoLease = "no_lease",
        /// A record cannot be read.
        Unreadable = "unreadable",
        /// A key of the queue holds what another program put there.
        Foreign = "foreign",
        /// A lane in which nothing waits is listed.
        EmptyLane = "empty_lane",
        /// A lane in which something waits is not listed.
        UnlistedLane = "unlisted_lane",
        /// A lane that may be claimed is not claimed from.
        UnclaimedLane = "unclaimed_lane",
        /// A lane that may not be claimed is claimed from.
        ClosedLane = "closed_lane",
        /// A count is not what there is.
        Count = "count",
        /// What a type or group counts as in flight is not what is in flight.
        Limit = "limit",
        /// Two structures that must be of one size are not.
        Size = "size",
        /// A lease ends later than any lease may.
        Lease = "lease",
        /// The file is damaged.
        File = "file",
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AuditFinding)]
pub struct Finding {
    /// What.
    pub wrong: Wrong,
    /// With what: a task, a lane, a scope, or the name of a count.
    pub of: String,
    /// Where, or how much it is.
    pub at: String,
    /// What was done about it; empty: nothing.
    pub mended: String,
}

/// What the second check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AuditScan)]
pub struct Scan {
    /// Records that were looked at.
    pub records: u64,
    /// What is wrong, the first thousand.
    pub findings: Vec<Finding>,
    /// How many findings there are, those that are not named included.
    pub found: u64,
    /// What was not looked at, and why.
    pub left_out: Vec<String>,
}

impl Scan {
    pub(super) fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            self.found += 1;
            if self.findings.len() < NAMED_LIMIT {
                self.findings.push(finding);
            }
        }
    }
}
