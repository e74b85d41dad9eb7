//! `lab config`: the current settings, each with its source.

use super::{ending::Ending, output::JsonArg};
use crate::document;

/// A setting with its value and its source.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct CurrentSetting {
    /// The variable's name.
    pub name: String,
    /// The value as it was given; secrets are hidden. `null` if it is not set.
    pub value: Option<String>,
    /// `default`, `file`, `.env`, `environment` or `flag`.
    pub source: &'static str,
}

/// All current settings (`lab config`).
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(super) struct Settings {
    settings: Vec<CurrentSetting>,
}

document!(Settings as "lab/config/1");

/// Prints the current settings.
///
/// # Errors
/// When writing them fails.
pub fn print_config(settings: &[CurrentSetting], json: &JsonArg) -> anyhow::Result<Ending> {
    let document = Settings { settings: settings.to_vec() };
    let results = json.open()?.json(&document);
    let width = settings.iter().map(|setting| setting.name.len()).max().unwrap_or(0);
    let line = |CurrentSetting { name, value, source }: &CurrentSetting| {
        format!("{name:<width$}  {source:<11}  {}", value.as_deref().unwrap_or("(unset)"))
    };
    results.print(|| settings.iter().map(line).collect::<Vec<_>>().join("\n"))?;
    Ok(Ending::Done)
}
