//! The auto-scaling pipeline: a bounded queue, workers that come and go with the load, and an end that
//! loses nothing.
//!
//! ```text
//!   generator ──rate──> producer ──> [ bounded queue ] ──> workers ──> results ──> collector ──> journal
//!                          ^ waits when full  ^  └─ retry ────┘ │
//!                                             └── board <───────┘ backlog = queued + running + retrying
//!                                                   │ reading, every check interval
//!                                              supervisor ──policy──> one worker more, or fewer
//! ```
//!
//! **Scaling**: policies are pure functions of the observations ([`scaling`]).
//!
//! **The user's own jobs**: jobs from JSON lines ([`Lines`]), each run as a command; each result is recorded on disk
//! ([`Results`]).
//!
//! **Stop** along the data's path: producer and generator end at once, the backlog drains to zero (without a
//! deadline unless one is set), the queue closes, workers, supervisor and collector end in that order.
//!
//! **Conservation**: `created = succeeded + permanently_failed + backlog` at every moment ([`JobLedger`]).
//!
//! Everything here also runs in virtual time, where the same seed writes the same log.

mod board;
mod charts;
mod collector;
pub mod config;
mod ended;
mod engine;
mod generator;
mod job;
mod journal;
mod lines;
mod metrics;
mod page;
mod producer;
mod queue;
mod results;
pub mod scaling;
mod service;
pub mod simulate;
mod status;
mod supervisor;
pub mod virtual_time;
mod work;
mod worker;

#[cfg(test)]
mod tests;

pub use collector::Collected;
pub use config::{Config, Settings};
pub use ended::{PipelineEnd, PipelineStatistics};
pub use engine::{Load, Pipeline, Runtime};
pub use generator::{Controls, Rate};
pub use journal::Journal;
pub use lines::{Format, Intake, Line, Lines, Rules, Source};
pub use queue::JobLedger;
pub use results::{Recorded, Results};
pub use service::{Service, system};
pub use status::Status;
pub use work::Exec;
