//! Runs commands as child processes: each in its own process group, with limits on time and output, and without
//! leaving processes behind.
//!
//! ```text
//!   template ──input──> call: command (own process group) ──> captured output, and how it ended
//!                          └ registered with the guard, which kills the group when this process ends
//! ```
//!
//! **How a command ends.** Its whole process group is killed when its leader exits (which ends what it left in the
//! background), at its time limit, and when the future that runs it is dropped. If this process itself is killed,
//! the kernel kills each leader (`PR_SET_PDEATHSIG`), and the guard process kills the groups. Two cases are not
//! covered: a process that starts its own session or group (`setsid`), and a guard that is killed first.

mod capture;
mod command;
mod guard;
mod template;

pub use capture::Captured;
pub use command::{Call, Ended, Failure, Limits, Output};
pub use guard::{Guard, die_with_this_process, stand_guard};
pub use template::Template;
