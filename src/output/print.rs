//! Prints results on stdout: completely, or with an error.

use std::io::{self, ErrorKind, Write as _};

use tokio_util::sync::CancellationToken;

use super::{
    stream::Stream,
    writer::{Losses, Writer},
};

/// Prints `text` and a newline if it has none. It blocks until stdout accepts the text, so use it only in commands
/// that a signal kills. A closed pipe is not an error: its reader has read enough.
///
/// # Errors
/// When writing fails, for example because a disk is full.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", without_newline(text)).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(io::Error::new(error.kind(), format!("writing to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// As [`print()`], for commands that handle signals: see [`Writer::finish`].
///
/// # Errors
/// As [`print()`]; also when the command is stopping and nobody reads the output.
pub async fn print_until_stopped(
    text: &str,
    stopping: &CancellationToken,
    aborted: &CancellationToken,
) -> io::Result<()> {
    let stdout = Writer::start("stdout", Losses::Counted, Stream::stdout());
    stdout.text(without_newline(text).to_owned());
    stdout.finish(stopping, aborted).await
}

fn without_newline(text: &str) -> &str {
    text.strip_suffix('\n').unwrap_or(text)
}
