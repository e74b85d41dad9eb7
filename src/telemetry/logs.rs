//! Log lines on stderr, as text or JSON.

use std::io::IsTerminal as _;

use opentelemetry_sdk::trace::SdkTracer;
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::{choice, config::Misfit, output};

choice! {
    /// The format of log lines.
    pub enum LogFormat {
        /// Text for people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}

/// The name of this program's meter and tracer, and the prefix of its spans' targets.
pub(super) const SCOPE: &str = "lab";

/// The filter in `RUST_LOG`, or `info` if it is not set.
fn log_filter() -> Result<EnvFilter, Misfit> {
    let text = std::env::var_os("RUST_LOG").unwrap_or_default();
    let text = text.to_string_lossy();
    if text.is_empty() {
        return Ok(EnvFilter::new("info"));
    }
    EnvFilter::builder().parse(&*text).map_err(|_| {
        Misfit::new(
            "RUST_LOG",
            text,
            "a level (error, warn, info, debug, trace or off), or TARGET=LEVEL, with commas between",
        )
    })
}

/// Checks the filter in `RUST_LOG`.
///
/// # Errors
/// When it is not a filter.
pub fn check_log_filter() -> Result<(), Misfit> {
    log_filter().map(drop)
}

/// Sends log lines to stderr without blocking, and spans to `tracer`. `RUST_LOG` filters the lines (default `info`).
/// Lines have no colour if stderr is not a terminal or `NO_COLOR` is set. Only the first call has an effect.
pub(super) fn init(format: LogFormat, tracer: Option<SdkTracer>) {
    let filter = log_filter().unwrap_or_else(|_| EnvFilter::new("info"));
    let colour =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt::layer().with_writer(output::stderr).with_ansi(colour);
    let lines = match format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let spans = tracer.map(|tracer| {
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            // Export only this program's spans: no log lines as span events, and no spans of libraries.
            .with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with(SCOPE)))
    });
    // Fails if a logger is already set: a process has only one.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).try_init();
}
