//! The HTTP client of the OTLP exporters.
//!
//! The exporters run on their own threads without a Tokio runtime, from before the program's runtime starts until
//! after it has ended. So this client runs its requests on a thread with a small runtime of its own; the thread
//! ends when the client is dropped.

use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use axum::http::{Request, Response};
use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError, ResponseBodyTooLarge};
use tokio::sync::{mpsc, oneshot};

use super::{
    failure::Failure,
    pooled::{Bounds, Client},
};
use crate::config::HttpUrl;

/// The largest response body of a collector: it holds the number of refused items and the reason.
const RESPONSE_LIMIT_BYTES: usize = 4 << 20;
/// Requests that wait for the thread: an exporter sends one at a time.
const WAITING_LIMIT_REQUESTS: usize = 1;
/// Threads that resolve names: lookups that hang must not accumulate.
const LOOKUP_LIMIT_THREADS: usize = 1;

type Exchange = (Request<Bytes>, oneshot::Sender<Result<Response<Bytes>, Failure>>);

/// An HTTP client that works outside a Tokio runtime.
#[derive(Debug)]
pub struct ExportClient {
    exchanges: mpsc::Sender<Exchange>,
}

impl ExportClient {
    /// Starts the thread. A request to `url` times out after `time_limit`.
    ///
    /// # Errors
    /// When `url` is https and this machine has no trusted certificates, or the thread cannot be started.
    pub fn start(url: &HttpUrl, time_limit: Duration) -> anyhow::Result<Self> {
        let client = Client::for_url(url).with_context(|| format!("pushing telemetry to {url}"))?;
        let bounds = Bounds { time: time_limit, body_bytes: RESPONSE_LIMIT_BYTES };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(LOOKUP_LIMIT_THREADS)
            .build()
            .context("starting the exporter's runtime")?;
        let (exchanges, mut received) = mpsc::channel::<Exchange>(WAITING_LIMIT_REQUESTS);
        let work = async move {
            while let Some((request, response)) = received.recv().await {
                // The receiver is dropped only when the process ends.
                let _ = response.send(client.fetch(request, bounds).await);
            }
        };
        std::thread::Builder::new()
            .name("otlp".to_owned())
            .spawn(move || {
                runtime.block_on(work);
                runtime.shutdown_background();
            })
            .context("starting the exporter's thread")?;
        Ok(Self { exchanges })
    }
}

#[async_trait]
impl HttpClient for ExportClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (sender, response) = oneshot::channel();
        self.exchanges.send((request, sender)).await?;
        match response.await? {
            // The exporter does not retry an error of this type.
            Err(Failure::TooLarge(_)) => Err(Box::new(ResponseBodyTooLarge::new())),
            other => Ok(other?),
        }
    }
}
