//! The reliable queue: tasks that survive the death of every process, each started at least once.
//!
//! ```text
//!   POST /task ──> enqueue ──> lanes: (priority, type, group) ──claim──> worker: handler ──settle──> done
//!   raw list ──────^             ^ ^                                        │        ├─> delayed ──promote──> lanes
//!                                │ └── reap: the process's lease expired <──┘        └─> dead letters ──replay──> lanes
//! ```
//!
//! **Where it is kept** is a [`Broker`]: Redis, for many hosts, or a file that one process owns. Each move is one
//! script or one transaction.
//!
//! **Leases.** A worker process has one lease, an [`Epoch`], which its heartbeat renews. Leases expire by a clock in
//! the store that neither an outage nor a step of the machine's clock moves on. A task's delivery number is its
//! fencing token: a settlement with an older one changes nothing.
//!
//! **At least once.** A task whose process dies is started again. An effect of its handler can happen twice, unless
//! the receiver compares the token.
//!
//! **Conservation**: `enqueued = pending + in_flight + delayed + dead + done` at every moment.

mod api;
pub mod broker;
mod claim;
mod config;
mod ended;
mod handle;
mod handlers;
mod inbox;
pub mod keeper;
pub mod lane;
mod metrics;
mod moment;
mod monitor;
mod name;
mod recent;
mod routes;
pub mod run;
mod seen;
pub mod settle;
mod sheet;
mod store;
mod task;
mod tend;
mod turns;
mod worker;

pub use api::{Changed, DeadList, Queued, QueuedBatch, TaskDocument};
pub use broker::{Broker, Epoch};
pub use claim::Claim;
pub use config::{
    Config, KeptLimit, KeptMs, MaxAttempts, PayloadLimitBytes, QueueBytesLimit, StoreArgs, StorePlace,
    TaskTimeoutMs, TasksLimit,
};
pub use handle::Queue;
pub use handlers::{BackoffMs, Concurrency, LeaseMs, PrivateHost, Route, WorkerArgs};
pub use lane::{Lane, Priority, RateLimit, Rule, RuleChange, Scope};
pub use monitor::{DeadChanged, RulePart, StatsDocument};
pub use name::Name;
pub use routes::{Place, check, system};
pub use seen::{Rates, Seen};
pub use sheet::{Balanced, audited};
pub use store::CannotOpen;
pub use task::{Due, IdempotencyKey, NewTask, Spec, TaskId};
pub use tend::tend;
pub use worker::{Handler, Tally, Worker, WorkerBuilder, WorkerSettings};
