//! `lab load`: honest load on any HTTP server, and the two weekly questions: what rate can it take, and
//! did it get slower?

mod args;
mod csv;
mod document;
mod output;
mod run;
mod table;

use std::time::Duration;

use anyhow::Context as _;

use self::args::{RunArgs, at_least_one};
use self::document::Document;
use self::output::Forms;
pub use self::run::Usage;
use super::Ending;
use crate::load::{Live, LoadMetrics, Pace, Plan};
use crate::shutdown::Shutdown;
use crate::telemetry::{self, Telemetry};

/// What `lab load` takes.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(flatten)]
    run: RunArgs,
}

impl Args {
    /// Where telemetry goes, with the objective of this run.
    #[must_use]
    pub fn telemetry(&self) -> telemetry::Config {
        let mut config = self.run.telemetry.clone();
        if let Some(slo) = self.run.slo
            && let Ok(slo_ms) = slo.ms().try_into()
        {
            config.slo_ms = slo_ms;
        }
        config
    }
}

/// Runs, prints, judges.
///
/// # Errors
/// [`Usage`] for what is a bad argument; else when the generator cannot start or the result cannot be
/// written.
pub async fn run(args: Args, telemetry: Telemetry) -> anyhow::Result<Ending> {
    let telemetry_config = args.telemetry();
    let shutdown = Shutdown::new(None, Duration::ZERO);
    shutdown.listen_for_signals().context("listening for signals")?;
    crate::web::raise_descriptor_limit();
    let slo_ms = telemetry_config.slo_ms.get();
    let metrics = telemetry_config.endpoint.as_ref().map(|_| LoadMetrics::new(&telemetry.meter(), slo_ms));
    single(&args.run, slo_ms, metrics, &shutdown).await
}

async fn single(
    args: &RunArgs,
    slo_ms: u64,
    metrics: Option<LoadMetrics>,
    shutdown: &Shutdown,
) -> anyhow::Result<Ending> {
    args.output.check().map_err(run::usage)?;
    let schedule = args.arrivals.schedule()?;
    let targets = args.request.targets(&args.urls)?;
    let transport = args.request.transport(&targets)?;
    let max_in_flight = at_least_one(args.request.max_in_flight.get());
    let plan = Plan {
        pace: Pace::Open { schedule, max_in_flight },
        timeout: args.request.timeout.get(),
        slo: Duration::from_millis(slo_ms),
    };
    let live = Live::new(&plan, metrics);
    let running = run::start(plan, transport.clone(), run::control(shutdown), live.clone());
    let measured = running.await.context("the generator failed")??;
    let urls: Vec<String> = args.urls.iter().map(ToString::to_string).collect();
    let command = format!("lab load {} {}{}", urls.join(" "), args.arrivals.words(), args.request.words());
    let checks = args.check.as_ref().map(|checks| checks.evaluate(&measured)).unwrap_or_default();
    let document = Document::new(command, slo_ms, transport.connections(), checks, measured);
    args.output.write(&Forms {
        text: &|| table::text(&document),
        json: &|| Ok(serde_json::to_string_pretty(&document)? + "\n"),
        csv: &|| Ok(csv::text(&document.measured)),
        html: &|| anyhow::bail!("not yet"),
    })?;
    Ok(ending(&document, shutdown))
}

/// What a result makes of the process's end.
fn ending(document: &Document, shutdown: &Shutdown) -> Ending {
    if shutdown.aborted().is_cancelled() {
        Ending::Aborted
    } else if document.measured.answered() == 0 || document.checks.iter().any(|finding| !finding.held) {
        Ending::Failed
    } else {
        Ending::Done
    }
}
