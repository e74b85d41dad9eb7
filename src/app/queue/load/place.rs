//! A running queue, as the load asks it: where it stands, its balance, its tasks, its metrics.

use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use hyper::{Request, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::args::LoadArgs;
use crate::{
    app::ask::fetch,
    client::{Bounds, Client},
    config::HttpUrl,
    output::Document as _,
    queue::{StatsDocument, TaskId},
    web::sheet,
};

/// The limits of a question about one task.
const BOUNDS: Bounds = Bounds { time: Duration::from_secs(10), body_bytes: 1 << 20 };
/// How the user names another server.
const OTHER: &str = "--url";

/// A running queue.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) url: HttpUrl,
    client: Client,
}

/// The queue's balance at a moment.
#[derive(Debug, Clone)]
pub(super) struct Balance {
    pub(super) enqueued: u64,
    pub(super) holds: bool,
    /// As a line for people.
    pub(super) text: String,
}

/// What the queue says of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Known(Known),
    /// It has ended, and its record is no longer kept.
    Forgotten,
    /// The queue does not know it.
    Missing,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Known {
    pub(super) state: String,
    enqueued_ms: u64,
    since_ms: u64,
}

impl Known {
    pub(super) fn is_over(&self) -> bool {
        !matches!(self.state.as_str(), "pending" | "in_flight" | "delayed")
    }

    /// From its enqueue to its end, if it ended well.
    pub(super) fn took(&self) -> Option<Duration> {
        let is_done = self.state == "succeeded";
        is_done.then(|| Duration::from_millis(self.since_ms.saturating_sub(self.enqueued_ms)))
    }
}

impl Place {
    /// Finds the queue: at the URL itself, or below it at `/queue`.
    ///
    /// # Errors
    /// When no server answers, or it has no queue.
    pub(super) async fn find(args: &LoadArgs) -> anyhow::Result<Self> {
        let server = match &args.url {
            Some(url) => url.clone(),
            None => args.server.url()?,
        };
        let client = Client::for_url(&server)?;
        let below = server.below("/queue")?;
        for url in [below, server.clone()] {
            if is_queue(&url).await? {
                return Ok(Self { url, client });
            }
        }
        bail!("{server} has no queue: expected the URL of `lab`, or of `lab queue api`")
    }

    /// The balance of the whole queue.
    ///
    /// # Errors
    /// When it does not answer.
    pub(super) async fn balance(&self) -> anyhow::Result<Balance> {
        let url: HttpUrl = self.url.origin().parse()?;
        let terms: Value =
            serde_json::from_str(&fetch(&url.below("/queue/audit")?, OTHER, BOUNDS.time).await?)?;
        let equation = terms["equation"].as_str().unwrap_or_default();
        let shown: Vec<String> = equation
            .split(' ')
            .map(|word| terms.get(word).map_or_else(|| word.to_owned(), |value| format!("{word} {value}")))
            .collect();
        Ok(Balance {
            enqueued: terms["enqueued"].as_u64().context("the queue's store does not answer")?,
            holds: sheet::balances(equation, &terms),
            text: shown.join(" "),
        })
    }

    /// The text of the server's metrics.
    ///
    /// # Errors
    /// When it does not answer.
    pub(super) async fn metrics(&self) -> anyhow::Result<String> {
        let url: HttpUrl = self.url.origin().parse()?;
        fetch(&url.below("/metrics")?, OTHER, BOUNDS.time).await
    }

    /// What the queue says of a task.
    ///
    /// # Errors
    /// When it gives no answer about it.
    pub(super) async fn ask(&self, id: TaskId) -> anyhow::Result<Told> {
        let url = self.url.below(&format!("/task/{id}"))?;
        let request = Request::get(url.uri()).body(Bytes::new())?;
        let answer = self.client.fetch(request, BOUNDS).await.with_context(|| format!("asking {url}"))?;
        match answer.status() {
            StatusCode::OK => Ok(Told::Known(serde_json::from_slice(answer.body())?)),
            StatusCode::GONE => Ok(Told::Forgotten),
            StatusCode::NOT_FOUND => Ok(Told::Missing),
            other => bail!("asking {url}: {other}"),
        }
    }
}

/// Whether a queue stands at `url`.
async fn is_queue(url: &HttpUrl) -> anyhow::Result<bool> {
    #[derive(Deserialize)]
    struct Named {
        schema: String,
    }
    match fetch(&url.below("/stats")?, OTHER, BOUNDS.time).await {
        Ok(text) => {
            Ok(serde_json::from_str::<Named>(&text).is_ok_and(|named| named.schema == StatsDocument::SCHEMA))
        }
        Err(error) if error.is::<crate::app::ask::Unreachable>() => Err(error),
        Err(_) => Ok(false),
    }
}
