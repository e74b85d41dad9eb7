//! A result as it is kept: what was asked, what was measured, what was found.

use serde::{Deserialize, Serialize};

use crate::load::http::Connections;
use crate::load::{Cause, Finding, Measured};

/// The form's name; another number when its meaning changes.
const SCHEMA: &str = "lab-load/1";

/// What `--json` writes and `lab load merge` reads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Document {
    schema: String,
    lab: String,
    /// The run in words that start it again; headers and bodies are left out, as they may be secret.
    pub(super) command: String,
    pub(super) slo_ms: u64,
    #[serde(default, skip_deserializing)]
    summary: Option<Summary>,
    pub(super) connections: Connections,
    #[serde(default, skip_deserializing)]
    pub(super) checks: Vec<Finding>,
    #[serde(default, skip_deserializing)]
    pub(super) notes: Vec<String>,
    pub(super) measured: Measured,
}

/// The few figures that most readers want, worked out from the rest.
#[derive(Debug, Clone, Serialize)]
struct Summary {
    offered: u64,
    sent: u64,
    answered: u64,
    offered_per_second: f64,
    sent_per_second: f64,
    answered_per_second: f64,
    good: u64,
    good_rate: Option<f64>,
    ok_rate: Option<f64>,
    fell_behind: bool,
}

impl Document {
    pub(super) fn new(
        command: String,
        slo_ms: u64,
        connections: Connections,
        checks: Vec<Finding>,
        measured: Measured,
    ) -> Self {
        let mut document = Self {
            schema: SCHEMA.to_owned(),
            lab: env!("CARGO_PKG_VERSION").to_owned(),
            command,
            slo_ms,
            summary: None,
            connections,
            checks,
            notes: Vec::new(),
            measured,
        };
        document.work_out();
        document
    }

    /// Reads what `--json` wrote.
    pub(super) fn read(text: &str) -> anyhow::Result<Self> {
        let mut document: Self = serde_json::from_str(text)?;
        anyhow::ensure!(document.schema == SCHEMA, "its schema is {:?}, not {SCHEMA:?}", document.schema);
        document.work_out();
        Ok(document)
    }

    pub(super) fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    fn work_out(&mut self) {
        let measured = &self.measured;
        let good = measured.recorder.good(measured.series.slo());
        self.summary = Some(Summary {
            offered: measured.offered(),
            sent: measured.sent(),
            answered: measured.answered(),
            offered_per_second: measured.offered_per_second(),
            sent_per_second: measured.sent_per_second(),
            answered_per_second: measured.answered_per_second(),
            good: good.part,
            good_rate: good.fraction(),
            ok_rate: measured.ok().fraction(),
            fell_behind: measured.fell_behind().is_some(),
        });
        self.notes = notes(measured, self.connections);
    }
}

/// What a reader must know before trusting the figures.
fn notes(measured: &Measured, connections: Connections) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |text: String| notes.push(text);
    if measured.interrupted {
        note("It was stopped before its schedule ended.".to_owned());
    }
    if measured.offered() == 0 {
        note("Nothing was offered.".to_owned());
    } else if measured.answered() == 0 {
        note("Nothing was answered.".to_owned());
    }
    if let Some(lag) = measured.fell_behind() {
        note(format!(
            "The generator fell behind its schedule: its own lag is {lag}. The figures still run from the \
             intended start, but they are not the server's alone; give it a core, or more hosts.",
        ));
    } else if let Some(lag) = measured.waited_for_connections() {
        note(format!(
            "Requests were sent later than they were to start: {lag}. They waited for a connection, or in a \
             closed loop for the answer before.",
        ));
    }
    let not_sent = measured.caused(Cause::NotSent);
    if not_sent > 0 {
        note(format!("{not_sent} arrivals were not sent: too many were in flight (--max-in-flight)."));
    }
    let redirects: u64 = measured.statuses.range(300..400).map(|(_, count)| count).sum();
    if redirects > 0 {
        note(format!("{redirects} answers were redirects, which are not followed."));
    }
    if connections.broken_idle > 0 {
        note(format!(
            "{} connections were broken by the server between requests, as by bytes that nobody asked for.",
            connections.broken_idle
        ));
    }
    notes
}
