//! Random draws that depend on their key only.
//!
//! Request 17 gets the same draws of service B under every strategy, in any order, on any thread: a draw is
//! the first output of a ChaCha8 generator whose 256-bit key *is* (seed, request, service, attempt,
//! purpose). ChaCha8 is specified, so the draws are equal between versions and machines.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a draw is for, so that adding one draw shifts no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// How long the service works.
    Latency = 1,
    /// Whether the call fails.
    Failure = 2,
    /// How long until the next arrival.
    Arrival = 3,
    /// The content of an arrival.
    Payload = 4,
    /// How long to wait before a retry.
    Backoff = 5,
}

/// Names one call of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The run's seed.
    pub seed: u64,
    /// The request's number within its endpoint, from 0.
    pub request: u64,
    /// Which service (`'A'`, `'B'`).
    pub service: char,
    /// The attempt, from 0.
    pub attempt: u32,
}

impl Key {
    /// The generator for one purpose of this call.
    pub fn rng(&self, purpose: Purpose) -> ChaCha8Rng {
        let mut key = [0_u8; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&self.request.to_le_bytes());
        key[16..20].copy_from_slice(&u32::from(self.service).to_le_bytes());
        key[20..24].copy_from_slice(&self.attempt.to_le_bytes());
        key[24] = purpose as u8;
        ChaCha8Rng::from_seed(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    const KEY: Key = Key { seed: 1, request: 17, service: 'B', attempt: 0 };

    #[test]
    fn the_same_key_draws_the_same_and_any_other_key_another() {
        let first = |key: Key, purpose| key.rng(purpose).next_u64();
        assert_eq!(first(KEY, Purpose::Latency), first(KEY, Purpose::Latency));
        let others = [
            first(KEY, Purpose::Failure),
            first(Key { seed: 2, ..KEY }, Purpose::Latency),
            first(Key { request: 18, ..KEY }, Purpose::Latency),
            first(Key { service: 'A', ..KEY }, Purpose::Latency),
            first(Key { attempt: 1, ..KEY }, Purpose::Latency),
        ];
        for other in others {
            assert_ne!(other, first(KEY, Purpose::Latency));
        }
    }

    #[test]
    fn draws_do_not_change_between_versions() {
        assert_eq!(KEY.rng(Purpose::Latency).next_u64(), 538_298_156_955_076_404);
    }
}
