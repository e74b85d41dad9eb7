//! The client of the OTLP exporters.
//!
//! They run on threads of their own, before the program's runtime lives and after it has ended, and drive
//! their futures without one. So this client has a thread with a small runtime, which ends with it.

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

/// The most bytes of a collector's answer: it says how much was refused and why.
const ANSWER_LIMIT_BYTES: usize = 4 << 20;
/// Requests that wait for the thread: an exporter has one at a time.
const WAITING_LIMIT_REQUESTS: usize = 1;
/// Threads that look names up beside it: lookups that hang must not pile up.
const LOOKUP_LIMIT_THREADS: usize = 1;

type Exchange = (Request<Bytes>, oneshot::Sender<Result<Response<Bytes>, Failure>>);

/// A client that needs no runtime around it.
#[derive(Debug)]
pub struct ExportClient {
    exchanges: mpsc::Sender<Exchange>,
}

impl ExportClient {
    /// Starts the thread. Each request to `url` may take as long as `time_limit`.
    ///
    /// # Errors
    /// When TLS is to be spoken and this machine trusts nobody, or there can be no thread.
    pub fn start(url: &HttpUrl, time_limit: Duration) -> anyhow::Result<Self> {
        let client = Client::for_url(url).with_context(|| format!("pushing telemetry to {url}"))?;
        let bounds = Bounds { time: time_limit, answer_bytes: ANSWER_LIMIT_BYTES };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(LOOKUP_LIMIT_THREADS)
            .build()
            .context("starting the exporter's runtime")?;
        let (exchanges, mut asked) = mpsc::channel::<Exchange>(WAITING_LIMIT_REQUESTS);
        let work = async move {
            while let Some((request, answer)) = asked.recv().await {
                // Nobody waits for it any more only when the process ends.
                let _ = answer.send(client.fetch(request, bounds).await);
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
        let (answer, answered) = oneshot::channel();
        self.exchanges.send((request, answer)).await?;
        match answered.await? {
            // The exporter knows by this type that another attempt would end the same.
            Err(Failure::TooLarge(_)) => Err(Box::new(ResponseBodyTooLarge::new())),
            other => Ok(other?),
        }
    }
}
