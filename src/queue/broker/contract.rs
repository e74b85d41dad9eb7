//! What both brokers promise: the requests, and the answers that callers branch on.

use bytes::Bytes;

use crate::{
    labelled,
    queue::{
        lane::Lane,
        name::Name,
        run::Run,
        settle::Settle,
        task::{NewTask, Spec, TaskId},
    },
};

/// The most tasks that one request enqueues.
pub const BATCH_LIMIT: usize = 500;

/// The most tasks that one request moves otherwise. Redis serves nobody else meanwhile: `lab queue bench` tells how long
/// each script takes at this limit.
pub const MOVED_LIMIT: usize = 100;

/// How much the queue holds and keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Tasks that have not ended, dead letters included.
    pub tasks: u64,
    /// Their payloads together, in bytes.
    pub bytes: u64,
    /// Different types.
    pub types: u64,
    /// Records of tasks that ended.
    pub done: u64,
    /// How long such a record is kept, in milliseconds.
    pub done_age_ms: u64,
    /// Dead letters.
    pub dead: u64,
    /// How long a dead letter is kept, in milliseconds.
    pub dead_age_ms: u64,
    /// How long an idempotency key is kept at least, in milliseconds.
    pub key_age_ms: u64,
}

impl Default for Caps {
    fn default() -> Self {
        const HOUR_MS: u64 = 3_600_000;
        Self {
            tasks: 1_000_000,
            bytes: 1 << 30,
            types: 256,
            done: 100_000,
            done_age_ms: 24 * HOUR_MS,
            dead: 100_000,
            dead_age_ms: 30 * 24 * HOUR_MS,
            key_age_ms: 24 * HOUR_MS,
        }
    }
}

/// Whether a batch is taken as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batch {
    /// All of its tasks, or none.
    Whole,
    /// Each task for itself.
    Each,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enqueued {
    /// What became of each task, in order.
    Taken(Vec<Verdict>),
    /// Nothing was taken, because of one of these verdicts ([`Batch::Whole`]).
    Refused(Vec<Verdict>),
    /// Nothing was taken: the queue holds as many tasks or bytes as it may.
    Full,
}

/// What became of one task of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the queue now.
    Queued,
    /// It was in the queue already: this enqueue was sent before.
    Known,
    /// Its key has a task, which is the same.
    Same(TaskId),
    /// Its key has a task, which is another one.
    Conflict(TaskId),
    /// The queue has as many types as it may.
    TooManyTypes,
}

/// An element of the raw list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawElement {
    /// Its length, in bytes.
    pub length: u64,
    /// Its bytes; of a long one, the first.
    pub bytes: Bytes,
}

/// What to make of an element of the raw list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The element.
    pub element: RawElement,
    /// The task that it is, or that it becomes a dead letter as.
    pub task: NewTask,
    /// Why it is no valid task, if it is none.
    pub malformed: Option<String>,
}

/// A worker process's lease: its number, and the secret that proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Raised with each registration.
    pub number: u64,
    /// Random.
    pub secret: String,
}

/// What a heartbeat is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beat {
    /// The lease has expired, and never revives.
    Expired,
    /// The lease was renewed.
    Alive {
        /// The last exchange of the epoch that was carried out.
        round: u64,
        /// How many tasks the process holds after it, as the store has it.
        held: u64,
        /// Tasks that it is to cancel.
        cancel: Vec<TaskId>,
    },
}

/// The types whose tasks a worker takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handles {
    /// All types.
    Any,
    /// These; at least one.
    Only(Vec<Name>),
}

/// One exchange of a worker with the store: what ended, and what it has room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The number of this exchange of the epoch, from 1, without a gap. An exchange whose answer was lost is sent
    /// again under its number, unchanged, and gets the answer of the first time.
    pub round: u64,
    /// Attempts that ended, at most [`MOVED_LIMIT`].
    pub settled: Vec<Settlement>,
    /// How many tasks to claim at most; no more than free slots.
    pub want: u32,
    /// Of which types.
    pub handles: Handles,
}

