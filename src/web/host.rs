//! Checks which host a request addresses. Pure.
//!
//! With DNS rebinding, a page of another site reaches a server on this machine under that site's name; only `Host`
//! reveals it. So a server on a loopback address accepts only loopback's names, which no other site can own, its own
//! address, and the configured names (`LAB_HOSTS`).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, Uri, Version, header};

use super::Problem;
use crate::config::{Allowed, Invalid};

/// A host and its port, as in `Host` and `Origin`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Host<'a> {
    /// A name, or an address; an IPv6 address with its brackets.
    name: &'a str,
    pub(super) port: Option<u16>,
}

impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(other.name) && self.port == other.port
    }
}

impl<'a> Host<'a> {
    /// Parses `uri-host [ ":" port ]` (RFC 9110, 7.2); `None` if it is invalid or empty.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let name_ends = match text.find(']') {
            Some(bracket) => bracket + 1,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (name, port) = text.split_at(name_ends);
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            _ => return None,
        };
        is_name(name).then_some(Self { name, port })
    }

    /// The host of a request; `None` if there is not exactly one.
    pub(super) fn of(headers: &'a HeaderMap) -> Option<Self> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next()?;
        if hosts.next().is_some() { None } else { Self::parse(host.as_bytes()) }
    }

    /// Whether the host is a loopback name or address, which no other machine can own.
    pub(super) fn is_loopback(&self) -> bool {
        let bare = self.name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        self.name.eq_ignore_ascii_case("localhost")
            || bare.unwrap_or(self.name).parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
    }
}

fn is_name(name: &str) -> bool {
    if let Some(address) = name.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte))
}

/// Names that a server accepts in addition to those of loopback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Arc<[String]>);

impl Allowed for Hosts {
    const ALLOWED: &'static str = "names without ports, such as lab.example,10.0.0.7";
}

impl FromStr for Hosts {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let names = text.split(',').map(|name| match name.trim() {
            name if is_name(name) => Ok(name.to_owned()),
            name => Err(Invalid::new(name, Self::ALLOWED)),
        });
        names.collect::<Result<_, _>>().map(Self)
    }
}

/// The hosts that one server accepts.
#[derive(Debug)]
pub(super) struct HostRule {
    /// The server's own address, which most requests have.
    own: String,
    /// Whether all names are accepted.
    open: bool,
    hosts: Hosts,
}

impl HostRule {
    /// The rule of a server that listens on `bound`. If others can reach it and `hosts` is empty, it accepts all names.
    pub(super) fn new(bound: Option<SocketAddr>, hosts: &Hosts) -> Self {
        let beyond_loopback = bound.is_some_and(|bound| !bound.ip().to_canonical().is_loopback());
        Self {
            own: bound.map(|bound| bound.to_string()).unwrap_or_default(),
            open: beyond_loopback && hosts.0.is_empty(),
            hosts: hosts.clone(),
        }
    }

    /// Refuses a request without a valid `Host` (400; HTTP/1.0 needs none), and one to another host (421).
    pub(super) fn check(&self, version: Version, headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
        let mut given = headers.get_all(header::HOST).iter();
        let host = match (given.next(), given.next()) {
            (Some(host), None) if host.as_bytes() == self.own.as_bytes() => None,
            (Some(host), None) => {
                Some(Host::parse(host.as_bytes()).ok_or_else(|| refused("Host is not a name and a port"))?)
            }
            (None, _) if version < Version::HTTP_11 => None,
            (None, _) => return Err(refused("Host is missing")),
            (Some(_), Some(_)) => return Err(refused("there is more than one Host")),
        };
        let target = match uri.authority() {
            None => None,
            Some(target) => {
                let target = Host::parse(target.as_str().as_bytes());
                Some(target.ok_or_else(|| refused("the target's host is not a name and a port"))?)
            }
        };
        match [host, target].into_iter().flatten().find(|host| !self.answers(host)) {
            None => Ok(()),
            Some(host) => Err(Problem::of(StatusCode::MISDIRECTED_REQUEST)
                .detail("this server accepts only requests to localhost and to the names in LAB_HOSTS")
                .with("host", host.name)),
        }
    }

