//! Everything that the process prints: logs, journals, progress bars, results.
//!
//! ```text
//!   log lines, journals, panics ──> bounded queue ──> a thread for each destination ──> stderr, stdout, a file
//!   frames of a progress bar ─────────┘ └─ queue full or write failed: counted, and reported
//!   the result of a command that only prints ──> stdout, directly: complete, or an error
//! ```
//!
//! A pipe's reader can exit, a disk can be full, a terminal can be stopped. None of these may end or block a server.
//! So [`Writer`] accepts lines without blocking and without failing; its own thread writes them. Lines that do not
//! fit into the queue or cannot be written are counted ([`lost_lines`]), and a note among the lines reports them. At
//! the end of the process, the last lines have [`FLUSH_LIMIT`] to be written.
//!
//! A [`Document`] is output for programs: JSON that names its format, with a schema derived from the same type.
//!
//! Data files (results, reports) do not go through a writer, because they must be complete.

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
