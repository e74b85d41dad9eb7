//! What the command prints on stdout, and what of it is left out.

use crate::{
    config::counted,
    output::{self, Losses, Stream, Writer},
    shutdown::Shutdown,
};

/// Where the command's text goes.
#[derive(Debug)]
pub(super) struct Printer {
    /// Only what is printed always is printed.
    quiet: bool,
    out: Writer,
}

impl Printer {
    /// Prints without holding anybody up: a worker that prints does not wait for a terminal or a pipe.
    pub(super) fn threaded(quiet: bool) -> Self {
        Self { quiet, out: Writer::start("stdout", Losses::Counted, Stream::stdout()) }
    }

    /// Prints at once.
    pub(super) fn direct(quiet: bool) -> Self {
        Self { quiet, out: Writer::direct("stdout", std::io::BufWriter::new(std::io::stdout())) }
    }

    /// One line of many; may be left out when stdout is too slow.
    pub(super) fn line(&self, line: String) {
        if !self.quiet {
            self.out.line(line);
        }
    }

    /// A text that is not left out; only who closed stdout misses it.
    pub(super) fn print(&self, text: &str) {
        if !self.quiet {
            self.print_always(text);
        }
    }

    /// The same, by a quiet printer too.
    pub(super) fn print_always(&self, text: &str) {
        // What comes before the first text of a quiet printer is nothing.
        let text = if self.quiet { text.trim_start() } else { text };
        self.out.text(text.to_owned());
    }

    /// Waits until all is written, and says on stderr what was left out.
    ///
    /// # Errors
    /// As [`Writer::finish`].
    pub(super) async fn finish(&self, shutdown: &Shutdown) -> anyhow::Result<()> {
        let finished = self.out.finish(shutdown.stopping(), shutdown.aborted()).await;
        match self.out.lost_lines() {
            0 => {}
            lost => output::to_stderr(format_args!(
                "lab: {} not printed: stdout was too slow, closed or full",
                counted(lost, "line was", "lines were")
            )),
        }
        Ok(finished?)
    }
}
