//! Results on stdout: complete, or an error.

use std::io::{self, ErrorKind, Write as _};

use tokio_util::sync::CancellationToken;

use super::{
    stream::Stream,
    writer::{Losses, Writer},
};

/// Prints `text`, and a line's end where it has none, for a command that any signal ends: waits for its reader.
/// A closed stdout is no failure: its reader wants no more.
///
/// # Errors
/// When stdout does not take it: a full disk, for one.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", without_end(text)).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(io::Error::new(error.kind(), format!("writing to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// The same for a command that signals stop, not end: see [`Writer::finish`].
///
/// # Errors
/// As [`print()`]; and when nobody reads it and the command was stopped.
pub async fn print_until_stopped(
    text: &str,
    stopping: &CancellationToken,
    aborted: &CancellationToken,
) -> io::Result<()> {
    let stdout = Writer::start("stdout", Losses::Counted, Stream::stdout());
    stdout.text(without_end(text).to_owned());
    stdout.finish(stopping, aborted).await
}

fn without_end(text: &str) -> &str {
    text.strip_suffix('\n').unwrap_or(text)
}
