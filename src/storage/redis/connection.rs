//! The connection: made when it is needed, and again after it broke.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, ToRedisArgs,
    aio::MultiplexedConnection, cmd,
};
use tokio::sync::Mutex as AsyncMutex;

use super::{Script, Settings, failure, url::RedisUrl};
use crate::storage::{Durability, StoreError};

/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How long a reply may take.
const REPLY_LIMIT: Duration = Duration::from_secs(5);
/// How much longer than its own limit a blocking command may take.
const WAKER_GRACE: Duration = Duration::from_secs(2);
/// Requests that wait for their reply at most; further ones wait for room.
const IN_FLIGHT_LIMIT: usize = 10_000;

/// A Redis server; cheap to clone. All clones share one connection.
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    /// The connection, while it is of use.
    connection: AsyncMutex<Option<MultiplexedConnection>>,
    durability: Mutex<Durability>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redis")
    }
}

impl Redis {
    /// Connects to `url` and reads its settings.
    ///
    /// # Errors
    /// When it cannot be reached or refuses the user.
    pub async fn connect(url: &RedisUrl) -> Result<Self, StoreError> {
        let redis = Self::unconnected(url)?;
        redis.command::<()>(&cmd("PING")).await?;
        redis.settings().await?;
        Ok(redis)
    }

    /// The same without waiting for the server: the first request connects.
    ///
    /// # Errors
    /// When the client refuses the URL.
    pub fn unconnected(url: &RedisUrl) -> Result<Self, StoreError> {
        let client = Client::open(url.info().clone()).map_err(|error| failure::of_connecting(&error))?;
        Ok(Self::of(client))
    }

    fn of(client: Client) -> Self {
        let durability = Mutex::new(Durability::Unknown);
        Self { shared: Arc::new(Shared { client, connection: AsyncMutex::default(), durability }) }
    }

    /// The same server over a connection of its own, for a runtime of its own.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self::of(self.shared.client.clone())
    }

    /// Runs a script. It is carried out at most once; after [`OutcomeUnknown`](StoreError::OutcomeUnknown) it may
    /// have been. A future that is dropped may still be carried out.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[impl ToRedisArgs],
    ) -> Result<T, StoreError> {
        let mut call = cmd("EVALSHA");
        call.arg(script.hash()).arg(keys.len()).arg(keys).arg(arguments);
        // The server says NOSCRIPT before it does anything. It may forget the script again at once.
        for _ in 0..2 {
            match self.ask(&call).await {
                Err(Asked::Answered(error)) if is_unknown_script(&error) => {
                    let mut load = cmd("SCRIPT");
                    load.arg("LOAD").arg(script.source());
                    self.command::<()>(&load).await?;
                }
                asked => return asked.map_err(Asked::into_store_error),
            }
        }
        Err(StoreError::Away(format!("it forgets the script {} each time", script.name())))
    }

    /// Sends a command. It is sent at most once.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        self.ask(command).await.map_err(Asked::into_store_error)
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Asked> {
        let mut connection = self.connection().await.map_err(Asked::Unsent)?;
        let answer = command.query_async(&mut connection).await;
        if let Err(error) = &answer
            && failure::is_broken(error)
        {
            // Others that use it find out as well; the next request connects again.
            *self.shared.connection.lock().await = None;
        }
        answer.map_err(Asked::Answered)
    }

    async fn connection(&self) -> Result<MultiplexedConnection, StoreError> {
        let mut connection = self.shared.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(REPLY_LIMIT))
            .set_concurrency_limit(IN_FLIGHT_LIMIT);
        let made = self.shared.client.get_multiplexed_async_connection_with_config(&config).await;
        let made = made.map_err(|error| failure::of_connecting(&error))?;
        Ok(connection.insert(made).clone())
    }

    /// Reads the settings, and from them what an accepted write survives.
    ///
    /// # Errors
    /// When the server is away. What it does not show is `None`.
    pub async fn settings(&self) -> Result<Settings, StoreError> {
        let mut info = cmd("INFO");
        info.arg("memory").arg("persistence");
        let info: String = readable(self.command(&info).await)?;
        let mut config = cmd("CONFIG");
        config.arg("GET").arg("append*").arg("no-appendfsync-on-rewrite");
        let config: HashMap<String, String> = readable(self.command(&config).await)?;
        let settings = Settings::read(&info, &config);
        *self.shared.durability.lock() = settings.durability();
        Ok(settings)
    }

    /// What an accepted write survived when [`settings`](Self::settings) was read last.
    pub fn durability(&self) -> Durability {
        *self.shared.durability.lock()
    }

    /// A connection for blocking commands.
    pub fn waker(&self) -> Waker {
        Waker { client: self.shared.client.clone(), connection: None }
    }
}

/// What is not shown is left out: an access list may forbid it.
fn readable<T: Default>(answer: Result<T, StoreError>) -> Result<T, StoreError> {
    match answer {
        Err(StoreError::Refused(_)) => Ok(T::default()),
        answer => answer,
    }
}

/// Why a request has no answer that can be used.
enum Asked {
    /// It was not sent.
    Unsent(StoreError),
    /// It was sent.
    Answered(RedisError),
}

impl Asked {
    fn into_store_error(self) -> StoreError {
        match self {
            Self::Unsent(error) => error,
            Self::Answered(error) => failure::of_request(&error),
        }
    }
}

fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// A connection for commands that block: they would hold up all others on a shared one.
pub struct Waker {
    client: Client,
    connection: Option<MultiplexedConnection>,
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

impl Waker {
    /// Takes an element from the list `key`, waiting at most `limit` for one. Returns whether there was one. Not
    /// cancel safe: an element may be taken when the future is dropped.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn pop(&mut self, key: &str, limit: Duration) -> Result<bool, StoreError> {
        let mut command = cmd("BLPOP");
        command.arg(key).arg(limit.as_secs_f64());
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT_LIMIT))
                    // The client's default would end a blocking command after half a second.
                    .set_response_timeout(Some(limit + WAKER_GRACE));
                let made = self.client.get_multiplexed_async_connection_with_config(&config).await;
                made.map_err(|error| failure::of_connecting(&error))?
            }
        };
        let popped: Result<Option<(String, String)>, RedisError> = command.query_async(&mut connection).await;
        match popped {
            Ok(popped) => {
                self.connection = Some(connection);
                Ok(popped.is_some())
            }
            Err(error) => Err(failure::of_request(&error)),
        }
    }
}
