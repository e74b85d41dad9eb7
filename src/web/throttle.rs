//! Limits the rate of failed attempts per client, with a bounded number of token buckets. Pure.
//!
//! A client is an IPv4 address or an IPv6 /64 network, which usually belongs to one client. Only failures create a
//! bucket. When there are too many, the least recently used one is dropped, because it has refilled the longest.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use tokio::time::Instant;

/// The rate of failures, and the largest burst.
const FAILURES_PER_SECOND: f64 = 10.0;
const PEERS_MAX: usize = 1_024;

/// The buckets of all clients; those without an address share one.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    buckets: HashMap<Option<IpAddr>, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl Throttle {
    /// Whether `peer` may make another attempt at `now`.
    pub(super) fn is_open(&mut self, peer: Option<SocketAddr>, now: Instant) -> bool {
        self.buckets.get_mut(&network(peer)).is_none_or(|bucket| bucket.filled(now).tokens >= 1.0)
    }

    /// Records a failed attempt of `peer`.
    pub(super) fn failed(&mut self, peer: Option<SocketAddr>, now: Instant) {
        let peer = network(peer);
        if self.buckets.len() >= PEERS_MAX && !self.buckets.contains_key(&peer) {
            let oldest = self.buckets.iter().min_by_key(|(_, bucket)| bucket.filled_at);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.buckets.remove(&oldest);
            }
        }
        let full = || Bucket { tokens: FAILURES_PER_SECOND, filled_at: now };
        self.buckets.entry(peer).or_insert_with(full).filled(now).tokens -= 1.0;
    }
}

impl Bucket {
    fn filled(&mut self, now: Instant) -> &mut Self {
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * FAILURES_PER_SECOND).min(FAILURES_PER_SECOND);
        self.filled_at = now;
        self
    }
}

fn network(peer: Option<SocketAddr>) -> Option<IpAddr> {
    Some(match peer?.ip().to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn peer(ip: &str) -> Option<SocketAddr> {
        Some((ip.parse::<IpAddr>().unwrap(), 1).into())
    }

    /// A throttle after as many failures of `ip` as it allows.
    fn closed_by(ip: &str, now: Instant) -> Throttle {
        let mut throttle = Throttle::default();
        for _ in 0..10 {
            assert!(throttle.is_open(peer(ip), now));
            throttle.failed(peer(ip), now);
        }
        assert!(!throttle.is_open(peer(ip), now));
        throttle
    }

    #[tokio::test(start_paused = true)]
    async fn ten_failures_close_it_and_a_tenth_of_a_second_allows_one_more() {
        let now = Instant::now();
        let one = peer("10.0.0.1");
        let mut throttle = closed_by("10.0.0.1", now);
        assert!(!throttle.is_open(one, now + Duration::from_millis(90)));
        assert!(throttle.is_open(one, now + Duration::from_millis(110)));
        throttle.failed(one, now + Duration::from_millis(110));
        assert!(!throttle.is_open(one, now + Duration::from_millis(120)));
    }

    #[tokio::test(start_paused = true)]
    async fn it_closes_only_for_one_peer() {
        let now = Instant::now();
        let mut throttle = closed_by("10.0.0.1", now);
        for (ip, open) in [("10.0.0.2", true), ("::ffff:10.0.0.1", false), ("::1", true)] {
            assert_eq!(throttle.is_open(peer(ip), now), open, "{ip}");
        }
        assert!(throttle.is_open(None, now));
        let mut throttle = closed_by("2001:db8:0:1::1", now);
        assert!(!throttle.is_open(peer("2001:db8:0:1:ffff::2"), now));
        assert!(throttle.is_open(peer("2001:db8:0:2::1"), now));
    }

    #[tokio::test(start_paused = true)]
    async fn its_buckets_are_bounded_and_the_least_recently_used_is_dropped() {
        let now = Instant::now();
        let mut throttle = closed_by("10.1.0.0", now);
        let later = now + Duration::from_millis(1);
        for at in 1..=PEERS_MAX as u32 {
            assert!(throttle.buckets.contains_key(&network(peer("10.1.0.0"))));
            let ip = std::net::Ipv4Addr::from_bits(0x0a01_0000 + at);
            throttle.failed(Some((ip, 1).into()), later);
        }
        assert_eq!(throttle.buckets.len(), PEERS_MAX);
        assert!(throttle.is_open(peer("10.1.0.0"), later), "forgotten");
    }
}
