//! `lab config`: the current settings, each with its source.

use super::{ending::Ending, output::JsonArg};
use crate::document;

/// A setting with its value and the layer it came from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct InForce {
    /// The variable's name.
    pub name: String,
    /// The value as it was written; secrets hidden.
    pub value: Option<String>,
    /// `default`, `file`, `.env`, `environment` or `flag`.
    pub source: &'static str,
}

/// What `lab config` prints: every setting with its value and source.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(super) struct Settings {
    settings: Vec<InForce>,
}

document!(Settings as "lab/config/1");

/// Prints the current settings.
///
/// # Errors
/// When they cannot be written.
pub fn print_config(in_force: &[InForce], json: &JsonArg) -> anyhow::Result<Ending> {
    let in_force = Settings { settings: in_force.to_vec() };
    let results = json.open()?.json(&in_force);
    let in_force = in_force.settings;
    let width = in_force.iter().map(|setting| setting.name.len()).max().unwrap_or(0);
    let line = |InForce { name, value, source }: &InForce| {
        format!("{name:<width$}  {source:<11}  {}", value.as_deref().unwrap_or("(unset)"))
    };
    results.print(|| in_force.iter().map(line).collect::<Vec<_>>().join("\n"))?;
    Ok(Ending::Done)
}
