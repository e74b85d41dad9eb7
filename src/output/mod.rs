//! Logs, journals, terminals, results: everything the process prints.
//!
//! ```text
//!   log lines, journals, panics ──> bounded queue ──> a thread for each destination ──> stderr, stdout, a file
//!   frames of a progress bar ─────────┘ └─ no room, or not written: counted, and told
//!   the result of a command that only prints ──> stdout, at once: complete, or an error
//! ```
//!
//! A reader can leave, a disk can be full, a terminal can be stopped. None of that may end a server or make it
//! wait: a [`Writer`] takes lines without waiting and cannot fail, since a thread of its own does the writing.
//! What finds no room in its queue, or cannot be written, is counted ([`lost_lines`]) and reported among the lines
//! as soon as there is room. At the end of the process the last lines get [`FLUSH_LIMIT`].
//!
//! What programs read is a [`Document`]: JSON that says what it is, and a schema of it from the same type.
//!
//! Not here: files that hold data (results, reports), which must be complete.

mod clean_up;
mod document;
mod print;
mod queue;
mod rotate;
mod stderr;
mod stream;
mod terminal;
mod writer;

pub use clean_up::CleanUp;
pub use document::{Document, Named, schema};
pub use print::{print, print_until_stopped};
pub use rotate::RotatingFile;
pub use stderr::{AtExit, start, stderr, to_stderr};
pub use stream::Stream;
pub use terminal::progress;
pub use writer::{FLUSH_LIMIT, Losses, Writer, lost_lines};
