//! What the queue holds: counts, sizes, lanes and processes, at one moment.

use serde::Serialize;
use utoipa::ToSchema;

use super::contract::Known;
use crate::queue::{
    lane::{Lane, Rule, Scope},
    name::Name,
    task::TaskId,
};

/// The most tasks that a list shows at a time.
pub const LISTED_LIMIT: usize = 100;
/// How many bytes of a task, its payload included, a list shows.
pub(super) const PREVIEW_LIMIT_BYTES: usize = 1_024;

/// Which tasks to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Dead letters, newest first.
    Dead,
    /// Those that wait for their time, soonest first.
    Delayed,
    /// Those that the process with this epoch holds, in no order.
    HeldBy(u64),
}

/// A task of a list. The payload in its spec is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub id: TaskId,
    /// What is known of it.
    pub known: Known,
}

/// Counts and sizes of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// The store's time, in milliseconds since 1970.
    pub now_ms: u64,
    /// Elements of the raw list that are not admitted yet.
    pub inbox: u64,
    /// The counts, which are never taken back.
    pub counts: Counts,
    /// What the structures hold, counted by themselves.
    pub sizes: Sizes,
    /// Rules in force.
    pub rules: Vec<(Scope, Rule)>,
    /// Processes with a lease.
    pub processes: Vec<ProcessStats>,
}

macro_rules! counts {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $field:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
        pub struct $name {
            $($(#[$about])* pub $field: u64,)+
        }

        impl $name {
            /// All fields, with their names.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($field), self.$field)),+].into_iter()
            }

            /// The field of this name.
            pub(super) fn field(&mut self, name: &str) -> Option<&mut u64> {
                match name {
                    $(stringify!($field) => Some(&mut self.$field),)+
                    _ => None,
                }
            }
        }
    };
}

counts! {
    /// How many tasks there are in each state, and how many came to each end.
    Counts {
        /// Taken into the queue, ever.
        enqueued,
        /// Waiting in their lanes.
        pending,
        /// Claimed by workers.
        in_flight,
        /// Waiting for their time.
        delayed,
        /// Dead letters.
        dead,
        /// Ended, ever: the sum of the next four.
        done,
        /// Ended well, ever.
        succeeded,
        /// Cancelled, ever.
        cancelled,
        /// Not started before their deadline, ever.
        expired,
        /// Dead letters that were deleted or kept long enough, ever.
        discarded,
        /// Failures that were followed by another attempt, ever.
        retried,
        /// Taken back from processes whose lease expired, ever.
        reclaimed,
        /// Became dead letters, ever.
        buried,
        /// Dead letters that were started again, ever.
        replayed,
        /// Payloads of all tasks that have not ended, in bytes.
        bytes,
    }
}

counts! {
    /// The sizes of the structures, counted apart from [`Counts`].
    Sizes {
        /// Waiting for their time.
        delayed,
        /// Dead letters.
        dead,
        /// Suspects among the pending.
        suspects,
        /// Tasks with a payload: all that have not ended.
        tasks,
        /// Records of tasks, ended ones included.
        records,
        /// Records of ended tasks.
        done,
        /// Held by processes.
        held,
        /// Lanes in which something waits.
        lanes,
        /// Idempotency keys.
        keys,
    }
}

/// A process with a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessStats {
    /// The number of its epoch.
    pub epoch: u64,
    /// What it said of itself.
    pub who: String,
    /// How many tasks it holds.
    pub held: u64,
    /// The types that it handles; `None`: all, or it has not said.
    pub handles: Option<Vec<Name>>,
}

/// A lane in which something waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStats {
    /// The lane.
    pub lane: Lane,
    /// How many tasks wait.
    pub length: u64,
    /// Since when the first of them is ready, in milliseconds since 1970.
    pub since_ms: u64,
}
