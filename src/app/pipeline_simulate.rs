//! `lab pipeline simulate`: which policy for which load.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Ending;
use crate::{
    bounded,
    config::{Allowed, Misfit, SeedArg},
    output,
    pipeline::{
        self,
        simulate::{self, Trace},
    },
};

bounded!(
    /// How often each trace is run.
    pub Repetitions: u64 = 1 to 1000
);

/// What `lab pipeline simulate` takes.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Loads: quiet, steady, steps, daily, bursts, overload, or a CSV file with a line for each second
    /// (arrivals) or for each phase (seconds, arrivals a second); without one: all that are shipped
    #[arg(value_name = "TRACE")]
    pub traces: Vec<String>,
    /// Run each this often, from --seed on with seeds that follow each other
    #[arg(long, default_value = "10", value_name = Repetitions::ALLOWED)]
    pub repetitions: Repetitions,
    /// The figures as JSON, to a file or instead of the table
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, group = "form", help_heading = "Output")]
    pub json: Option<Option<PathBuf>>,
    /// The figures as CSV, to a file or instead of the table
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, group = "form", help_heading = "Output")]
    pub csv: Option<Option<PathBuf>>,
    /// A report with pictures, to a file or instead of the table
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, group = "form", help_heading = "Output")]
    pub html: Option<Option<PathBuf>>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub pipeline: pipeline::Config,
    #[command(flatten, next_help_heading = "Pipeline")]
    #[allow(missing_docs)]
    pub seed: SeedArg,
}

impl Args {
    /// What the values allow together.
    ///
    /// # Errors
    /// The first value that another one does not allow.
    pub fn check(&self) -> Result<(), Misfit> {
        self.pipeline.clone().settings().map(drop)
    }
}

/// Runs every policy under every trace, and prints what came of it.
///
/// # Errors
/// When a trace cannot be read, or the report not be written.
pub fn run(args: &Args) -> anyhow::Result<Ending> {
    let settings = args.pipeline.clone().settings()?;
    let traces = match &args.traces[..] {
        [] => Trace::shipped()?,
        names => names.iter().map(|name| Trace::open(name)).collect::<Result<_, _>>()?,
    };
    let repetitions = args.repetitions.get();
    let first = args.seed.get();
    let seeds = first..first.saturating_add(repetitions);
    let outcomes = traces
        .iter()
        .map(|trace| simulate::simulate(trace, &settings, seeds.clone()))
        .collect::<Result<Vec<_>, _>>()
        .context("starting a runtime in virtual time")?;
    let text = || simulate::text(&outcomes, repetitions);
    let (form, to) = match (&args.json, &args.csv, &args.html) {
        (Some(to), ..) => (serde_json::to_string_pretty(&outcomes)? + "\n", to.as_deref()),
        (_, Some(to), _) => (simulate::csv(&outcomes), to.as_deref()),
        (.., Some(to)) => (simulate::html(&outcomes, repetitions, &command(args))?, to.as_deref()),
        _ => (text(), None),
    };
    write(&form, to, text)?;
    Ok(Ending::Done)
}

/// To stdout; or to a file, and then the table to stdout.
fn write(form: &str, to: Option<&Path>, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    match to {
        None => output::print(form)?,
        Some(path) => {
            std::fs::write(path, form).with_context(|| format!("cannot write {}", path.display()))?;
            output::print(&text())?;
        }
    }
    Ok(())
}

/// The command that runs the same again.
fn command(args: &Args) -> String {
    let traces = args.traces.join(" ");
    let (repetitions, seed) = (args.repetitions, args.seed.get());
    format!("lab pipeline simulate {traces} --repetitions {repetitions} --seed {seed}").replace("  ", " ")
}
