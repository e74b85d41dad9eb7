//! Where a report goes: a table for people, JSON for machines.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use super::report::Report;
use crate::output;

/// Stands for stdout.
const STDOUT: &str = "-";

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Output {
    /// Write JSON: instead of the table on stdout, or to FILE beside it
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = STDOUT
    )]
    json: Option<PathBuf>,
}

impl Output {
    pub(super) fn write<S: Serialize + Display>(&self, report: &Report<S>) -> anyhow::Result<()> {
        let mut text = report.to_string();
        if let Some(path) = &self.json {
            let mut json = serde_json::to_string_pretty(report)?;
            json.push('\n');
            if path == Path::new(STDOUT) {
                text = json;
            } else {
                std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        Ok(output::print(&text)?)
    }
}
