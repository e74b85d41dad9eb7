//! A text on stdout, for commands that print once.

use std::io::{ErrorKind, Write as _};

use anyhow::Context as _;

/// Prints `text` and a line's end. Who closed stdout wants no more of it, which is no failure.
///
/// # Errors
/// When stdout does not take it: a full disk, for one.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("writing to stdout"),
    }
}
