//! Real work: jobs from JSON lines, each executed as a command, each result kept for good.
//!
//! ```text
//!   file or stdin ──thread──> lines ──> queue ──> worker ──> command (own process group) ──> collector
//!                  skips what is recorded              timeout, capped output        append, sync, then log
//! ```
//!
//! A job is known by its line's `id` (text or number), else by the line's number and hash. A run killed at
//! any moment can be resumed: what the results file holds is not run again, a torn last line is cut off,
//! and what had run without being recorded runs again. So a job's *result* is there exactly once, and its
//! command runs at least once.
//!
//! **What ends a command.** Its own exit, its timeout, and the end of a drain that is over (deadline or
//! second signal) kill its whole process group; so does the exit of its leader, for what it left running in
//! the background. If this process itself is killed, the kernel kills each leader (`PR_SET_PDEATHSIG`) and a
//! guard process, which notices that a pipe has closed, the groups. What starts a session or a group of
//! its own (`setsid`) escapes all of this, and so does everything if the guard is killed first.

mod capture;
mod command;
mod guard;
mod lines;
mod results;

pub use command::{Output, Template};
pub use guard::{Guard, stand_guard};
pub use lines::{Intake, Line, Lines, Source};
pub use results::{Recorded, ResultsFile};

pub(super) use capture::Captured;
pub(super) use command::Attempt;
pub(super) use results::{Record, RecordedOutcome};
