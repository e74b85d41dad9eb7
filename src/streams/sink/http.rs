//! Chunks delivered to a URL: bounded attempts, each within its time, pauses that grow between them.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use axum::http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rand::RngExt as _;

use super::Delivery;
use crate::{
    sim::Purpose,
    streams::{chunk::Chunk, draw::key},
};

/// The pause before the first further attempt; it doubles with each, up to the limit below.
const BACKOFF_FIRST_MS: u64 = 100;
const BACKOFF_LIMIT_MS: u64 = 10_000;
/// How much of an answer's body is read so that its connection can be used again.
const ANSWER_LIMIT_BYTES: usize = 64 * 1024;
/// Below the time after which common servers close an idle connection.
const POOL_IDLE: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub(in crate::streams) struct HttpSink {
    client: Client<HttpConnector, Full<Bytes>>,
    url: Uri,
    delivery: Delivery,
}

/// How one attempt ended.
enum Attempt {
    Delivered,
    /// Another attempt may help.
    Failed(anyhow::Error),
    /// Another attempt would be answered the same.
    Refused(anyhow::Error),
}

impl HttpSink {
    pub(super) fn new(url: Uri, delivery: Delivery) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(delivery.timeout));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .build(connector);
        Self { client, url, delivery }
    }

    pub(super) async fn deliver(&self, chunk: &Chunk) -> anyhow::Result<()> {
        let mut pauses = key(self.delivery.seed, chunk).rng(Purpose::Backoff);
        let mut attempt = 0;
        loop {
            let failure = match self.attempt(chunk).await {
                Attempt::Delivered => return Ok(()),
                Attempt::Refused(error) => return Err(error),
                Attempt::Failed(error) => error,
            };
            if attempt >= self.delivery.retries {
                return Err(failure.context(format!("{} attempts", attempt + 1)));
            }
            let ceiling_ms = BACKOFF_FIRST_MS.saturating_mul(1 << attempt.min(20)).min(BACKOFF_LIMIT_MS);
            // Full jitter (Brooker, "Exponential backoff and jitter", 2015).
            tokio::time::sleep(Duration::from_millis(pauses.random_range(0..=ceiling_ms))).await;
            self.delivery.retried.add(1);
            attempt += 1;
        }
    }

    async fn attempt(&self, chunk: &Chunk) -> Attempt {
        match tokio::time::timeout(self.delivery.timeout, self.post(chunk)).await {
            Err(_) => Attempt::Failed(anyhow!("no answer within {} ms", self.delivery.timeout.as_millis())),
            Ok(Err(error)) => Attempt::Failed(error),
            Ok(Ok(status)) if status.is_success() => Attempt::Delivered,
            Ok(Ok(status)) => {
                let refusal = anyhow!("answered {status}");
                let temporary = status.is_server_error()
                    || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
                if temporary { Attempt::Failed(refusal) } else { Attempt::Refused(refusal) }
            }
        }
    }

    async fn post(&self, chunk: &Chunk) -> anyhow::Result<StatusCode> {
        let request = Request::post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header("lab-stream", chunk.stream.label.to_string())
            .header("lab-chunk", chunk.index)
            .body(Full::new(chunk.data.clone()))
            .context("making the request")?;
        let answer = self.client.request(request).await.context("sending the chunk")?;
        let status = answer.status();
        if Limited::new(answer.into_body(), ANSWER_LIMIT_BYTES).collect().await.is_err() {
            bail!("the answer's body broke off or is above {ANSWER_LIMIT_BYTES} bytes");
        }
        Ok(status)
    }
}
