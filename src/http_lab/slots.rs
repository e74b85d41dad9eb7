//! The process's safety stop: a limit on the work in flight, whether or not its caller still waits.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Counts requests whose work has not ended, detached tasks included.
#[derive(Debug)]
pub(super) struct Slots {
    in_use: AtomicUsize,
    capacity: usize,
}

impl Slots {
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { in_use: AtomicUsize::new(0), capacity })
    }

    /// Takes a slot, unless all are taken.
    pub(super) fn take(self: &Arc<Self>) -> Option<Slot> {
        if self.in_use.fetch_add(1, Ordering::Relaxed) >= self.capacity {
            self.in_use.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Slot(self.clone()))
    }

    pub(super) fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }
}

/// One unit of work in flight, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.in_use.fetch_sub(1, Ordering::Relaxed);
    }
}
