//! Log lines: for people or for machines, on stderr.

use std::io::IsTerminal as _;

use opentelemetry_sdk::trace::SdkTracer;
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

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

/// The name of this program's meter and tracer, and what the targets of its spans begin with.
pub(super) const SCOPE: &str = "lab";

/// Sends log lines to stderr, without waiting for it, `RUST_LOG` deciding which (default `info`), and spans to `tracer`; no colour when
/// stderr is not a terminal or `NO_COLOR` is set. Does nothing the second time.
pub(super) fn init(format: LogFormat, tracer: Option<SdkTracer>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
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
            // Log lines are no events of the span, and spans of libraries are not ours.
            .with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with(SCOPE)))
    });
    // A logger that was set before stays: there is one a process.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).try_init();
}
