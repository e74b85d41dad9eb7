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

pub mod broker;
pub mod keeper;
pub mod lane;
mod name;
pub mod run;
pub mod settle;
mod task;
mod turns;
mod worker;

pub use broker::{Broker, Epoch};
pub use lane::{Lane, Priority, RateLimit, Rule, Scope};
pub use name::Name;
pub use task::{Due, IdempotencyKey, NewTask, Spec, TaskId};
pub use worker::{Handler, Tally, Worker, WorkerBuilder, WorkerSettings};
