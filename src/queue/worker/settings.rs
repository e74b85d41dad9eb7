//! How a worker works.

use std::time::Duration;

use crate::{queue::settle::RetryPolicy, telemetry};

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Tasks at a time.
    pub concurrency: usize,
    /// How long the store waits for a sign of life, by its lease clock.
    pub lease: Duration,
    /// How long an idle worker waits for the bell before it asks all the same.
    pub poll: Duration,
    /// How failed tasks are tried again.
    pub retry: RetryPolicy,
    /// What the process is called, for people.
    pub who: String,
    /// The seed of the waits before retries.
    pub seed: u64,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            concurrency: 5,
            lease: Duration::from_secs(2),
            poll: Duration::from_millis(100),
            retry: RetryPolicy { backoff_ms: 1_000, backoff_limit_ms: 600_000 },
            who: telemetry::instance_name(),
            seed: u64::from(std::process::id()),
        }
    }
}
