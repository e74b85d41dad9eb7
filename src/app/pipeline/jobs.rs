//! Jobs of your own: what they are read from, run by and recorded in, and what came of them.

use std::{io, path::Path, sync::Arc};

use anyhow::Context as _;

use super::args::JobArgs;
use crate::{
    app::Usage,
    config::Misfit,
    exec::{Guard, Limits},
    output::CleanUp,
    pipeline::{Ended, Exec, Format, Intake, Journal, Ledger, Lines, Recorded, Results, Rules},
};

/// The command that the guard process is started with.
const GUARD: &str = "pipeline-guard";
/// Stands for standard output.
const STDOUT: &str = "-";

/// Everything that jobs of your own take.
pub(super) struct Jobs {
    pub(super) exec: Exec,
    pub(super) lines: Lines,
    pub(super) results: Results,
    pub(super) done: Done,
}

/// What came of jobs of your own, over all runs into the same results file.
pub(super) struct Done {
    source: String,
    failed_before: u64,
    intake: Arc<Intake>,
    _clean_up: CleanUp,
}

impl JobArgs {
    /// Whether stdout holds results and nothing else.
    pub(super) fn results_on_stdout(&self) -> bool {
        self.jobs.is_some() && self.results == Path::new(STDOUT)
    }

    /// What the values allow together.
    pub(super) fn check(&self) -> Result<(), Misfit> {
        let field = self.exec.as_ref().and_then(|template| template.fields().next());
        if let (true, Some(field)) = (self.lines, field) {
            let allowed = "with --lines no field: lines of text have none; {{name}} is a literal {name}";
            return Err(Misfit::new("--exec", format!("{{{field}}}"), allowed));
        }
        if self.resume && self.results_on_stdout() {
            return Err(Misfit::new("--results", STDOUT, "with --resume the path of a file"));
        }
        Ok(())
    }

    /// Opens what is read, starts the guard, and then opens what is written; nothing when jobs are made up.
    pub(super) fn open(&self, journal: &Journal) -> anyhow::Result<Option<Jobs>> {
        let (Some(source), Some(template)) = (&self.jobs, &self.exec) else {
            return Ok(None);
        };
        let reader = source.open().map_err(|error| refused("--jobs", source, &error))?;
        let exec = Exec {
            template: template.clone(),
            limits: Limits {
                time: self.job_timeout.get(),
                output_bytes: usize::try_from(self.output_limit_bytes.get())?,
            },
            guard: Guard::start(&[GUARD]).context("starting the guard process")?,
            stop_on_failure: self.stop_on_failure,
        };
        let clean_up = CleanUp::of(&self.results);
        let (results, recorded) = match self.results_on_stdout() {
            true => (Results::Stdout, Recorded::default()),
            false => Results::open(&self.results, self.resume)
                .map_err(|error| refused("--results", self.results.display(), &error))?,
        };
        if recorded.torn_bytes > 0 {
            let torn = recorded.torn_bytes;
            journal.line(format_args!("results: a torn last line of {torn} bytes was cut off"));
        }
        let failed_before = recorded.failed();
        let rules = Rules {
            format: if self.lines { Format::Text } else { Format::Json },
            recorded: recorded.jobs,
            retry_failed: self.retry_failed,
        };
        let lines = Lines::read(reader, rules).context("reading the jobs")?;
        let (source, intake) = (source.to_string(), lines.intake.clone());
        let done = Done { source, failed_before, intake, _clean_up: clean_up };
        Ok(Some(Jobs { exec, lines, results, done }))
    }
}

fn refused(flag: &str, value: impl std::fmt::Display, error: &io::Error) -> anyhow::Error {
    Usage(format!("{flag}={value}: {error}")).into()
}

impl Done {
    /// Jobs that failed for good, in earlier runs too.
    fn failed(&self, ledger: &Ledger) -> u64 {
        (self.failed_before + ledger.permanently_failed).saturating_sub(self.intake.tried_again())
    }

    /// Whether every job was read, succeeded and was recorded.
    pub(super) fn all_is_well(&self, ended: &Ended) -> bool {
        self.failed(&ended.ledger) == 0 && ended.collected.unrecorded == 0 && self.intake.broken().is_none()
    }

    /// What is to be told on stderr.
    pub(super) fn text(&self, ended: &Ended) -> String {
        let Ledger { succeeded, permanently_failed, .. } = ended.ledger;
        let mut text = format!(
            "jobs: {} read, {succeeded} succeeded, {permanently_failed} failed for good",
            self.intake.read()
        );
        let rest = [
            (self.intake.skipped(), "were recorded before"),
            (self.intake.tried_again(), "had failed before and were tried again"),
            (self.failed_before.saturating_sub(self.intake.tried_again()), "of those recorded had failed"),
            (self.intake.duplicates(), "were read twice"),
            (ended.collected.unrecorded, "could not be recorded"),
        ];
        for (count, what) in rest.into_iter().filter(|(count, _)| *count > 0) {
            text += &format!("; {count} {what}");
        }
        if let Some(why) = self.intake.broken() {
            text += &format!("\n--jobs={}: the rest could not be read: {why}", self.source);
        }
        text
    }

    /// What `--json` writes of it.
    pub(super) fn report(&self, ended: &Ended) -> JobsReport {
        JobsReport {
            read: self.intake.read(),
            skipped: self.intake.skipped(),
            tried_again: self.intake.tried_again(),
            duplicates: self.intake.duplicates(),
            permanently_failed: self.failed(&ended.ledger),
            unrecorded: ended.collected.unrecorded,
        }
    }
}

/// What came of jobs of one's own, over all runs into the same results file.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(super) struct JobsReport {
    /// Jobs that were read.
    read: u64,
    /// Those that were recorded before.
    skipped: u64,
    /// Those that had failed before and were tried again.
    tried_again: u64,
    /// Those that were read twice.
    duplicates: u64,
    /// Those that failed for good, in earlier runs too.
    permanently_failed: u64,
    /// Those whose result could not be recorded.
    unrecorded: u64,
}