    fn answers(&self, host: &Host<'_>) -> bool {
        self.open
            || host.is_loopback()
            || self.hosts.0.iter().any(|name| host.name.eq_ignore_ascii_case(name))
    }
}

fn refused(detail: &str) -> Problem {
    Problem::of(StatusCode::BAD_REQUEST).detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(rule: &HostRule, version: Version, hosts: &[&str], uri: &'static str) -> u16 {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, host.parse().unwrap());
        }
        let checked = rule.check(version, &headers, &Uri::from_static(uri));
        checked.err().map_or(0, |problem| problem.status().as_u16())
    }

    #[test]
    fn only_localhost_and_loopback_addresses_are_loopback() {
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST:8080", true),
            ("127.0.0.1:8080", true),
            ("127.9.9.9", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]", true),
            ("evil.example", false),
            ("localhost.evil.example:8080", false),
            ("127.0.0.1.evil.example", false),
            ("10.0.0.1", false),
            ("[::2]", false),
        ] {
            assert_eq!(Host::parse(host.as_bytes()).unwrap().is_loopback(), expected, "{host}");
        }
    }

    #[test]
    fn an_invalid_host_is_refused() {
        for host in [
            "",
            ":80",
            "a b",
            "user@localhost",
            "http://a",
            "a/b",
            "a:b",
            "a:+1",
            "a:65536",
            "::1",
            "[::1",
            "[a]",
            "[::1]x",
            "ä",
        ] {
            assert!(Host::parse(host.as_bytes()).is_none(), "{host}");
        }
        for (host, port) in [("a_b", None), ("a:", None), ("a:1", Some(1)), ("[::1]:65535", Some(65_535))] {
            assert_eq!(Host::parse(host.as_bytes()).unwrap().port, port, "{host}");
        }
    }

    #[test]
    fn a_request_must_address_one_accepted_host() {
        let told: Hosts = "lab.example, 10.0.0.7".parse().unwrap();
        let near = HostRule::new(Some(([127, 0, 0, 1], 80).into()), &told);
        let open = HostRule::new(Some(([0, 0, 0, 0], 80).into()), &Hosts::default());
        let told = HostRule::new(Some(([10, 0, 0, 8], 80).into()), &told);
        for (hosts, uri, expected) in [
            (&["127.0.0.1:80"][..], "/", [0, 0, 0]),
            (&["localhost"], "/", [0, 0, 0]),
            (&["Lab.Example:8443"], "/", [0, 0, 0]),
            (&["10.0.0.8:80"], "/", [421, 0, 0]),
            (&["rebound.example"], "/", [421, 0, 421]),
            (&["localhost"], "http://rebound.example/", [421, 0, 421]),
            (&["localhost"], "http://user@localhost/", [400; 3]),
            (&["localhost", "localhost"], "/", [400; 3]),
            (&["user@localhost"], "/", [400; 3]),
            (&[], "/", [400; 3]),
        ] {
            let refusals = [&near, &open, &told].map(|rule| refusal(rule, Version::HTTP_11, hosts, uri));
            assert_eq!(refusals, expected, "{hosts:?} {uri}");
        }
        for (hosts, expected) in [(&[][..], 0), (&["localhost"], 0), (&["a b"], 400), (&["a", "a"], 400)] {
            assert_eq!(refusal(&near, Version::HTTP_10, hosts, "/"), expected, "{hosts:?}");
        }
    }

    #[test]
    fn host_names_are_configured_without_ports() {
        assert_eq!("[::1], a".parse::<Hosts>().unwrap().0.len(), 2);
        for text in ["", "a,", "a:80", "http://a"] {
            assert!(text.parse::<Hosts>().is_err(), "{text}");
        }
    }
}
