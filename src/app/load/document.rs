//! The result document: the command, the measurement, the findings.

use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, error::Category};
use utoipa::ToSchema;

use super::lost::{self, Reasons};
use crate::config::counted;
use crate::document;
use crate::latency::Good;
use crate::load::http::Connections;
use crate::load::{Cause, Finding, Measured, PaceKind};
use crate::output::Document as _;

/// The result of `lab load`; `lab load merge` reads it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = load::Document)]
pub(in crate::app) struct Document {
    /// The version of `lab` that measured.
    version: String,
    /// The command that repeats this run; possible secrets in headers, bodies and URLs are replaced by `***`.
    pub(super) command: String,
    /// The kind of loop. Results of different kinds cannot be merged.
    #[serde(default = "missing_pace")]
    #[schema(required)]
    pub(super) pace: PaceKind,
    /// The objective in milliseconds.
    pub(super) slo_ms: u64,
    #[serde(deserialize_with = "computed")]
    summary: Summary,
    pub(super) connections: Connections,
    /// The first error message of each cause, such as the TLS error for a certificate.
    pub(super) reasons: Reasons,
    /// The result of each check.
    #[serde(deserialize_with = "computed")]
    pub(super) checks: Vec<Finding>,
    /// Warnings about the figures.
    #[serde(deserialize_with = "computed")]
    pub(super) notes: Vec<String>,
    pub(super) measured: Measured,
}

document!(Document as "lab/load/1");

/// Skips a member that is computed from the others.
fn computed<'de, D: Deserializer<'de>, T: Default>(deserializer: D) -> Result<T, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| T::default())
}

/// Stands for the pace that a result lacks, until [`Document::read`] finds it out.
const fn missing_pace() -> PaceKind {
    PaceKind::Open
}

/// The members that decide how to read a result.
#[derive(Deserialize)]
struct Header {
    schema: String,
    /// Missing in results of early versions.
    pace: Option<PaceKind>,
}

/// The most important figures, computed from the others.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
struct Summary {
    offered: u64,
    sent: u64,
    answered: u64,
    /// Successful responses, within the objective or not.
    ok: u64,
    offered_per_second: f64,
    sent_per_second: f64,
    answered_per_second: f64,
    #[serde(flatten)]
    good: Good,
    /// Whether the generator itself was late.
    fell_behind: bool,
}

/// The kind of loop that a command runs. Early versions wrote it only there.
fn pace_of(command: &str) -> PaceKind {
    let has = |flag| command.split_whitespace().any(|word| word == flag);
    match (has("--closed"), has("--paced")) {
        (true, true) => PaceKind::Paced,
        (true, false) => PaceKind::Closed,
        (false, _) => PaceKind::Open,
    }
}

impl Document {
    pub(super) fn new(
        command: String,
        pace: PaceKind,
        slo_ms: u64,
        connections: Connections,
        reasons: Reasons,
        checks: Vec<Finding>,
        measured: Measured,
    ) -> Self {
        let mut document = Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command,
            pace,
            slo_ms,
            summary: Summary::default(),
            connections,
            reasons,
            checks,
            notes: Vec::new(),
            measured,
        };
        document.compute();
        document
    }

    /// Reads a document that `--json` wrote.
    pub(super) fn read(text: &str) -> anyhow::Result<Self> {
        anyhow::ensure!(!text.trim().is_empty(), "it is empty");
        // From an object only: serde would also read a list, by position.
        anyhow::ensure!(text.trim_start().starts_with('{'), "it is not a JSON object");
        let header: serde_json::Map<String, Value> = serde_json::from_str(text).map_err(in_plain_words)?;
        let Header { schema, pace } = Header::deserialize(Value::Object(header))?;
        anyhow::ensure!(
            schema == Self::SCHEMA,
            "its schema is {schema:?}, not {:?}: another version of lab wrote it; measure again with this one",
            Self::SCHEMA
        );
        let mut document: Self = serde_json::from_str(text)?;
        document.pace = pace.unwrap_or_else(|| pace_of(&document.command));
        document.measured.series = document.measured.series.within(Duration::from_millis(document.slo_ms));
        document.compute();
        Ok(document)
    }

    fn compute(&mut self) {
        let measured = &self.measured;
        self.summary = Summary {
            offered: measured.offered(),
            sent: measured.sent(),
            answered: measured.answered(),
            offered_per_second: measured.offered_per_second(),
            sent_per_second: measured.sent_per_second(),
            answered_per_second: measured.answered_per_second(),
            ok: measured.ok().part,
            good: measured.recorder.good(measured.series.slo()).into(),
            fell_behind: measured.fell_behind().is_some(),
        };
        self.notes = notes(measured, self.connections, &self.reasons);
    }
}

/// What is wrong with the JSON of a result.
fn in_plain_words(error: serde_json::Error) -> anyhow::Error {
    match error.classify() {
        Category::Eof => anyhow::anyhow!("it ends in the middle: a part of it was cut off"),
        Category::Syntax => anyhow::anyhow!("it is not JSON: {error}"),
        Category::Data | Category::Io => error.into(),
    }
}

/// Warnings about the figures.
fn notes(measured: &Measured, connections: Connections, reasons: &Reasons) -> Vec<String> {
    let mut notes: Vec<String> = lost::nothing_good(measured, reasons).into_iter().collect();
    let mut note = |text: String| notes.push(text);
    if measured.interrupted && measured.is_without_connection() {
        note("The run ended early, because no connection could be made.".to_owned());
    } else if measured.interrupted {
        note("The run was stopped before its schedule ended.".to_owned());
    }
    if let Some(lag) = measured.fell_behind() {
        note(format!(
            "The generator fell behind its schedule: its own lag is {lag}. Latency is measured from the intended \
             start, so it includes this lag. Give the generator its own core, or use more hosts.",
        ));
    } else if let Some(lag) = measured.waited_for_connections() {
        note(format!(
            "Requests were sent after their intended start: {lag}. They waited for a connection, or in a closed \
             loop for the previous response.",
        ));
    }
    let not_sent = measured.caused(Cause::NotSent);
    if not_sent > 0 {
        let arrivals = counted(not_sent, "arrival was", "arrivals were");
        note(format!("{arrivals} not sent: too many requests were in flight (--max-in-flight)."));
    }
    let redirects: u64 = measured.statuses.range(300..400).map(|(_, count)| count).sum();
    if redirects > 0 {
        let redirects = counted(redirects, "answer was a redirect", "answers were redirects");
        note(format!("{redirects}, not followed."));
    }
    if connections.broken_idle > 0 {
        note(format!(
            "{} broken by the server between requests, for example by unexpected bytes.",
            counted(connections.broken_idle, "connection was", "connections were")
        ));
    }
    notes
}
