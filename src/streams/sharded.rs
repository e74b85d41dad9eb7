//! A value for each thread, as far as they reach, so that threads that record seldom meet at a lock.

use std::{
    array,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use parking_lot::{Mutex, MutexGuard};

/// Threads beyond these share.
const SHARDS: usize = 8;

static NEXT_THREAD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: usize = NEXT_THREAD.fetch_add(1, Relaxed);
}

/// Values of which each thread changes its own.
#[derive(Debug)]
pub(super) struct Sharded<T>([Shard<T>; SHARDS]);

/// Alone in its cache lines.
#[derive(Debug)]
#[repr(align(128))]
struct Shard<T>(Mutex<T>);

impl<T: Default> Sharded<T> {
    pub(super) fn new() -> Self {
        Self::of(T::default)
    }
}

impl<T> Sharded<T> {
    /// One value of `make` for each shard.
    pub(super) fn of(make: impl Fn() -> T) -> Self {
        Self(array::from_fn(|_| Shard(Mutex::new(make()))))
    }

    /// The value of this thread.
    pub(super) fn mine(&self) -> MutexGuard<'_, T> {
        self.0[THREAD.with(|thread| *thread) % SHARDS].0.lock()
    }

    /// One after the other.
    pub(super) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.0.iter().map(|shard| shard.0.lock())
    }
}
