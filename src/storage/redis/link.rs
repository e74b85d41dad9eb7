//! The one connection of a handle: made by one request for all that wait for it, and again after it broke.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use parking_lot::Mutex;
use redis::{AsyncConnectionConfig, RedisError, aio::MultiplexedConnection};
use tokio::sync::Mutex as AsyncMutex;

use super::{Settings, failure, nodes::Nodes};
use crate::storage::{Durability, StoreError};

/// How long connecting may take.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How long a reply may take.
const REPLY_LIMIT: Duration = Duration::from_secs(5);
/// Requests that wait for their reply at most; further ones wait for room.
const IN_FLIGHT_LIMIT: usize = 10_000;

/// The way to a server.
pub(super) struct Link {
    nodes: Arc<Nodes>,
    /// The connection, while it is of use.
    made: Mutex<Option<Made>>,
    durability: Mutex<Durability>,
    /// How many attempts to connect have ended.
    attempts: AtomicU64,
    /// Locked by the request that connects; holds why the last attempt failed.
    connecting: AsyncMutex<Option<StoreError>>,
}

/// A connection, and which one of all that were made.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) number: u64,
    pub(super) connection: MultiplexedConnection,
}

impl Link {
    pub(super) fn to(nodes: Arc<Nodes>) -> Self {
        Self {
            nodes,
            made: Mutex::default(),
            durability: Mutex::new(Durability::Unknown),
            attempts: AtomicU64::new(0),
            connecting: AsyncMutex::default(),
        }
    }

    pub(super) fn nodes(&self) -> &Arc<Nodes> {
        &self.nodes
    }

    /// The connection, made if there is none. Those that wait while one of them connects share how that ends: if
    /// each tried for itself, the last would wait for all attempts.
    pub(super) async fn get(&self) -> Result<Made, StoreError> {
        let attempts = self.attempts.load(SeqCst);
        let made = || self.made.lock().clone();
        if let Some(made) = made() {
            return Ok(made);
        }
        let mut failure = self.connecting.lock().await;
        if let Some(made) = made() {
            return Ok(made);
        }
        if self.attempts.load(SeqCst) != attempts
            && let Some(failure) = &*failure
        {
            return Err(failure.clone());
        }
        let connected = self.connect().await;
        let number = self.attempts.fetch_add(1, SeqCst);
        *failure = connected.as_ref().err().cloned();
        let made = Made { number, connection: connected? };
        *self.made.lock() = Some(made.clone());
        Ok(made)
    }

    async fn connect(&self) -> Result<MultiplexedConnection, StoreError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(REPLY_LIMIT))
            .set_concurrency_limit(IN_FLIGHT_LIMIT);
        let (connection, settings) = self.nodes.connect(&config).await?;
        self.see(&settings);
        Ok(connection)
    }

    /// Gives `made` up if `error` says that it is of no use any more. One that was made since then stays.
    pub(super) fn check(&self, made: &Made, error: Option<&RedisError>) {
        if let Some(error) = error.filter(|error| failure::is_broken(error)) {
            self.nodes.follow(error);
            let mut now = self.made.lock();
            if now.as_ref().is_some_and(|now| now.number == made.number) {
                *now = None;
            }
        }
    }

    /// Learns from the settings what an accepted write survives.
    pub(super) fn see(&self, settings: &Settings) {
        *self.durability.lock() = settings.durability();
    }

    pub(super) fn durability(&self) -> Durability {
        *self.durability.lock()
    }
}
