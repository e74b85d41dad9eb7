//! Where a result goes: a table for people on stdout, or one of JSON, CSV and HTML there instead; any of
//! them into files beside it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Stands for stdout.
const STDOUT: &str = "-";

/// Where a result goes.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Output")]
pub(super) struct Output {
    /// Write JSON, with the histograms: instead of the table on stdout, or to FILE beside it
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = STDOUT)]
    json: Option<PathBuf>,
    /// Write CSV, a row a second, likewise
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = STDOUT)]
    csv: Option<PathBuf>,
    /// Write a report as one HTML file, likewise
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = STDOUT)]
    html: Option<PathBuf>,
}

/// A result in each of its forms, made when they are asked for.
pub(super) struct Forms<'a> {
    pub(super) text: &'a dyn Fn() -> String,
    pub(super) json: &'a dyn Fn() -> anyhow::Result<String>,
    pub(super) csv: &'a dyn Fn() -> anyhow::Result<String>,
    pub(super) html: &'a dyn Fn() -> anyhow::Result<String>,
}

impl Output {
    /// Refuses two forms on one stdout.
    pub(super) fn check(&self) -> Result<(), String> {
        let to_stdout = [&self.json, &self.csv, &self.html].iter().filter(|path| is_stdout(path)).count();
        if to_stdout > 1 {
            return Err("one of --json, --csv and --html can go to stdout; give the others =FILE".to_owned());
        }
        Ok(())
    }

    /// Writes the files that were asked for, and returns what goes to stdout.
    pub(super) fn write_files(&self, forms: &Forms<'_>) -> anyhow::Result<String> {
        let mut on_stdout = None;
        for (path, form) in [(&self.json, forms.json), (&self.csv, forms.csv), (&self.html, forms.html)] {
            let Some(path) = path else { continue };
            let text = form()?;
            if path == Path::new(STDOUT) {
                on_stdout = Some(text);
            } else {
                std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        Ok(on_stdout.unwrap_or_else(|| (forms.text)()))
    }
}

fn is_stdout(path: &Option<PathBuf>) -> bool {
    path.as_deref() == Some(Path::new(STDOUT))
}
