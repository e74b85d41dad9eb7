//! The user's own jobs: opens their input, command and results file, and reports how they ended.

use std::{fmt, io, path::Path, sync::Arc};

use anyhow::Context as _;

use super::args::JobArgs;
use crate::{
    app::Usage,
    config::{Misfit, counted},
    exec::{Guard, Limits},
    output::CleanUp,
    pipeline::{Exec, Format, Intake, JobLedger, Journal, Lines, PipelineEnd, Recorded, Results, Rules},
};

/// The path that means standard output.
const STDOUT: &str = "-";

/// Everything that a run of the user's own jobs needs.
pub(super) struct Jobs {
    pub(super) exec: Exec,
    pub(super) lines: Lines,
    pub(super) results: Results,
    pub(super) tally: Tally,
}

/// Counts the jobs of all runs with the same results file.
pub(super) struct Tally {
    source: String,
    failed_before: u64,
    intake: Arc<Intake>,
    can_be_resumed: bool,
    _clean_up: CleanUp,
}

impl JobArgs {
    /// Whether only results go to stdout.
    pub(super) fn results_on_stdout(&self) -> bool {
        self.jobs.is_some() && self.results == Path::new(STDOUT)
    }

    /// Checks that the values do not conflict.
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

    /// Opens the input, starts the guard, and then opens the results file; `None` if jobs are simulated.
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
            guard: Guard::start(&[Guard::COMMAND]).context("starting the guard process")?,
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
        let can_be_resumed = !self.results_on_stdout();
        let tally = Tally { source, failed_before, intake, can_be_resumed, _clean_up: clean_up };
        Ok(Some(Jobs { exec, lines, results, tally }))
    }
}

fn refused(flag: &str, value: impl std::fmt::Display, error: &io::Error) -> anyhow::Error {
    Usage(format!("{flag}={value}: {error}")).into()
}

impl Tally {
    /// The report of a run that has ended.
    pub(super) fn report(&self, ended: &PipelineEnd) -> JobsReport {
        let JobLedger { succeeded, permanently_failed, .. } = ended.statistics.ledger;
        let at_end = self.intake.at_end();
        let broken = self.intake.broken();
        let [read, skipped, duplicates, tried_again] =
            [self.intake.read(), self.intake.skipped(), self.intake.duplicates(), self.intake.tried_again()];
        let not_done = read.saturating_sub(skipped + duplicates + succeeded + permanently_failed);
        JobsReport {
            interrupted: not_done > 0 || !at_end && broken.is_none(),
            read,
            skipped,
            tried_again,
            duplicates,
            not_done,
            permanently_failed: (self.failed_before + permanently_failed).saturating_sub(tried_again),
            unrecorded: ended.collected.unrecorded,
            ended: [succeeded, permanently_failed],
            failed_before: self.failed_before.saturating_sub(tried_again),
            at_end,
            broken: broken.map(|why| format!("--jobs={}: the rest could not be read: {why}", self.source)),
            can_be_resumed: self.can_be_resumed,
        }
    }
}

/// How the user's own jobs ended, over all runs with the same results file.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(super) struct JobsReport {
    /// Whether the run was stopped before all jobs were done.
    interrupted: bool,
    /// Jobs that were read.
    read: u64,
    /// Jobs that were skipped, because an earlier run had recorded them.
    skipped: u64,
    /// Jobs that had failed in an earlier run and were tried again.
    tried_again: u64,
    /// Lines that were not run, because an earlier line had the same ID.
    duplicates: u64,
    /// Jobs that were read but not done, because the run was stopped.
    not_done: u64,
    /// Jobs that failed permanently, including those of earlier runs.
    permanently_failed: u64,
    /// Jobs whose result could not be recorded.
    unrecorded: u64,
    /// Jobs of this run that succeeded, and those that failed permanently.
    #[serde(skip)]
    ended: [u64; 2],
    /// Jobs that failed permanently in earlier runs and were not tried again.
    #[serde(skip)]
    failed_before: u64,
    /// Whether the input was read to its end.
    #[serde(skip)]
    at_end: bool,
    /// Why the input could not be read to its end.
    #[serde(skip)]
    broken: Option<String>,
    #[serde(skip)]
    can_be_resumed: bool,
}

impl JobsReport {
    /// Whether every job was read, succeeded and was recorded.
    pub(super) fn is_complete(&self) -> bool {
        !self.interrupted && self.permanently_failed == 0 && self.unrecorded == 0 && self.broken.is_none()
    }

    /// The remaining work, if the run was stopped before the end.
    pub(super) fn left(&self) -> Option<String> {
        let rest = if self.at_end || self.broken.is_some() { "" } else { ", and the rest was not read" };
        let resume = if self.can_be_resumed { "; --resume goes on" } else { "" };
        let left = counted(self.not_done, "job that was read was", "jobs that were read were");
        self.interrupted.then(|| format!("{left} not done{rest}{resume}"))
    }
}

impl fmt::Display for JobsReport {
    /// The counts, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [succeeded, failed] = self.ended;
        write!(f, "jobs: {} read, {succeeded} succeeded, {failed} failed for good", self.read)?;
        let rest = [
            (self.skipped, "job was recorded before", "jobs were recorded before"),
            (
                self.tried_again,
                "job had failed before and was tried again",
                "jobs had failed before and were tried again",
            ),
            (self.failed_before, "of those recorded had failed", "of those recorded had failed"),
            (
                self.duplicates,
                "line had the id of an earlier line and was not run",
                "lines had the id of an earlier line and were not run",
            ),
            (self.unrecorded, "result could not be recorded", "results could not be recorded"),
        ];
        for (count, one, several) in rest.into_iter().filter(|(count, ..)| *count > 0) {
            write!(f, "; {}", counted(count, one, several))?;
        }
        self.broken.iter().try_for_each(|broken| write!(f, "\n{broken}"))
    }
}
