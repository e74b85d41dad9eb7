//! Jobs of one's own: what they are read from, run by and recorded in, and what came of them.

use std::sync::Arc;

use anyhow::Context as _;

use super::args::JobArgs;
use crate::{
    exec::{Guard, Limits},
    output::CleanUp,
    pipeline::{Exec, Intake, Journal, Ledger, Lines, Recorded, ResultsFile},
};

/// The command that the guard process is started with.
const GUARD: &str = "pipeline-guard";

/// Everything that jobs of one's own take.
pub(super) struct Jobs {
    pub(super) exec: Exec,
    pub(super) lines: Lines,
    pub(super) results: ResultsFile,
    pub(super) done: Done,
}

/// What came of jobs of one's own, over all runs into the same results file.
pub(super) struct Done {
    before: Recorded,
    intake: Arc<Intake>,
    /// Jobs that ended but could not be recorded.
    pub(super) unrecorded: u64,
    _clean_up: CleanUp,
}

impl JobArgs {
    /// Opens what is read, starts the guard, and then opens what is written; nothing when jobs are made up.
    pub(super) fn open(&self, journal: &Journal) -> anyhow::Result<Option<Jobs>> {
        let (Some(source), Some(template)) = (&self.jobs, &self.exec) else {
            return Ok(None);
        };
        let reader = source.open().with_context(|| format!("--jobs={source}"))?;
        let exec = Exec {
            template: template.clone(),
            limits: Limits {
                time: self.job_timeout.get(),
                output_bytes: usize::try_from(self.output_limit_bytes.get())?,
            },
            guard: Guard::start(&[GUARD]).context("starting the guard process")?,
        };
        let path = &self.results;
        let clean_up = CleanUp::of(path);
        let (results, mut before) =
            ResultsFile::open(path, self.resume).with_context(|| format!("--results={}", path.display()))?;
        if before.torn_bytes > 0 {
            let torn = before.torn_bytes;
            journal.line(format_args!("results: a torn last line of {torn} bytes was cut off"));
        }
        let recorded = std::mem::take(&mut before.jobs);
        let lines = Lines::read(reader, recorded).context("reading the jobs")?;
        let done = Done { before, intake: lines.intake.clone(), unrecorded: 0, _clean_up: clean_up };
        Ok(Some(Jobs { exec, lines, results, done }))
    }
}

impl Done {
    /// Jobs that failed for good, in earlier runs too.
    pub(super) fn failed(&self, ledger: &Ledger) -> u64 {
        self.before.failed + ledger.permanently_failed
    }

    pub(super) fn text(&self, ledger: &Ledger) -> String {
        let mut text = format!(
            "jobs: {} read, {} succeeded, {} failed for good",
            self.intake.read(),
            ledger.succeeded,
            ledger.permanently_failed
        );
        let rest = [
            (self.intake.skipped(), "were recorded before"),
            (self.before.failed, "of those recorded had failed"),
            (self.intake.duplicates(), "were read twice"),
            (self.unrecorded, "could not be recorded"),
        ];
        for (count, what) in rest.into_iter().filter(|(count, _)| *count > 0) {
            text += &format!("; {count} {what}");
        }
        text
    }

    pub(super) fn json(&self, ledger: &Ledger) -> serde_json::Value {
        serde_json::json!({
            "read": self.intake.read(),
            "skipped": self.intake.skipped(),
            "duplicates": self.intake.duplicates(),
            "failed": self.failed(ledger),
            "unrecorded": self.unrecorded,
        })
    }
}
