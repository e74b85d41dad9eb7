//! Log lines: for people or for machines, on stderr.

use std::{fmt, io::IsTerminal as _, str::FromStr};

use tracing_subscriber::EnvFilter;

use crate::{
    config::{Allowed, Invalid},
    output,
};

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Allowed for LogFormat {
    const ALLOWED: &'static str = "text or json";
}

impl FromStr for LogFormat {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.trim() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(Invalid::new(text, Self::ALLOWED)),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
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
