//! An allocator that counts, in place of the garbage collector metrics of other runtimes.
//!
//! Rust frees memory when its owner is dropped, so there are no collection pauses to measure. The lab measures
//! how often memory is allocated, how many bytes, and how many are still allocated. The system's allocator does
//! the work. Each of the first threads counts in cache lines of its own, so that counting costs a few plain
//! additions.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// How many threads get their own shard; all later threads share the last.
const OWN_SHARDS: usize = 63;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

/// One thread's counts, in cache lines of their own.
#[repr(align(128))]
struct Shard {
    allocations: AtomicU64,
    allocated_bytes: AtomicU64,
    freed_bytes: AtomicU64,
}

static COUNTS: [Shard; OWN_SHARDS + 1] = [const {
    Shard {
        allocations: AtomicU64::new(0),
        allocated_bytes: AtomicU64::new(0),
        freed_bytes: AtomicU64::new(0),
    }
}; OWN_SHARDS + 1];
static NEXT_SHARD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // No destructor and a constant initial value: safe to use inside the allocator.
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// This thread's shard, and whether no other thread uses it.
fn shard() -> (&'static Shard, bool) {
    let index = SHARD
        .try_with(|mine| {
            if mine.get() == usize::MAX {
                mine.set(NEXT_SHARD.fetch_add(1, Relaxed).min(OWN_SHARDS));
            }
            mine.get()
        })
        .unwrap_or(OWN_SHARDS);
    (&COUNTS[index], index < OWN_SHARDS)
}

/// Adds to a counter. If no other thread writes to it, no atomic read-modify-write is needed.
fn add(counter: &AtomicU64, amount: u64, own: bool) {
    if own {
        counter.store(counter.load(Relaxed).wrapping_add(amount), Relaxed);
    } else {
        counter.fetch_add(amount, Relaxed);
    }
}

fn count_allocation(bytes: usize) {
    let (shard, own) = shard();
    add(&shard.allocations, 1, own);
    add(&shard.allocated_bytes, bytes as u64, own);
}

fn count_free(bytes: usize) {
    let (shard, own) = shard();
    add(&shard.freed_bytes, bytes as u64, own);
}

// SAFETY: every call is passed on to the system's allocator unchanged; counting neither allocates
// nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_allocation(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count_free(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_allocation(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count_allocation(new_size);
        count_free(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(memory, layout, new_size) }
    }
}

/// Allocations since the start of the process.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Allocations {
    /// How many allocations there were; a reallocation counts as one.
    pub(super) count: u64,
    /// Bytes allocated.
    pub(super) bytes: u64,
    /// Bytes allocated and not freed.
    pub(super) held_bytes: u64,
}

pub(super) fn allocations() -> Allocations {
    let mut sum = Allocations::default();
    let mut freed_bytes = 0_u64;
    for shard in &COUNTS {
        // Read the freed bytes first: otherwise a block that another thread frees meanwhile could make the
        // difference negative.
        freed_bytes = freed_bytes.wrapping_add(shard.freed_bytes.load(Relaxed));
    }
    for shard in &COUNTS {
        sum.count += shard.allocations.load(Relaxed);
        sum.bytes += shard.allocated_bytes.load(Relaxed);
    }
    sum.held_bytes = sum.bytes.saturating_sub(freed_bytes);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocated_bytes_are_counted_and_freed_bytes_are_not_held() {
        const BIG: usize = 64 << 20;
        let before = allocations();
        let block = vec![1_u8; BIG];
        let during = allocations();
        assert!(during.bytes - before.bytes >= BIG as u64);
        assert!(during.count > before.count);
        drop(block);
        let after = allocations();
        // Other tests allocate meanwhile, but nothing near this block.
        assert!(during.held_bytes - after.held_bytes > BIG as u64 / 2);
    }
}
