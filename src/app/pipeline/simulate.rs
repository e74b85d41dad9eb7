//! `lab pipeline simulate`: compares scaling policies under traces of load.

use anyhow::Context as _;

use crate::app::{Ending, output::FormArgs};
use crate::{
    bounded,
    config::{Allowed, Misfit, SeedArg},
    document,
    pipeline::{
        self,
        simulate::{self, Trace},
    },
};

bounded!(
    /// How often to run each trace.
    pub Repetitions: u64 = 1 to 1000
);

/// The arguments of `lab pipeline simulate`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Loads: quiet, steady, steps, daily, bursts, overload, or a CSV file with one line per second
    /// (arrivals) or per phase (seconds, arrivals per second); without one, all built-in loads
    #[arg(value_name = "TRACE")]
    pub traces: Vec<String>,
    /// How often to run each, with consecutive seeds from --seed on
    #[arg(long, default_value = "10", value_name = Repetitions::ALLOWED)]
    pub repetitions: Repetitions,
    #[command(flatten)]
    output: FormArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub pipeline: pipeline::Config,
    #[command(flatten, next_help_heading = "Pipeline")]
    #[allow(missing_docs)]
    pub seed: SeedArg,
}

impl Args {
    /// Checks that the values do not conflict.
    ///
    /// # Errors
    /// The first value that conflicts with another.
    pub fn check(&self) -> Result<(), Misfit> {
        self.pipeline.clone().settings().map(drop)
    }
}

/// The result of `lab pipeline simulate`.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::app) struct Simulation {
    /// The command that repeats this simulation.
    command: String,
    /// How often each trace was run, with consecutive seeds.
    repetitions: u64,
    traces: Vec<simulate::TraceReport>,
}

document!(Simulation as "lab/pipeline-simulate/1");

/// Runs every policy under every trace, and prints the report.
///
/// # Errors
/// When a trace cannot be read, or the report cannot be written.
pub fn run(args: &Args) -> anyhow::Result<Ending> {
    let settings = args.pipeline.clone().settings()?;
    let results = args.output.open()?;
    let traces = match &args.traces[..] {
        [] => Trace::shipped()?,
        names => names.iter().map(|name| Trace::open(name)).collect::<Result<_, _>>()?,
    };
    let repetitions = args.repetitions.get();
    let first = args.seed.get();
    let seeds = first..first.saturating_add(repetitions);
    let traces = traces
        .iter()
        .map(|trace| simulate::simulate(trace, &settings, seeds.clone()))
        .collect::<Result<Vec<_>, _>>()
        .context("starting a runtime in virtual time")?;
    let simulation = Simulation { command: command(args), repetitions, traces };
    let results = results
        .json(&simulation)
        .csv(|| simulate::csv(&simulation.traces))
        .html(|| simulate::html(&simulation.traces, repetitions, &simulation.command));
    results.print(|| simulate::text(&simulation.traces, repetitions))?;
    Ok(Ending::Done)
}

/// The command that repeats this simulation.
fn command(args: &Args) -> String {
    let traces = args.traces.join(" ");
    let (repetitions, seed) = (args.repetitions, args.seed.get());
    format!("lab pipeline simulate {traces} --repetitions {repetitions} --seed {seed}").replace("  ", " ")
}
