//! Standard error: log lines, messages to the user, and panics.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fmt,
    panic::PanicHookInfo,
    sync::OnceLock,
};

use rustix::process::Signal;

use super::{
    stream::Stream,
    writer::{FLUSH_LIMIT, Losses, STDERR, Writer},
};

static WRITER: OnceLock<Writer> = OnceLock::new();

/// The one writer to stderr.
pub fn stderr() -> &'static Writer {
    WRITER.get_or_init(|| Writer::start(STDERR, Losses::InPlace, Stream::stderr()))
}

/// Writes a line to stderr without blocking.
pub fn to_stderr(line: impl fmt::Display) {
    stderr().text(line.to_string());
}

/// Sends panic messages through the writer, and makes exceeding a file size limit an error of the write instead of
/// a fatal signal. Call it first in `main`, and drop the result last: the drop writes the last lines.
#[must_use]
pub fn start() -> AtExit {
    std::panic::set_hook(Box::new(|panic| to_stderr(report(panic))));
    // A handler and not SIG_IGN, because child processes would inherit SIG_IGN.
    // SAFETY: the handler does nothing.
    #[allow(unsafe_code)]
    let handled = unsafe { signal_hook_registry::register(Signal::XFSZ.as_raw(), || ()) };
    if let Err(error) = handled {
        to_stderr(format_args!("lab: a file's size limit will end this process: {error}"));
    }
    AtExit(stderr())
}

/// On drop, waits until the last lines on stderr are written, up to [`FLUSH_LIMIT`].
#[derive(Debug)]
pub struct AtExit(&'static Writer);

impl Drop for AtExit {
    fn drop(&mut self) {
        self.0.flush(FLUSH_LIMIT);
    }
}

/// The message that std prints for a panic.
fn report(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let backtrace = Backtrace::capture();
    let traced = match backtrace.status() {
        BacktraceStatus::Captured => format!("stack backtrace:\n{backtrace}"),
        _ => "note: RUST_BACKTRACE=1 in the environment shows a backtrace".to_owned(),
    };
    format!("thread '{}' {panic}\n{traced}", thread.name().unwrap_or("<unnamed>"))
}
