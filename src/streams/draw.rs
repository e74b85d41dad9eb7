//! The streams' draws, keyed like the lab's: the seed, the stream, and the chunk's number in it.

use bytes::Bytes;
use rand::{Rng as _, RngExt as _};

use super::chunk::Chunk;
use crate::sim::{Key, Purpose};

/// The key of a chunk's draws: the stream stands where a call has its attempt.
pub(super) fn key(seed: u64, chunk: &Chunk) -> Key {
    key_of(seed, chunk.stream.id, chunk.index)
}

const fn key_of(seed: u64, stream: u32, index: u64) -> Key {
    Key { seed, request: index, service: 's', attempt: stream }
}

/// The pause before chunk `index` of a stream: uniform from 0 to `interval_ms`, whole milliseconds.
pub(super) fn pause_ms(seed: u64, stream: u32, index: u64, interval_ms: u64) -> u64 {
    match interval_ms {
        0 => 0,
        _ => key_of(seed, stream, index).rng(Purpose::Arrival).random_range(0..=interval_ms),
    }
}

/// The bytes of chunk `index`: random, 1 to `chunk_size_bytes` of them.
pub(super) fn payload(seed: u64, stream: u32, index: u64, chunk_size_bytes: usize) -> Bytes {
    let mut rng = key_of(seed, stream, index).rng(Purpose::Payload);
    let mut data = vec![0; rng.random_range(1..=chunk_size_bytes)];
    rng.fill_bytes(&mut data);
    Bytes::from(data)
}
