//! Which addresses a client may connect to.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    task::{Context, Poll, ready},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower::Service;

use super::failure::NoAddress;

/// Which addresses a client may connect to. The rule is applied to the addresses that a name has when the connection is
/// made, so a name that changes its address cannot lead elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Any address.
    Anywhere,
    /// No private, link-local, loopback or otherwise special address.
    Public,
}

impl Reach {
    /// Whether connections to `ip` are allowed.
    pub fn allows(self, ip: IpAddr) -> bool {
        self == Self::Anywhere || is_public(ip)
    }
}

/// Whether an address is a host's on the public internet (IANA's special-purpose registries).
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || a == 0
        || a >= 240
        // Carriers' own, and benchmarks.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b));
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        // NAT64 and 6to4 lead to an IPv4 address.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => is_public_v4(embedded(high, low)),
        // Global unicast, without documentation and Teredo.
        [0x2001, 0xdb8 | 0, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Looks names up, and leaves out the addresses that are not allowed.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    names: GaiResolver,
    reach: Reach,
}

impl Resolver {
    pub(super) fn new(reach: Reach) -> Self {
        Self { names: GaiResolver::new(), reach }
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = NoAddress;
    type Future = BoxFuture<'static, Result<Self::Response, NoAddress>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), NoAddress>> {
        Poll::Ready(ready!(self.names.poll_ready(context)).map_err(NoAddress::NotResolved))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (found, reach) = (self.names.call(name), self.reach);
        let lookup = async move {
            let found: Vec<SocketAddr> = found.await.map_err(NoAddress::NotResolved)?.collect();
            let allowed: Vec<SocketAddr> =
                found.iter().copied().filter(|addr| reach.allows(addr.ip())).collect();
            match found.first() {
                Some(forbidden) if allowed.is_empty() => Err(NoAddress::NotPublic(forbidden.ip())),
                _ => Ok(allowed.into_iter()),
            }
        };
        lookup.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_not_public_however_they_are_written() {
        for (ip, expected) in [
            ("8.8.8.8", true),
            ("2606:4700:4700::1111", true),
            ("10.0.0.1", false),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("172.16.0.1", false),
            ("192.168.1.1", false),
            ("100.64.0.1", false),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("64:ff9b::a00:1", false),
            ("2002:7f00:1::", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(Reach::Public.allows(ip.parse().unwrap()), expected, "{ip}");
        }
    }
}
