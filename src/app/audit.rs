//! `lab audit`: a running system's balance sheet, and whether it balances.

use anyhow::Context as _;

use super::{Ending, health::fetch};
use crate::{
    http_lab::{Audit, CallLedger, RequestLedger},
    pipeline,
    streams::{Ledger, Reason},
};

/// Which system, where, and how to print.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// The system
    #[arg(value_enum)]
    pub system: System,
    /// The server to ask
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub url: String,
    /// Print the terms as the keys of one JSON object
    #[arg(long)]
    pub json: bool,
}

/// The systems that keep a balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum System {
    /// HTTP requests: started = completed + cancelled + in_flight
    Http,
    /// Service calls: started = completed + failed + cancelled + in_flight
    Service,
    /// Chunks of the streams: generated = processed + dropped + queued + in_progress
    Streams,
    /// The pipeline: created = succeeded + permanently_failed + backlog
    Pipeline,
}

/// Asks, prints, judges.
///
/// # Errors
/// When the server does not answer, or has no such system.
pub async fn run(args: &Args) -> anyhow::Result<Ending> {
    let (balances, text) = match args.system {
        System::Http => {
            let audit: Audit = ask(args, "/audit").await?;
            let http = audit.http.context("this server has no HTTP lab")?;
            let text = if args.json { json(&http)? } else { http_table(&http.endpoints, &http.sum) };
            (http.balances(), text)
        }
        System::Service => {
            let audit: Audit = ask(args, "/audit").await?;
            let service = audit.service;
            let text =
                if args.json { json(&service)? } else { service_table(&service.services, &service.sum) };
            (service.balances(), text)
        }
        System::Streams => {
            let ledger: Ledger = ask(args, "/streams/audit").await?;
            let text = if args.json { json(&ledger)? } else { streams_table(&ledger) };
            (ledger.balances(), text)
        }
        System::Pipeline => {
            let ledger: pipeline::Ledger = ask(args, "/pipeline/audit").await?;
            let text = if args.json { json(&ledger)? } else { pipeline_table(&ledger) };
            (ledger.balances(), text)
        }
    };
    super::print::print(&text)?;
    if balances {
        return Ok(Ending::Done);
    }
    eprintln!("lab: the balance does not hold");
    Ok(Ending::Failed)
}

async fn ask<T: serde::de::DeserializeOwned>(args: &Args, path: &str) -> anyhow::Result<T> {
    let url = format!("{}{path}", args.url.trim_end_matches('/'));
    let body = fetch(&url).await?;
    serde_json::from_str(&body).with_context(|| format!("{url} did not answer an audit"))
}

fn json(audit: &impl serde::Serialize) -> anyhow::Result<String> {
    serde_json::to_string(audit).context("writing the audit")
}

type Rows<'a, T> = &'a std::collections::BTreeMap<String, T>;

fn http_table(endpoints: Rows<'_, RequestLedger>, sum: &RequestLedger) -> String {
    let mut text = format!(
        "{:<18}{:>10}{:>12}{:>12}{:>11}",
        "endpoint", "started", "completed", "cancelled", "in_flight"
    );
    let sum = ("sum".to_owned(), *sum);
    for (name, terms) in endpoints.iter().chain([(&sum.0, &sum.1)]) {
        text += &format!(
            "\n{name:<18}{:>10}{:>12}{:>12}{:>11}",
            terms.started, terms.completed, terms.cancelled, terms.in_flight
        );
    }
    text
}

fn service_table(services: Rows<'_, CallLedger>, sum: &CallLedger) -> String {
    let mut text = format!(
        "{:<18}{:>10}{:>12}{:>9}{:>12}{:>11}{:>10}{:>14}",
        "service", "started", "completed", "failed", "cancelled", "in_flight", "orphaned", "orphaned_ms"
    );
    let sum = ("sum".to_owned(), *sum);
    for (name, terms) in services.iter().chain([(&sum.0, &sum.1)]) {
        let orphaned = terms.orphaned.map_or("unknown".to_owned(), |orphaned| orphaned.to_string());
        let orphaned_ms = terms.orphaned_ms.map_or("unknown".to_owned(), |ms| format!("{ms:.0}"));
        text += &format!(
            "\n{name:<18}{:>10}{:>12}{:>9}{:>12}{:>11}{orphaned:>10}{orphaned_ms:>14}",
            terms.started, terms.completed, terms.failed, terms.cancelled, terms.in_flight
        );
    }
    text
}

fn streams_table(ledger: &Ledger) -> String {
    let terms = [
        ("generated", ledger.generated),
        ("processed", ledger.processed),
        ("dropped", ledger.dropped),
        ("queued", ledger.queued),
        ("in_progress", ledger.in_progress),
    ];
    let reasons = Reason::ALL.map(|reason| (reason.label(), ledger.dropped_by.of(reason)));
    let line = |(name, chunks): (&str, u64)| format!("{name:<18}{chunks:>12}");
    let terms = terms.map(line).join("\n");
    format!(
        "{terms}\n{}",
        reasons.map(|(reason, chunks)| line((&format!("  by {reason}"), chunks))).join("\n")
    )
}

fn pipeline_table(ledger: &pipeline::Ledger) -> String {
    let terms = [
        ("created", ledger.created),
        ("succeeded", ledger.succeeded),
        ("permanently_failed", ledger.permanently_failed),
        ("backlog", ledger.backlog),
        ("  queued", ledger.queued),
        ("  running", ledger.running),
        ("  retrying", ledger.retrying),
    ];
    terms.map(|(term, jobs)| format!("{term:<20}{jobs:>12}")).join("\n")
}
