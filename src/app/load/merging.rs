//! `lab load merge`: several hosts' results as one.

use anyhow::Context as _;

use super::args::MergeArgs;
use super::document::Document;
use super::{csv, page, table};
use crate::input;

/// A longer result is refused.
const FILE_LIMIT_MIB: u64 = 64;

/// Reads the results and adds them.
pub(super) fn merge(args: &MergeArgs) -> anyhow::Result<Document> {
    let results = args.output.open()?;
    let mut merged: Option<Document> = None;
    for path in &args.files {
        let name = path.display().to_string();
        let text = input::read_text(path, FILE_LIMIT_MIB).with_context(|| format!("reading {name}"))?;
        let document = Document::read(&text).with_context(|| format!("{name} is not what --json writes"))?;
        merged = Some(match merged {
            None => document,
            Some(sum) => {
                anyhow::ensure!(
                    sum.slo_ms == document.slo_ms,
                    "{name} has another objective than those before"
                );
                let mut measured = sum.measured;
                measured.merge(&document.measured);
                let connections = sum.connections.plus(document.connections);
                // What was said first stands.
                let mut reasons = document.reasons;
                reasons.extend(sum.reasons);
                Document::new(sum.command, sum.slo_ms, connections, reasons, Vec::new(), measured)
            }
        });
    }
    let sum = merged.context("nothing to merge")?;
    let files: Vec<String> = args.files.iter().map(|path| path.display().to_string()).collect();
    let checks = args.check.as_ref().map(|checks| checks.evaluate(&sum.measured)).unwrap_or_default();
    let command = format!("lab load merge {}", files.join(" "));
    let document = Document::new(command, sum.slo_ms, sum.connections, sum.reasons, checks, sum.measured);
    let results =
        results.json(&document).csv(|| csv::text(&document.measured)).html(|| page::html(&document));
    results.print(|| table::text(&document))?;
    Ok(document)
}