/// An attempt that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The task.
    pub id: TaskId,
    /// The number of the delivery: of an attempt that is not the latest, nothing is settled.
    pub delivery: u64,
    /// What to do with the task.
    pub settle: Settle,
}

/// What an exchange is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchanged {
    /// The epoch's lease has expired: nothing was done.
    Expired,
    /// A later round was carried out before: nothing was done.
    Late,
    /// It was carried out.
    Done(Traded),
}

/// What an exchange did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traded {
    /// What became of each settlement, in order.
    pub settled: Vec<Settled>,
    /// The claimed tasks.
    pub claimed: Vec<Claimed>,
    /// Tasks that were claimed and cannot be read, with the number of the delivery.
    pub unreadable: Vec<(TaskId, u64)>,
    /// When a rate that is used up allows the next start, in milliseconds from now. `None` if there is none, or if all
    /// that was wanted was claimed.
    pub next_start_in_ms: Option<u64>,
    /// A suspect waits that this process is to run alone: it claims nothing and comes back with nothing in flight.
    pub empty_yourself: bool,
}

labelled! {
    /// What became of a settlement.
    pub enum Settled {
        /// It was carried out.
        Applied = "applied",
        /// The task was to be cancelled, and that is how it ended, whatever the settlement said.
        Cancelled = "cancelled",
        /// The attempt is not the latest one, or the task is another process's: nothing was done.
        Stale = "stale",
    }
}

/// A claimed task. Claimed means started: no more are claimed than there are free slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Its name.
    pub id: TaskId,
    /// Where it waited.
    pub lane: Lane,
    /// What the handler gets.
    pub spec: Spec,
    /// The fencing token: raised with each claim.
    pub delivery: u64,
    /// How often it has failed.
    pub failures: u32,
    /// How often its process died.
    pub crashes: u32,
    /// Whether it is a suspect, which runs alone in its process.
    pub alone: bool,
    /// Since when it could have been started, in milliseconds since 1970 by the store's clock.
    pub ready_ms: u64,
    /// When it was claimed, by the same clock.
    pub started_ms: u64,
}

/// The return of an expired process's tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Whose lease expired; `None`: nobody's.
    pub epoch: Option<u64>,
    /// What the process said of itself.
    pub who: String,
    /// Tasks back in their lanes.
    pub returned: u64,
    /// Tasks that are suspects now.
    pub suspects: u64,
    /// Tasks that are dead letters now.
    pub dead: u64,
}

/// When a task whose process died becomes a suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashRule {
    /// At this many crashes.
    pub suspect_after: u32,
    /// Within this time, in milliseconds.
    pub memory_ms: u64,
}

impl Default for CrashRule {
    fn default() -> Self {
        Self { suspect_after: 2, memory_ms: 72 * 3_600_000 }
    }
}

/// Delayed tasks that were moved to their lanes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Promoted {
    /// How many.
    pub moved: u64,
    /// How long until the next is due, in milliseconds.
    pub next_in_ms: Option<u64>,
}

labelled! {
    /// What a cancellation came to.
    pub enum Cancel {
        /// There is no such task.
        Unknown = "unknown",
        /// It was waiting, and has ended.
        Cancelled = "cancelled",
        /// It is running: its worker is told with its next heartbeat.
        Stopping = "stopping",
        /// It has ended before.
        Ended = "ended",
    }
}

labelled! {
    /// What became of starting a delayed task at once.
    pub enum RunNow {
        /// There is no such task.
        Unknown = "unknown",
        /// It waits in its lane now.
        Moved = "moved",
        /// It waits in its lane already.
        Pending = "pending",
        /// It is running.
        InFlight = "in_flight",
        /// It has ended.
        Ended = "ended",
    }
}

/// A task as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Where it stands.
    pub run: Run,
    /// What its handlers get; `None` once it has ended, or if it cannot be read.
    pub spec: Option<Spec>,
    /// Its last error.
    pub error: Option<String>,
}

/// What is known under an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// The task.
    Known(Box<Known>),
    /// Nothing. Records are kept back to this time (milliseconds since 1970); `None`: none was forgotten.
    Unknown {
        /// When the oldest kept record of an ended task was written.
        oldest_ms: Option<u64>,
    },
}
