//! Prints on stdout, and counts the lines that were left out.

use crate::{
    config::counted,
    output::{self, Losses, Stream, Writer},
    shutdown::Shutdown,
};

/// Prints the command's text on stdout.
#[derive(Debug)]
pub(super) struct Printer {
    /// Whether only [`print_always`](Self::print_always) prints.
    quiet: bool,
    out: Writer,
}

impl Printer {
    /// A printer that never blocks, so that workers do not wait for a terminal or a pipe.
    pub(super) fn threaded(quiet: bool) -> Self {
        Self { quiet, out: Writer::start("stdout", Losses::Counted, Stream::stdout()) }
    }

    /// A printer that writes in the calling thread.
    pub(super) fn direct(quiet: bool) -> Self {
        Self { quiet, out: Writer::direct("stdout", std::io::BufWriter::new(std::io::stdout())) }
    }

    /// Prints a line, which may be left out if stdout is too slow.
    pub(super) fn line(&self, line: String) {
        if !self.quiet {
            self.out.line(line);
        }
    }

    /// Prints a text that is not left out unless stdout is closed.
    pub(super) fn print(&self, text: &str) {
        if !self.quiet {
            self.print_always(text);
        }
    }

    /// As [`print`](Self::print), also if the printer is quiet.
    pub(super) fn print_always(&self, text: &str) {
        // A quiet printer prints nothing before this text, so it needs no empty line.
        let text = if self.quiet { text.trim_start() } else { text };
        self.out.text(text.to_owned());
    }

    /// Waits until everything is written, and prints on stderr how many lines were left out.
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
