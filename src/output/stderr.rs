//! Standard error: the log's destination, lines for whoever started the process, and panics.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fmt,
    panic::PanicHookInfo,
    sync::OnceLock,
};

use super::{
    stream::Stream,
    writer::{FLUSH_LIMIT, Losses, STDERR, Writer},
};

static WRITER: OnceLock<Writer> = OnceLock::new();

/// The one writer to stderr.
pub fn stderr() -> &'static Writer {
    WRITER.get_or_init(|| Writer::start(STDERR, Losses::InPlace, Stream::stderr()))
}

/// Writes a line to stderr, without waiting.
pub fn to_stderr(line: impl fmt::Display) {
    stderr().text(line.to_string());
}

/// Lets panics be reported by the writer too, and gives what must be dropped last: it writes the last lines.
/// Call it first.
#[must_use]
pub fn start() -> AtExit {
    std::panic::set_hook(Box::new(|panic| to_stderr(report(panic))));
    AtExit(stderr())
}

/// Gives the last lines on stderr their time, when it is dropped.
#[derive(Debug)]
pub struct AtExit(&'static Writer);

impl Drop for AtExit {
    fn drop(&mut self) {
        self.0.flush(FLUSH_LIMIT);
    }
}

/// What std would say of a panic.
fn report(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let backtrace = Backtrace::capture();
    let traced = match backtrace.status() {
        BacktraceStatus::Captured => format!("stack backtrace:\n{backtrace}"),
        _ => "note: RUST_BACKTRACE=1 in the environment shows a backtrace".to_owned(),
    };
    format!("thread '{}' {panic}\n{traced}", thread.name().unwrap_or("<unnamed>"))
}
