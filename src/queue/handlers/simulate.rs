//! Simulated work: it takes a time, and some of it fails.

use async_trait::async_trait;
use rand::RngExt as _;

use crate::{
    queue::{broker::Claimed, settle::Verdict, worker::Handler},
    sim::{Key, Profile, Purpose},
};

/// A handler that waits, and fails for some tasks. The same attempt of the same task is the same each time.
#[derive(Debug, Clone)]
pub(super) struct Simulate {
    pub(super) takes: Profile,
    pub(super) error_rate: f64,
}

#[async_trait]
impl Handler for Simulate {
    async fn handle(&self, task: &Claimed) -> Verdict {
        let key = Key { seed: task.id.random(), request: 0, service: 'Q', attempt: task.failures };
        let takes_ms = self.takes.sample(&mut key.rng(Purpose::Latency));
        tokio::time::sleep(std::time::Duration::from_secs_f64(takes_ms / 1e3)).await;
        if key.rng(Purpose::Failure).random::<f64>() < self.error_rate {
            return Verdict::Failed { error: "a simulated failure".to_owned(), retry_after_ms: None };
        }
        Verdict::Done
    }
}
