//! Where Redis is.

use std::{fmt, str::FromStr};

use redis::{ConnectionInfo, IntoConnectionInfo as _};

use crate::config::{Allowed, Invalid};

/// The address of a Redis server, with its user and password. Neither is ever printed.
#[derive(Clone)]
pub struct RedisUrl {
    info: ConnectionInfo,
    shown: String,
}

impl RedisUrl {
    pub(super) fn info(&self) -> &ConnectionInfo {
        &self.info
    }
}

impl Allowed for RedisUrl {
    const ALLOWED: &'static str = "redis://HOST:PORT or redis://USER:PASSWORD@HOST:PORT/DATABASE";
}

impl FromStr for RedisUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new(text, Self::ALLOWED);
        if !text.starts_with("redis://") {
            return Err(invalid());
        }
        let info = text.into_connection_info().map_err(|_| invalid())?;
        Ok(Self { shown: crate::config::without_users(text), info })
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_hides_its_password() {
        let url: RedisUrl = "redis://lab:s3cret@127.0.0.1:6379/1".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "redis://***@127.0.0.1:6379/1 redis://***@127.0.0.1:6379/1");
        for bad in
            ["", "127.0.0.1:6379", "http://127.0.0.1", "rediss://127.0.0.1", "redis://h:x", "redis://h/x"]
        {
            let error = bad.parse::<RedisUrl>().unwrap_err();
            assert!(error.to_string().contains("redis://HOST:PORT"), "{bad}: {error}");
        }
        let error = "redis://lab:s3cret@h:x".parse::<RedisUrl>().unwrap_err().to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }
}
