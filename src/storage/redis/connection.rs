//! The handle: scripts and commands over the one connection.

use std::{fmt, sync::Arc};

use redis::{Client, Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, ToRedisArgs, cmd};

use super::{Script, Settings, Waker, failure, link::Link, url::RedisUrl};
use crate::storage::{Durability, StoreError};

/// A Redis server; cheap to clone. All clones share one connection.
#[derive(Clone)]
pub struct Redis {
    link: Arc<Link>,
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
        Ok(redis)
    }

    /// The same without waiting for the server: the first request connects.
    ///
    /// # Errors
    /// When the client refuses the URL.
    pub fn unconnected(url: &RedisUrl) -> Result<Self, StoreError> {
        let client = Client::open(url.info().clone()).map_err(|error| failure::of_connecting(&error))?;
        Ok(Self { link: Arc::new(Link::to(client)) })
    }

    /// The same server over a connection of its own, for a runtime of its own.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { link: Arc::new(Link::to(self.link.client().clone())) }
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
                    self.command::<()>(&load).await.map_err(not_carried_out)?;
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
        let mut made = self.link.get().await.map_err(Asked::Unsent)?;
        let answer = command.query_async(&mut made.connection).await;
        self.link.check(&made, answer.as_ref().err());
        answer.map_err(Asked::Answered)
    }

    /// Reads the settings, and from them what an accepted write survives.
    ///
    /// # Errors
    /// When the server is away. What it does not show is `None`.
    pub async fn settings(&self) -> Result<Settings, StoreError> {
        let mut made = self.link.get().await?;
        let settings = Settings::ask(&mut made.connection).await;
        self.link.check(&made, settings.as_ref().err());
        let settings = settings.map_err(|error| failure::of_request(&error))?;
        self.link.see(&settings);
        Ok(settings)
    }

    /// What an accepted write survived when the settings were read last: with each new connection, and by
    /// [`settings`](Self::settings).
    pub fn durability(&self) -> Durability {
        self.link.durability()
    }

    /// A connection for blocking commands.
    pub fn waker(&self) -> Waker {
        Waker::of(self.link.client().clone())
    }
}

/// What a failure to load a script means to who wants it run: it was not.
fn not_carried_out(error: StoreError) -> StoreError {
    match error {
        StoreError::OutcomeUnknown(said) => StoreError::Away(said),
        error => error,
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
