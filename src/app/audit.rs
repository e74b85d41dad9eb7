//! `lab audit`: prints the balance sheet of a running system and checks that it balances.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::{
    ask::{QUEUE_API_ADDR, ServerAddr, fetch},
    ending::{Ending, Usage},
    output::JsonArg,
    queue,
};
use crate::{
    config::{Allowed as _, HttpUrl, ListenAddr, Misfit},
    output,
    queue::StorePlace,
    web::sheet,
};

/// How long a server may take to answer with its sheets.
const SHEETS_WITHIN: Duration = Duration::from_secs(5);

/// The arguments of `lab audit`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// The system: http (its requests), service (the calls to services), streams, pipeline or queue
    #[arg(value_name = "SYSTEM")]
    pub system: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub check: CheckArgs,
}

/// What is asked, and what is printed.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct CheckArgs {
    /// The server to ask, instead of the one at the address
    #[arg(long, value_name = HttpUrl::ALLOWED)]
    pub url: Option<HttpUrl>,
    /// Put right what is wrong in the queue's store, and say what was done
    #[arg(long, conflicts_with = "url")]
    pub repair: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub server: ServerAddr,
    /// Where `lab queue api` listens, which is asked for the queue if the server at the address has none
    #[arg(long, env = "QUEUE_API_ADDR", default_value = QUEUE_API_ADDR, value_name = ListenAddr::ALLOWED)]
    pub queue_api_addr: ListenAddr,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub store: StorePlace,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub json: JsonArg,
}

impl CheckArgs {
    /// The server to ask.
    ///
    /// # Errors
    /// When the port is 0.
    pub(super) fn server(&self) -> Result<HttpUrl, Misfit> {
        match &self.url {
            Some(url) => Ok(url.clone()),
            None => self.server.url(),
        }
    }
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
    let Args { system, check } = args;
    if system == "queue" {
        return queue::audit(check).await;
    }
    if check.repair {
        return Err(
            Usage(format!("--repair: {system} has no store; expected: lab audit queue --repair")).into()
        );
    }
    let results = check.json.open()?;
    let sheet = served(&check.server()?, system).await?;
    results.received_json(&sheet).print(|| table(&sheet))?;
    Ok(verdict(&sheet))
}

/// Fetches a sheet from a server.
pub(super) async fn served(server: &HttpUrl, system: &str) -> anyhow::Result<Value> {
    let url = server.below("/audit")?;
    let Sheets { mut sheets } =
        serde_json::from_str(&fetch(&url, "--url", SHEETS_WITHIN).await?).map_err(|_| {
            anyhow::anyhow!("{url} did not answer with balance sheets: it is not a server of the lab")
        })?;
    sheets.remove(system).with_context(|| {
        let known: Vec<&str> = sheets.keys().map(String::as_str).collect();
        format!("{url} has no balance sheet {system:?}; it has {}", known.join(", "))
    })
}

/// Whether a sheet balances; if not, says so on stderr.
pub(super) fn verdict(sheet: &Value) -> Ending {
    let equation = sheet.get("equation").and_then(Value::as_str).unwrap_or_default();
    if sheet::balances(equation, sheet) {
        return Ending::Done;
    }
    output::to_stderr(format_args!("lab: the balance does not hold: {equation}"));
    Ending::Failed
}

/// Formats a sheet: with parts, as a table of one row per part and the sum; without, as one line per term.
pub(super) fn table(sheet: &Value) -> String {
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
