//! `lab audit`: prints the balance sheet of a running system and checks that it balances.

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::{
    ask::{ServerAddr, fetch},
    ending::Ending,
    output::JsonArg,
};
use crate::{
    config::{Allowed as _, HttpUrl},
    output,
    web::sheet,
};

/// The arguments of `lab audit`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// The system: http (its requests), service (the calls to services), streams, pipeline or queue
    #[arg(value_name = "SYSTEM")]
    pub system: String,
    /// The server to ask, instead of the one at the address
    #[arg(long, value_name = HttpUrl::ALLOWED)]
    pub url: Option<HttpUrl>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub server: ServerAddr,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub json: JsonArg,
}

/// The response to `GET /audit`.
#[derive(serde::Deserialize)]
struct Sheets {
    sheets: Map<String, Value>,
}

/// Fetches the sheet, prints it, and checks the balance.
///
/// # Errors
/// When the server does not respond, or has no such system.
pub async fn run(args: &Args) -> anyhow::Result<Ending> {
    let results = args.json.open()?;
    let server = match &args.url {
        Some(url) => url.clone(),
        None => args.server.url()?,
    };
    let url = server.below("/audit")?;
    let Sheets { sheets } = serde_json::from_str(&fetch(&url, "--url").await?).map_err(|_| {
        anyhow::anyhow!("{url} did not answer with balance sheets: it is not a server of the lab")
    })?;
    let sheet = sheets.get(&args.system).with_context(|| {
        let known: Vec<&str> = sheets.keys().map(String::as_str).collect();
        format!("{url} has no balance sheet {:?}; it has {}", args.system, known.join(", "))
    })?;
    let equation = sheet.get("equation").and_then(Value::as_str).unwrap_or_default();
    results.received_json(sheet).print(|| table(sheet))?;
    if sheet::balances(equation, sheet) {
        return Ok(Ending::Done);
    }
    output::to_stderr(format_args!("lab: the balance does not hold: {equation}"));
    Ok(Ending::Failed)
}

/// Formats a sheet: with parts, as a table of one row per part and the sum; without, as one line per term.
fn table(sheet: &Value) -> String {
    let terms: Vec<(&String, &Value)> = sheet
        .as_object()
        .into_iter()
        .flatten()
        // Strings and booleans are not terms.
        .filter(|(_, value)| !value.is_string() && !value.is_boolean() && !is_parts(value))
        .collect();
    let parts: Vec<(&String, &Value)> = sheet::parts(sheet).collect();
    if parts.is_empty() {
        return terms.iter().map(|(name, value)| lines(name, value)).collect::<Vec<_>>().join("\n");
    }
    let width = |(name, _): &(&String, &Value)| name.len().max(10) + 2;
    let row = |name: &str, of: &Value| {
        let cells = terms.iter().map(|term| {
            let value = of.get(term.0).map_or_else(String::new, shown);
            format!("{value:>width$}", width = width(term))
        });
        format!("{name:<18}{}", cells.collect::<String>())
    };
    let head = terms.iter().map(|term| format!("{:>width$}", term.0, width = width(term)));
    let head = format!("{:<18}{}", "", head.collect::<String>());
    let rows = parts.iter().map(|(name, part)| row(name, part));
    [head].into_iter().chain(rows).chain([row("sum", sheet)]).collect::<Vec<_>>().join("\n")
}

fn is_parts(value: &Value) -> bool {
    value.as_object().is_some_and(|members| members.values().all(Value::is_object))
}

/// A term, and its members below it.
fn lines(name: &str, value: &Value) -> String {
    match value.as_object() {
        Some(of) => {
            of.iter().map(|(name, value)| lines(&format!("  {name}"), value)).collect::<Vec<_>>().join("\n")
        }
        None => format!("{name:<20}{:>12}", shown(value)),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "unknown".to_owned(),
        Value::Number(number) if number.is_f64() => format!("{:.0}", number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}
