//! The handle: scripts and commands over the one connection.

use std::{fmt, sync::Arc};

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, ToRedisArgs, cmd};

use super::{
    Script, Settings, Waker, failure,
    link::{Link, Made},
    nodes::Nodes,
    replicas::{Copies, Replicas},
    url::RedisUrl,
};
use crate::storage::{Durability, StoreError};

/// How often a request is sent that a server carries out nothing of: it knows the script no more, or another node serves
/// the key.
const SENT_LIMIT: usize = 4;

/// A Redis server; cheap to clone. All clones share one connection.
#[derive(Clone)]
pub struct Redis {
    link: Arc<Link>,
    replicas: Arc<Replicas>,
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

    /// The same; if the server is a node of a cluster, to the master of the slot of `key`, wherever that is or will be.
    ///
    /// # Errors
    /// When it cannot be reached or refuses the user.
    pub async fn connect_for(url: &RedisUrl, key: &'static str) -> Result<Self, StoreError> {
        let redis = Self::over(Arc::new(Nodes::of(url, Some(key))?));
        redis.command::<()>(&cmd("PING")).await?;
        Ok(redis)
    }

    /// The same without waiting for the server: the first request connects.
    ///
    /// # Errors
    /// When the client refuses the URL.
    pub fn unconnected(url: &RedisUrl) -> Result<Self, StoreError> {
        Ok(Self::over(Arc::new(Nodes::of(url, None)?)))
    }

    fn over(nodes: Arc<Nodes>) -> Self {
        Self { link: Arc::new(Link::to(nodes)), replicas: Arc::default() }
    }

    /// The same server over a connection of its own, for a runtime of its own.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self::over(self.link.nodes().clone())
    }

    /// Runs a script. It is carried out at most once; after [`OutcomeUnknown`](StoreError::OutcomeUnknown) it may
    /// have been, which is never said of one whose flags say `no-writes`. A future that is dropped may still be carried out.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[impl ToRedisArgs],
    ) -> Result<T, StoreError> {
        self.run_over(script, keys, arguments).await.map(|(answer, _)| answer)
    }

    /// The same, and whether the copies of what it wrote were there in time. Other requests of this handle wait as
    /// long as it does.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn run_with_copies<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[impl ToRedisArgs],
        copies: Copies,
    ) -> Result<(T, bool), StoreError> {
        let (answer, made) = self.run_over(script, keys, arguments).await?;
        Ok((answer, self.replicas.have(&made, copies).await))
    }

    async fn run_over<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[impl ToRedisArgs],
    ) -> Result<(T, Made), StoreError> {
        let mut call = cmd("EVALSHA");
        call.arg(script.hash()).arg(keys.len()).arg(keys).arg(arguments);
        // The server says NOSCRIPT before it does anything. It may forget the script again at once.
        for _ in 0..SENT_LIMIT {
            match self.ask(&call).await {
                Err(Asked::Answered(error)) if is_unknown_script(&error) => {
                    let mut load = cmd("SCRIPT");
                    load.arg("LOAD").arg(script.source());
                    // If it fails, the script that is wanted was not run.
                    self.command::<()>(&load).await.map_err(StoreError::of_read)?;
                }
                Err(asked) if script.is_read() => return Err(asked.into_store_error().of_read()),
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
        self.ask(command).await.map(|(answer, _)| answer).map_err(Asked::into_store_error)
    }

    /// Sends a command to where its key is served. Also says over which connection.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<(T, Made), Asked> {
        let mut sent = 0;
        loop {
            let mut made = self.link.get().await.map_err(Asked::Unsent)?;
            let answer = command.query_async(&mut made.connection).await;
            self.link.check(&made, answer.as_ref().err());
            sent += 1;
            match answer {
                Ok(answer) => return Ok((answer, made)),
                Err(error) if failure::is_moved(&error) && sent < SENT_LIMIT => {}
                Err(error) => return Err(Asked::Answered(error)),
            }
        }
    }

    /// Reads the settings, and from them what an accepted write survives.
    ///
    /// # Errors
    /// When the server is away. What it does not show is `None`.
    pub async fn settings(&self) -> Result<Settings, StoreError> {
        let made = self.link.get().await?;
        let settings = Settings::ask(&made.connection).await;
        self.link.check(&made, settings.as_ref().err());
        let settings = settings.map_err(|error| failure::of_request(&error).of_read())?;
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
        Waker::of(self.link.nodes().clone())
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
