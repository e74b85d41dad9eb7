//! `lab audit queue`: the sheet of the queue, and whether each task is in one place.
//!
//! ```text
//!   REDIS_URL ──────────────────────────────> the store itself
//!   --url ──────────────────────────────────> that server's sheet, and its scan
//!   LAB_ADDR, then QUEUE_API_ADDR ──────────> those of the first that has a queue
//!   no server, and a file in LAB_DATA_DIR ──> the file, which nobody may use meanwhile
//! ```

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use crate::{
    app::{
        ask::{Unreachable, fetch, url_of},
        audit::{CheckArgs, served, table, verdict},
        ending::{Ending, Usage},
    },
    config::{HttpUrl, counted},
    output::{self, Document as _},
    queue::{
        Broker, audited,
        broker::{Clock, RedisBroker, SqliteBroker},
    },
    storage::{
        StoreError,
        redis::RedisUrl,
        sqlite::{OpenError, Synchronous},
    },
};

/// How long a scan by a server may take.
const SCAN_WITHIN: Duration = Duration::from_secs(300);

/// Reads the sheet and looks at every task, prints both, and checks them.
///
/// # Errors
/// When neither a server nor a store answers.
pub async fn audit(args: &CheckArgs) -> anyhow::Result<Ending> {
    let results = args.json.open()?;
    let sheet = match &args.store.redis_url {
        Some(url) if args.url.is_none() => of_redis(url, args.repair).await?,
        _ if args.repair => of_file(args).await?.with_context(|| missing(args))?,
        _ if args.url.is_some() => of_server(&args.server()?).await?,
        _ => match of_servers(args).await {
            Err(error) if error.is::<Unreachable>() => of_file(args).await?.ok_or(error)?,
            sheet => sheet?,
        },
    };
    results.received_json(&sheet).print(|| text(&sheet))?;
    let ending = verdict(&sheet);
    let left = findings(&sheet).filter(|finding| finding["mended"] == "").count();
    if left == 0 {
        return Ok(ending);
    }
    let things = counted(left as u64, "thing is", "things are");
    output::to_stderr(format_args!("lab: {things} wrong in the queue's store"));
    Ok(Ending::Failed)
}

async fn of_redis(url: &RedisUrl, mends: bool) -> anyhow::Result<Value> {
    let sheet = async {
        let broker = Broker::Redis(RedisBroker::connect(url).await?);
        audited(&broker, mends).await
    };
    match sheet.await {
        Ok(sheet) => Ok(serde_json::to_value(sheet.named())?),
        Err(StoreError::Refused(why)) => Err(Usage(format!("REDIS_URL: {why}")).into()),
        Err(error) => {
            let remedy = "start that Redis, or name another with REDIS_URL".to_owned();
            Err(Unreachable { what: error.to_string(), remedy }.into())
        }
    }
}

/// Asks the server of the lab, and the queue's own if that has no queue.
async fn of_servers(args: &CheckArgs) -> anyhow::Result<Value> {
    let of_lab = match of_server(&args.server()?).await {
        Err(error) => error,
        sheet => return sheet,
    };
    let of_api = match of_server(&url_of(args.queue_api_addr, "QUEUE_API_ADDR")?).await {
        Err(error) => error,
        sheet => return sheet,
    };
    match (of_lab.downcast::<Unreachable>(), of_api.downcast::<Unreachable>()) {
        (Ok(lab), Ok(api)) => {
            let what = format!("{}, and {}", lab.what, api.what);
            Err(Unreachable { what, ..lab }.into())
        }
        (Err(error), Ok(_)) | (_, Err(error)) => Err(error),
    }
}

async fn of_server(server: &HttpUrl) -> anyhow::Result<Value> {
    // A server without a queue says which sheets it has.
    served(server, "queue").await?;
    let url = server.below("/queue/audit/scan")?;
    let said = fetch(&url, "--url", SCAN_WITHIN).await?;
    serde_json::from_str(&said).with_context(|| format!("{url} did not answer with a sheet"))
}

/// The sheet of the file, if there is one.
async fn of_file(args: &CheckArgs) -> anyhow::Result<Option<Value>> {
    let folder = &args.store.data_dir;
    if !folder.join("queue.sqlite").exists() {
        return Ok(None);
    }
    let broker = match SqliteBroker::open(folder, Synchronous::Full, 0, Clock::wall()) {
        Ok(broker) => Broker::Sqlite(broker),
        Err(error @ OpenError::Held { .. }) if args.repair => {
            return Err(anyhow::anyhow!("{error}: stop it first, then repair"));
        }
        Err(error @ OpenError::Held { .. }) => {
            let remedy = "name the address of its server with LAB_ADDR, QUEUE_API_ADDR or --url".to_owned();
            return Err(Unreachable { what: error.to_string(), remedy }.into());
        }
        Err(error) => return Err(Usage(format!("LAB_DATA_DIR: {error}")).into()),
    };
    let sheet = audited(&broker, args.repair).await;
    broker.close().await;
    Ok(Some(serde_json::to_value(sheet?.named())?))
}

fn missing(args: &CheckArgs) -> String {
    format!("{} holds no queue, and REDIS_URL is unset: nothing to repair", args.store.data_dir.display())
}

fn findings(sheet: &Value) -> impl Iterator<Item = &Value> {
    sheet["scan"]["findings"].as_array().into_iter().flatten()
}

/// The terms, one a line, and what was found.
fn text(sheet: &Value) -> String {
    let mut terms = sheet.clone();
    if let Some(terms) = terms.as_object_mut() {
        terms.remove("scan");
    }
    let scan = &sheet["scan"];
    let mut lines = vec![table(&terms), format!("{:<20}{:>12}", "looked at", scan["records"])];
    let shown = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for finding in findings(sheet) {
        let [wrong, of, at, mended] = ["wrong", "of", "at", "mended"].map(|name| shown(&finding[name]));
        let mended = if mended.is_empty() { String::new() } else { format!(": {mended}") };
        lines.push(format!("{wrong}  {of}  {at}{mended}"));
    }
    let named = findings(sheet).count() as u64;
    let found = scan["found"].as_u64().unwrap_or(named);
    if found > named {
        lines.push(format!("and {} more", found - named));
    }
    let left_out = scan["left_out"].as_array().into_iter().flatten();
    lines.extend(left_out.map(|what| format!("not looked at: {}", shown(what))));
    lines.join("\n")
}
