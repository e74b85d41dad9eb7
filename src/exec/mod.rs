//! Commands as children: a process group each, a time limit, output in bounds, and nothing left behind.
//!
//! ```text
//!   template ──input──> call: command (own process group) ──> captured output, and how it ended
//!                          └ told to the guard: killed with this process, however that ends
//! ```
//!
//! **What ends a command.** Its own exit, its time limit, and dropping the future that runs it kill its whole
//! process group; so does the exit of its leader, for what it left running in the background. If this process
//! itself is killed, the kernel kills each leader (`PR_SET_PDEATHSIG`) and a guard process, which notices that
//! a pipe has closed, the groups. What starts a session or a group of its own (`setsid`) escapes all of this,
//! and so does everything if the guard is killed first.

mod capture;
mod command;
mod guard;
mod template;

pub use capture::Captured;
pub use command::{Call, Ended, Failure, Limits, Output};
pub use guard::{Guard, stand_guard};
pub use template::Template;
