//! Sinks: what processing a chunk means.
//!
//! | sink | a chunk is | it fails when |
//! |---|---|---|
//! | `simulate` | 20 to 50 ms of waiting, drawn by its key | never |
//! | `http:URL` | one `POST`, tried again a bounded number of times | no attempt was answered 2xx |
//! | `file:PATH` | one frame at the file's end | it cannot be written whole |
//!
//! A chunk that the sink gives up on is dropped with the reason `sink`.

mod delivery;
mod file;
mod http;

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use anyhow::Context as _;
use rand::RngExt as _;
use tokio::time::Instant;

pub(super) use self::delivery::Delivery;
use self::{file::FileSink, http::HttpSink};
use super::{chunk::Chunk, draw::key};
use crate::{
    config::{Allowed, HttpUrl, Invalid},
    sim::{Purpose, sleep_until_nearest},
};

/// How long simulated work takes, milliseconds.
const WORK_MS: std::ops::RangeInclusive<u64> = 20..=50;

/// The sink as it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkSpec {
    /// Simulated work.
    Simulate,
    /// Deliveries to a URL.
    Http(HttpUrl),
    /// Frames at the end of a file.
    File(PathBuf),
}

impl Allowed for SinkSpec {
    const ALLOWED: &'static str =
        "simulate, http:URL such as http://127.0.0.1:9000/chunks (no name or password in it), or file:PATH";
}

impl FromStr for SinkSpec {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let trimmed = text.trim();
        let invalid = || Invalid::new(text, Self::ALLOWED);
        if trimmed == "simulate" {
            return Ok(Self::Simulate);
        }
        if let Some(path) = trimmed.strip_prefix("file:") {
            return if path.is_empty() { Err(invalid()) } else { Ok(Self::File(path.into())) };
        }
        // `http:URL` with the URL in full, or the URL alone.
        let url = trimmed.strip_prefix("http:http").map_or(trimmed.to_owned(), |rest| format!("http{rest}"));
        url.parse().map(Self::Http).map_err(|_| invalid())
    }
}

impl fmt::Display for SinkSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simulate => f.write_str("simulate"),
            Self::Http(url) => write!(f, "{url}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// An open sink, shared by all workers.
#[derive(Debug)]
pub(super) enum Sink {
    /// Nothing at all: for the benchmark.
    Nothing,
    Simulate {
        seed: u64,
    },
    Http(Box<HttpSink>),
    File(FileSink),
}

impl Sink {
    /// Opens what `spec` names.
    pub(super) async fn open(spec: &SinkSpec, delivery: Delivery) -> anyhow::Result<Self> {
        Ok(match spec {
            SinkSpec::Simulate => Self::Simulate { seed: delivery.seed },
            SinkSpec::Http(url) => Self::Http(Box::new(HttpSink::new(url.clone(), delivery)?)),
            SinkSpec::File(path) => {
                let opened = FileSink::open(path, delivery.framing).await;
                Self::File(opened.with_context(|| format!("opening {}", path.display()))?)
            }
        })
    }

    /// Processes one chunk; `Err` when the sink gives up on it.
    pub(super) async fn process(&self, chunk: &Chunk) -> anyhow::Result<()> {
        match self {
            Self::Nothing => Ok(()),
            Self::Simulate { seed } => {
                let work_ms = key(*seed, chunk).rng(Purpose::Latency).random_range(WORK_MS);
                sleep_until_nearest(Instant::now() + Duration::from_millis(work_ms)).await;
                Ok(())
            }
            Self::Http(http) => http.deliver(chunk).await,
            Self::File(file) => file.append(&chunk.data).await,
        }
    }

    /// Ends the sink: everything written is on disk afterwards.
    pub(super) async fn finish(&self) -> anyhow::Result<()> {
        match self {
            Self::File(file) => file.finish().await,
            Self::Nothing | Self::Simulate { .. } | Self::Http(_) => Ok(()),
        }
    }
}
