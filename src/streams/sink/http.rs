//! Chunks delivered to a URL: bounded attempts, each within its time, pauses that grow between them.

use std::time::Duration;

use anyhow::Context as _;
use axum::http::{Request, StatusCode, header};
use rand::RngExt as _;

use super::Delivery;
use crate::{
    client::{Bounds, Client, Failure, tls::TrustError},
    config::{HttpUrl, counted},
    sim::Purpose,
    streams::{chunk::Chunk, draw::key},
};

/// The pause before the first further attempt; it doubles with each, up to the limit below.
const BACKOFF_FIRST_MS: u64 = 100;
const BACKOFF_LIMIT_MS: u64 = 10_000;
/// How much of an answer's body is read so that its connection can be used again.
const ANSWER_LIMIT_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(in crate::streams) struct HttpSink {
    client: Client,
    url: HttpUrl,
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
    pub(super) fn new(url: HttpUrl, delivery: Delivery) -> Result<Self, TrustError> {
        Ok(Self { client: Client::for_url(&url)?, url, delivery })
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
                return Err(failure.context(counted(u64::from(attempt) + 1, "attempt", "attempts")));
            }
            let ceiling_ms = BACKOFF_FIRST_MS.saturating_mul(1 << attempt.min(20)).min(BACKOFF_LIMIT_MS);
            // Full jitter (Brooker, "Exponential backoff and jitter", 2015).
            tokio::time::sleep(Duration::from_millis(pauses.random_range(0..=ceiling_ms))).await;
            self.delivery.retried.add(1);
            attempt += 1;
        }
    }

    async fn attempt(&self, chunk: &Chunk) -> Attempt {
        let request = Request::post(self.url.uri())
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header("lab-stream", chunk.stream.label.to_string())
            .header("lab-chunk", chunk.index)
            .body(chunk.data.clone())
            .context("making the request");
        let request = match request {
            Ok(request) => request,
            Err(error) => return Attempt::Refused(error),
        };
        let bounds = Bounds { time: self.delivery.timeout, body_bytes: ANSWER_LIMIT_BYTES };
        match self.client.status(request, bounds).await {
            Err(failure) => Attempt::Failed(failure.into()),
            Ok(status) if status.is_success() => Attempt::Delivered,
            Ok(status) => {
                let refusal = Failure::Status(status).into();
                let temporary = status.is_server_error()
                    || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
                if temporary { Attempt::Failed(refusal) } else { Attempt::Refused(refusal) }
            }
        }
    }
}
