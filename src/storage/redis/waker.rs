//! A connection for commands that block: they would hold up all others on a shared one.

use std::{fmt, sync::Arc, time::Duration};

use redis::{AsyncConnectionConfig, RedisError, Value, aio::MultiplexedConnection, cmd};

use super::{failure, link::CONNECT_LIMIT, nodes::Nodes};
use crate::storage::StoreError;

/// How much longer than its own limit a blocking command may take.
const GRACE: Duration = Duration::from_secs(2);
/// The shortest limit: to Redis, 0 means without limit.
const SHORTEST: Duration = Duration::from_millis(1);

/// A connection of its own, made when it is needed.
pub struct Waker {
    nodes: Arc<Nodes>,
    connection: Option<MultiplexedConnection>,
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

impl Waker {
    pub(super) fn of(nodes: Arc<Nodes>) -> Self {
        Self { nodes, connection: None }
    }

    /// Takes an element from the list `key`, waiting at most `limit` for one. Returns whether there was one. Not
    /// cancel safe: an element may be taken when the future is dropped.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn pop(&mut self, key: &str, limit: Duration) -> Result<bool, StoreError> {
        let limit = limit.max(SHORTEST);
        let mut command = cmd("BLPOP");
        command.arg(key).arg(limit.as_secs_f64());
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_LIMIT));
                self.nodes.connect(&config).await?.0
            }
        };
        // The client's default would end a blocking command after half a second.
        connection.set_response_timeout(limit.saturating_add(GRACE));
        // Any program may push to the list: what the element is does not matter.
        let popped: Result<Option<Value>, RedisError> = command.query_async(&mut connection).await;
        match popped {
            Ok(popped) => {
                self.connection = Some(connection);
                Ok(popped.is_some())
            }
            Err(error) => {
                self.nodes.follow(&error);
                Err(failure::of_request(&error))
            }
        }
    }
}
