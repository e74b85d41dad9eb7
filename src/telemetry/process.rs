//! Metrics of the process and of the Tokio runtime, read when metrics are collected.
//!
//! The callbacks run on the exporter's thread and must not panic. They leave out a value that they cannot read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{alloc::allocations, instruments::Instruments};
use crate::{metrics, output};

metrics! {
    /// Lines of output lost because the queue was full or writing failed, by destination (stderr, stdout, log_file)
    LINES_LOST: "output_lines_lost_total" by "destination";
    /// Memory allocations since the start
    ALLOCATIONS: "process_allocations_total";
    /// Bytes allocated since the start
    ALLOCATED_BYTES: "process_allocated_bytes_total";
    /// Bytes allocated and not freed
    HEAP_BYTES: "process_heap_bytes";
    /// Tasks that have not ended
    ALIVE_TASKS: "tokio_alive_tasks";
    /// Tasks in the shared queue that wait for a worker thread
    GLOBAL_QUEUE_DEPTH: "tokio_global_queue_depth";
    /// Share of time that the worker threads were busy in the last second
    BUSY_RATIO: "tokio_busy_ratio";
}

/// The window over which the workers' busy share is measured.
const BUSY_WINDOW: Duration = Duration::from_secs(1);

pub(super) fn observe(instruments: &Instruments) {
    instruments
        .observe(|| Some(allocations()))
        .show(ALLOCATIONS, |asked| asked.count)
        .show(ALLOCATED_BYTES, |asked| asked.bytes)
        .show(HEAP_BYTES, |asked| asked.held_bytes);
    instruments
        .observe(|| Some(output::lost_lines()))
        .show_by(LINES_LOST, |lost| lost.iter().map(|(name, lines)| ([*name], *lines)).collect::<Vec<_>>());
    #[cfg(target_os = "linux")]
    observe_procfs(instruments);
}

#[cfg(target_os = "linux")]
fn observe_procfs(instruments: &Instruments) {
    use procfs::{WithCurrentSystemInfo as _, process::Process};

    metrics! {
        /// Memory of the process that is in RAM
        RESIDENT_MEMORY_BYTES: "process_resident_memory_bytes";
        /// Processor time used, user and system
        CPU_SECONDS: "process_cpu_seconds_total";
        /// Open file descriptors
        OPEN_FDS: "process_open_fds";
    }
    instruments
        .observe(|| Process::myself().and_then(|process| process.stat()).ok())
        .show(RESIDENT_MEMORY_BYTES, |stat| stat.rss_bytes().get())
        .show(CPU_SECONDS, |stat| (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64);
    instruments
        .observe(|| Process::myself().and_then(|process| process.fd_count()).ok())
        .show(OPEN_FDS, |count| *count as u64);
}

pub(super) fn observe_runtime(instruments: &Instruments, handle: Handle) {
    let metrics = handle.metrics();
    instruments
        .observe(move || Some(metrics.clone()))
        .show(ALIVE_TASKS, |runtime| runtime.num_alive_tasks() as u64)
        .show(GLOBAL_QUEUE_DEPTH, |runtime| runtime.global_queue_depth() as u64);
    let busy = Arc::new(AtomicU64::new(0.0_f64.to_bits()));
    handle.spawn(sample_busy_ratio(handle.clone(), busy.clone()));
    instruments.observe(move || Some(f64::from_bits(busy.load(Relaxed)))).show(BUSY_RATIO, |ratio| *ratio);
}

/// Measures the busy share once per window. Two exporters read the metric, so neither of them may compute the
/// difference since its own last read.
async fn sample_busy_ratio(handle: Handle, ratio: Arc<AtomicU64>) {
    let metrics = handle.metrics();
    let total = || -> Duration {
        (0..metrics.num_workers()).map(|worker| metrics.worker_total_busy_duration(worker)).sum()
    };
    let mut ticks = interval(BUSY_WINDOW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut then, mut busy_then) = (Instant::now(), total());
    loop {
        ticks.tick().await;
        let (now, busy_now) = (Instant::now(), total());
        let window = now.duration_since(then).as_secs_f64() * metrics.num_workers() as f64;
        if window > 0.0 {
            let share = busy_now.saturating_sub(busy_then).as_secs_f64() / window;
            ratio.store(share.min(1.0).to_bits(), Relaxed);
            (then, busy_then) = (now, busy_now);
        }
    }
}
