//! What the server's settings make of an accepted write.

use std::collections::HashMap;

use redis::{FromRedisValue, RedisError, aio::MultiplexedConnection, cmd};

use super::failure;
use crate::storage::{Durability, StoreError};

/// The settings that decide what a write survives. `None`: they cannot be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// What is evicted when memory is full.
    pub maxmemory_policy: Option<String>,
    /// Whether writes are appended to a file.
    pub appends: Option<bool>,
    /// When the file is synced: `always`, `everysec` or `no`.
    pub appendfsync: Option<String>,
    /// Whether syncing is put off while the file is rewritten.
    pub no_sync_on_rewrite: Option<bool>,
    /// Whether the last append went well.
    pub last_append_ok: Option<bool>,
    /// Whether the server is a node of a cluster.
    pub is_cluster: Option<bool>,
}

impl Settings {
    /// Asks a server for them. An access list may forbid what then is `None`.
    pub(super) async fn ask(connection: &MultiplexedConnection) -> Result<Self, RedisError> {
        let (mut info, mut config) = (cmd("INFO"), cmd("CONFIG"));
        info.arg("memory").arg("persistence").arg("cluster");
        config.arg("GET").arg("append*").arg("no-appendfsync-on-rewrite");
        let (mut one, mut other) = (connection.clone(), connection.clone());
        // In one round trip: who connects again may have a lease to renew.
        let (info, config) = tokio::join!(info.query_async(&mut one), config.query_async(&mut other));
        let info: String = unless_refused(info)?;
        let config: HashMap<String, String> = unless_refused(config)?;
        Ok(Self::read(&info, &config))
    }

    /// Reads the text of `INFO` and the pairs of `CONFIG GET`, either of which may be missing.
    fn read(info: &str, config: &HashMap<String, String>) -> Self {
        let info = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(|value| value.trim().to_owned())
        };
        let yes = |value: &String| value == "yes";
        Self {
            maxmemory_policy: info("maxmemory_policy"),
            // A server that reads its file after a start says that it appends nothing, until it has read it.
            appends: info("aof_enabled")
                .filter(|_| info("loading").as_deref() != Some("1"))
                .map(|value| value == "1")
                .or_else(|| config.get("appendonly").map(yes)),
            appendfsync: config.get("appendfsync").cloned(),
            no_sync_on_rewrite: config.get("no-appendfsync-on-rewrite").map(yes),
            last_append_ok: info("aof_last_write_status").map(|value| value == "ok"),
            is_cluster: info("cluster_enabled").map(|value| value == "1"),
        }
    }

    /// What an accepted write survives. It is `fsynced` only where every setting says so, and only `memory` where a
    /// full memory evicts: what was synced may be deleted.
    pub fn durability(&self) -> Durability {
        match self {
            Self { maxmemory_policy: Some(policy), .. } if policy != "noeviction" => Durability::Memory,
            Self { appends: None, .. } => Durability::Unknown,
            Self { appends: Some(false), .. } => Durability::Memory,
            Self { maxmemory_policy: None, .. } => Durability::Unknown,
            Self {
                appendfsync: Some(when),
                no_sync_on_rewrite: Some(false),
                last_append_ok: Some(true),
                ..
            } if when == "always" => Durability::Fsynced,
            Self { last_append_ok: Some(false), .. } => Durability::Memory,
            Self { appendfsync: None, .. } | Self { no_sync_on_rewrite: None, .. } => Durability::Unknown,
            _ => Durability::Appended,
        }
    }

    /// Checks that a full memory evicts nothing.
    ///
    /// # Errors
    /// What is set, and what is expected.
    pub fn refuse_eviction(&self) -> Result<(), String> {
        match self.maxmemory_policy.as_deref() {
            Some("noeviction") => Ok(()),
            Some(other) => Err(format!(
                "maxmemory-policy is {other}, which deletes tasks when memory is full; set it to noeviction"
            )),
            None => Err("INFO memory does not say the maxmemory-policy, which must be noeviction".to_owned()),
        }
    }
}

fn unless_refused<T: FromRedisValue + Default>(answer: Result<T, RedisError>) -> Result<T, RedisError> {
    match answer {
        Err(error) if matches!(failure::of_request(&error), StoreError::Refused(_)) => Ok(T::default()),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_synced_only_where_every_setting_says_so() {
        let durability = |info: &str, config: &[(&str, &str)]| {
            let config =
                config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            Settings::read(info, &config).durability()
        };
        let on = "maxmemory_policy:noeviction\r\naof_enabled:1\r\naof_last_write_status:ok\r\n";
        let always = [("appendfsync", "always"), ("no-appendfsync-on-rewrite", "no")];
        assert_eq!(durability(on, &always), Durability::Fsynced);
        assert_eq!(durability("aof_enabled:0\r\n", &always), Durability::Memory);
        assert_eq!(
            durability(on, &[("appendfsync", "everysec"), ("no-appendfsync-on-rewrite", "no")]),
            Durability::Appended
        );
        assert_eq!(
            durability(on, &[("appendfsync", "always"), ("no-appendfsync-on-rewrite", "yes")]),
            Durability::Appended
        );
        assert_eq!(durability(&on.replace("status:ok", "status:err"), &always), Durability::Memory);
        assert_eq!(durability(&on.replace("noeviction", "allkeys-lru"), &always), Durability::Memory);
        assert_eq!(durability(&on.replace("maxmemory_policy", "other"), &always), Durability::Unknown);
        assert_eq!(durability(on, &[]), Durability::Unknown);
        let loading =
            "maxmemory_policy:noeviction\r\nloading:1\r\naof_enabled:0\r\naof_last_write_status:ok\r\n";
        assert_eq!(durability(loading, &[("appendonly", "yes"), always[0], always[1]]), Durability::Fsynced);
        assert_eq!(durability(loading, &[("appendonly", "no"), always[0], always[1]]), Durability::Memory);
        assert_eq!(durability("", &[]), Durability::Unknown);
    }

    #[test]
    fn only_noeviction_is_accepted() {
        let policy = |info: &str| Settings::read(info, &HashMap::new()).refuse_eviction();
        assert_eq!(policy("maxmemory_policy:noeviction\r\n"), Ok(()));
        assert!(policy("maxmemory_policy:volatile-lru\r\n").unwrap_err().contains("volatile-lru"));
        assert!(policy("").is_err());
    }
}
