//! `lab load merge`: merges the results of several hosts.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;

use super::args::MergeArgs;
use super::document::Document;
use super::run::usage;
use super::{csv, page, table};
use crate::input;

/// The largest result file that is read.
const FILE_LIMIT_MIB: u64 = 64;

/// Reads the results, merges them and prints the sum.
pub(super) fn merge(args: &MergeArgs) -> anyhow::Result<Document> {
    let results = args.output.open()?;
    let mut names = BTreeMap::new();
    let mut merged: Option<Document> = None;
    for path in &args.files {
        let name = path.display().to_string();
        if let Some(inode) = inode(path).with_context(|| format!("reading {name}"))?
            && let Some(first) = names.insert(inode, name.clone())
        {
            return Err(usage(format!("{name}: the same file as {first}; each result is added once")));
        }
        let text = input::read_text(path, FILE_LIMIT_MIB).with_context(|| format!("reading {name}"))?;
        let document =
            Document::read(&text).with_context(|| format!("{name} is not a result of `lab load --json`"))?;
        merged = Some(match merged {
            None => document,
            Some(sum) => add(sum, document).with_context(|| format!("{name} cannot be added"))?,
        });
    }
    let mut sum = merged.context("nothing to merge")?;
    sum.checks = args.check.as_ref().map(|checks| checks.evaluate(&sum.measured)).unwrap_or_default();
    sum.command = args.command_line.command("lab load merge");
    let results = results.json(&sum).csv(|| csv::text(&sum.measured)).html(|| page::html(&sum));
    results.print(|| table::text(&sum))?;
    Ok(sum)
}

fn add(sum: Document, document: Document) -> anyhow::Result<Document> {
    anyhow::ensure!(
        sum.slo_ms == document.slo_ms,
        "its objective is {} ms, that of the results before it is {} ms",
        document.slo_ms,
        sum.slo_ms
    );
    anyhow::ensure!(
        sum.pace == document.pace,
        "its loop is {}, that of the results before it is {}",
        document.pace,
        sum.pace
    );
    let mut measured = sum.measured;
    measured.merge(&document.measured);
    let connections = sum.connections.plus(document.connections);
    // Keep the first reason of each cause.
    let mut reasons = document.reasons;
    reasons.extend(sum.reasons);
    Ok(Document::new(sum.command, sum.pace, sum.slo_ms, connections, reasons, Vec::new(), measured))
}

/// The identity of a regular file, independent of its path; `None` for a pipe or a device.
fn inode(path: &Path) -> io::Result<Option<(u64, u64)>> {
    let found = path.metadata()?;
    Ok(found.is_file().then(|| (found.dev(), found.ino())))
}
