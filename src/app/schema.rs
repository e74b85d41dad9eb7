//! `lab schema`: prints the JSON Schemas of the lab's documents, which are derived from their types.

use anyhow::Context as _;
use clap::builder::PossibleValuesParser;
use serde_json::Value;

use super::{Ending, bench, load, pipeline::simulate::Simulation, settings};
use crate::{
    http_lab::{HttpAudit, ServiceAudit, Settings, Snapshot, TriggerStatus},
    output::{self, Document},
    pipeline, queue, streams,
    web::{Audit, Balance, Ready, Version, timeline::RunCharts},
};

type Entry = (&'static str, fn() -> Value);

/// Every document: its name, which is its member `schema`, and its JSON Schema.
const DOCUMENTS: [Entry; 43] = [
    one::<Audit>(),
    one::<Balance<HttpAudit>>(),
    one::<Balance<crate::load::Totals>>(),
    one::<Balance<pipeline::JobLedger>>(),
    one::<Balance<ServiceAudit>>(),
    one::<Balance<streams::ChunkLedger>>(),
    one::<bench::BenchReport<bench::builds::Setting>>(),
    one::<bench::BenchReport<bench::http::Setting>>(),
    one::<bench::BenchReport<bench::load::Setting>>(),
    one::<bench::BenchReport<bench::queue::Setting>>(),
    one::<bench::BenchReport<bench::start::Setting>>(),
    one::<bench::BenchReport<bench::streams::Setting>>(),
    one::<settings::Settings>(),
    one::<Snapshot>(),
    one::<TriggerStatus>(),
    one::<load::Document>(),
    one::<load::CompareReport>(),
    one::<load::FindMaxReport>(),
    one::<super::page::load::Status>(),
    one::<super::page::Charts>(),
    one::<super::page::Curve>(),
    one::<RunCharts>(),
    one::<super::page::telling::Status>(),
    one::<super::page::View>(),
    one::<super::pipeline::PipelineReport>(),
    one::<Simulation>(),
    one::<pipeline::Status>(),
    one::<Balance<queue::Balanced>>(),
    one::<queue::QueuedBatch>(),
    one::<super::queue::LoadReport>(),
    one::<queue::DeadList>(),
    one::<queue::DeadChanged>(),
    one::<queue::RulePart>(),
    one::<queue::StatsDocument>(),
    one::<queue::Changed>(),
    one::<queue::Queued>(),
    one::<queue::TaskDocument>(),
    one::<Ready>(),
    one::<Settings>(),
    one::<streams::RunReport>(),
    one::<streams::Received>(),
    one::<streams::Status>(),
    one::<Version>(),
];

/// Every document's name, and the first paragraph of its description.
pub(super) fn described() -> [(&'static str, String); DOCUMENTS.len()] {
    DOCUMENTS.map(|(name, schema)| {
        let schema = schema();
        let about = schema["description"].as_str().unwrap_or_default();
        (name, about.split("\n\n").next().unwrap_or_default().replace('\n', " "))
    })
}

const fn one<T: Document>() -> Entry {
    (T::SCHEMA, output::schema::<T>)
}

/// The arguments of `lab schema`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// The document's name, which is its member `schema`; without it, print all names
    #[arg(value_parser = PossibleValuesParser::new(DOCUMENTS.map(|(name, _)| name)), hide_possible_values = true)]
    pub name: Option<String>,
}

/// Prints the schema, or the names.
///
/// # Errors
/// When writing to stdout fails.
pub fn run(args: &Args) -> anyhow::Result<Ending> {
    let text = match &args.name {
        None => DOCUMENTS.map(|(name, _)| name).join("\n"),
        Some(wanted) => {
            let (_, schema) =
                DOCUMENTS.iter().find(|(name, _)| name == wanted).context("a name of the list")?;
            serde_json::to_string_pretty(&schema())?
        }
    };
    output::print(&text)?;
    Ok(Ending::Done)
}
