//! An address to listen on.

use std::{fmt, net::SocketAddr, str::FromStr};

use super::invalid::{Allowed, Invalid};

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddr(SocketAddr);

impl ListenAddr {
    /// The socket address.
    pub const fn get(self) -> SocketAddr {
        self.0
    }
}

impl Allowed for ListenAddr {
    const ALLOWED: &'static str =
        "IP:PORT or localhost:PORT, such as 127.0.0.1:8080; port 0 chooses a free port";
}

impl FromStr for ListenAddr {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let addr = match text.trim().strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}").parse(),
            None => text.trim().parse(),
        };
        addr.map(Self).map_err(|_| Invalid::new(text, Self::ALLOWED))
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
