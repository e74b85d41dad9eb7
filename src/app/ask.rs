//! Sends the requests of `lab health` and `lab audit` to a running server.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::Context as _;
use axum::http::Request;
use bytes::Bytes;

use crate::{
    client::{Bounds, Client, Failure},
    config::{Allowed as _, HttpUrl, ListenAddr, Misfit},
};

const BODY_LIMIT_BYTES: usize = 4 << 20;

/// Where `lab queue api` listens.
pub(super) const QUEUE_API_ADDR: &str = "127.0.0.1:8085";

/// The server to ask if no URL names another.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(skip)]
pub struct ServerAddr {
    /// The address that the server listens on; for an address of all interfaces, loopback is asked
    #[arg(long, env = "LAB_ADDR", default_value = "127.0.0.1:8080", value_name = ListenAddr::ALLOWED)]
    pub addr: ListenAddr,
}

impl ServerAddr {
    /// The server's URL.
    ///
    /// # Errors
    /// When the port is 0.
    pub(super) fn url(self) -> Result<HttpUrl, Misfit> {
        url_of(self.addr, "LAB_ADDR")
    }
}

/// The URL of the server that listens on `addr`, the value of `variable`.
///
/// # Errors
/// When the port is 0.
pub(super) fn url_of(addr: ListenAddr, variable: &'static str) -> Result<HttpUrl, Misfit> {
    let socket = addr.get();
    let ip = match socket.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let url = format!("http://{}/", SocketAddr::new(ip, socket.port()));
    let allowed = "a running server's port, from 1 to 65535 (or name the server by a URL)";
    url.parse().map_err(|_| Misfit::new(variable, addr, allowed))
}

/// No server, or no store, responded.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {remedy}")]
pub(super) struct Unreachable {
    pub(super) what: String,
    /// What the user can do about it.
    pub(super) remedy: String,
}

impl Unreachable {
    /// No server of the lab responded; `other` tells the user how to name another one.
    fn server(what: String, other: &str) -> Self {
        Self { what, remedy: format!("start a server with `lab`, or name another with {other}") }
    }
}

/// Fetches the body of a 2xx response, with limits on its size and time. `other` tells the user how to name another
/// URL.
///
/// # Errors
/// [`Unreachable`] if no server responds; another error if the response is incomplete or its status is not 2xx.
pub(super) async fn fetch(url: &HttpUrl, other: &'static str, within: Duration) -> anyhow::Result<String> {
    let bounds = Bounds { time: within, body_bytes: BODY_LIMIT_BYTES };
    let request = Request::get(url.uri()).body(Bytes::new())?;
    let failure = match Client::for_url(url)?.fetch(request, bounds).await {
        Ok(answer) if answer.status().is_success() => {
            return Ok(String::from_utf8_lossy(answer.body()).into_owned());
        }
        Ok(answer) => Failure::Status(answer.status()),
        Err(failure) => failure,
    };
    let origin = url.origin();
    match &failure {
        Failure::Refused => Err(Unreachable::server(format!("nothing listens on {origin}"), other).into()),
        failure if failure.is_unreachable() => {
            Err(Unreachable::server(format!("no answer from {origin}: {failure}"), other).into())
        }
        _ => Err(failure).with_context(|| format!("asking {url}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_all_interfaces_becomes_loopback() {
        for (addr, url) in [
            ("0.0.0.0:8080", Some("http://127.0.0.1:8080/")),
            ("[::]:8080", Some("http://[::1]:8080/")),
            ("10.0.0.7:1", Some("http://10.0.0.7:1/")),
            ("127.0.0.1:0", None),
        ] {
            let server = ServerAddr { addr: addr.parse().expect("an address") };
            assert_eq!(server.url().ok().map(|url| url.to_string()).as_deref(), url, "{addr}");
        }
    }
}
