//! Log lines: for people or for machines, on stderr.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::{choice, output};

choice! {
    /// How a log line looks.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

/// Sends log lines to stderr, without waiting for it, `RUST_LOG` deciding which (default `info`); no colour when it is not a
/// terminal or `NO_COLOR` is set. Does nothing the second time.
pub fn init_logs(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colour =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(output::stderr).with_ansi(colour);
    // A logger that was set before stays: there is one a process.
    let _ = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
