//! Opens the store that the settings name.

use std::time::Duration;

use super::{
    broker::{Broker, Clock, RedisBroker, SqliteBroker},
    config::StoreArgs,
};
use crate::{
    config::Allowed as _,
    shutdown::Shutdown,
    storage::{
        StoreError,
        redis::{Copies, RedisUrl},
        sqlite::{OpenError, Synchronous},
    },
};

/// How long to wait before a store that is away is asked again.
const AWAY: Duration = Duration::from_millis(500);

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CannotOpen {
    /// Redis refuses, or its settings lose tasks.
    #[error("REDIS_URL: {0}")]
    Redis(String),
    /// The file cannot be opened.
    #[error("LAB_DATA_DIR: {0}")]
    File(#[from] OpenError),
    /// A command that needs Redis was started without it.
    #[error("REDIS_URL: unset; {0} shares a queue with other processes, so expected {allowed}", allowed = RedisUrl::ALLOWED)]
    NotShared(&'static str),
    /// Replicas of a file are asked for.
    #[error("QUEUE_REPLICAS: {0}; a file has no replicas, so expected 0, or REDIS_URL")]
    NoReplicas(u32),
}

impl StoreArgs {
    /// Opens the store. Redis that is away is waited for; `None` if `stop` begins before it answers. `lease_ms` is the
    /// lease of workers in this process; `before_waiting` is called before the log says that Redis is away.
    ///
    /// # Errors
    /// When the settings of Redis would lose tasks, or another process has the file.
    pub async fn open(
        &self,
        lease_ms: u64,
        before_waiting: impl Fn(),
        stop: &Shutdown,
    ) -> Result<Option<Broker>, CannotOpen> {
        let Some(url) = &self.place.redis_url else {
            if self.copies().is_some() {
                return Err(CannotOpen::NoReplicas(self.replicas.get()));
            }
            let broker =
                SqliteBroker::open(&self.place.data_dir, Synchronous::Full, lease_ms, Clock::wall())?;
            return Ok(Some(Broker::Sqlite(broker)));
        };
        let mut was_away = false;
        loop {
            match connect(url, self.copies()).await {
                Ok(broker) => return Ok(Some(broker)),
                Err(StoreError::Refused(why)) => return Err(CannotOpen::Redis(why)),
                Err(error) if !was_away => {
                    before_waiting();
                    tracing::warn!(%error, "waiting for the queue's store");
                }
                Err(_) => {}
            }
            was_away = true;
            tokio::select! {
                biased;
                () = stop.stopping().cancelled() => return Ok(None),
                () = tokio::time::sleep(AWAY) => {}
            }
        }
    }

    /// The same for a command that works on a queue of other processes.
    ///
    /// # Errors
    /// When no Redis is named, too.
    pub async fn open_shared(
        &self,
        command: &'static str,
        before_waiting: impl Fn(),
        stop: &Shutdown,
    ) -> Result<Option<Broker>, CannotOpen> {
        match self.place.redis_url {
            Some(_) => self.open(0, before_waiting, stop).await,
            None => Err(CannotOpen::NotShared(command)),
        }
    }
}

async fn connect(url: &RedisUrl, copies: Option<Copies>) -> Result<Broker, StoreError> {
    let broker = RedisBroker::connect(url).await?;
    let broker = Broker::Redis(match copies {
        Some(copies) => broker.with_copies(copies),
        None => broker,
    });
    broker.check_settings().await?;
    Ok(broker)
}
