//! What the process and the runtime use, observed when somebody looks.
//!
//! Callbacks run on the exporter's thread and must not panic: what cannot be read is left out.

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
use crate::output;

/// How often the workers' busy time is looked at.
const BUSY_WINDOW: Duration = Duration::from_secs(1);

pub(super) fn observe(instruments: &Instruments) {
    instruments
        .observe(|| Some(allocations()))
        .show("process_allocations_total", "Times memory was asked for", |asked| asked.count)
        .show("process_allocated_bytes_total", "Bytes asked for since the start", |asked| asked.bytes)
        .show("process_heap_bytes", "Bytes asked for and not given back", |asked| asked.held_bytes);
    instruments.observe(|| Some(output::lost_lines())).show_by(
        "output_lines_lost_total",
        "Lines of output that found no room or could not be written, by destination",
        ["destination"],
        |lost| lost.iter().map(|(name, lines)| ([*name], *lines)).collect::<Vec<_>>(),
    );
    #[cfg(target_os = "linux")]
    observe_procfs(instruments);
}

#[cfg(target_os = "linux")]
fn observe_procfs(instruments: &Instruments) {
    use procfs::{WithCurrentSystemInfo as _, process::Process};

    instruments
        .observe(|| Process::myself().and_then(|process| process.stat()).ok())
        .show("process_resident_memory_bytes", "Memory of the process that is in RAM", |stat| {
            stat.rss_bytes().get()
        })
        .show("process_cpu_seconds_total", "Processor time used, user and system", |stat| {
            (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64
        });
    instruments.observe(|| Process::myself().and_then(|process| process.fd_count()).ok()).show(
        "process_open_fds",
        "Open file descriptors",
        |count| *count as u64,
    );
}

pub(super) fn observe_runtime(instruments: &Instruments, handle: Handle) {
    let metrics = handle.metrics();
    instruments
        .observe(move || Some(metrics.clone()))
        .show("tokio_alive_tasks", "Tasks that have not ended", |runtime| runtime.num_alive_tasks() as u64)
        .show("tokio_global_queue_depth", "Tasks that wait for a worker in the shared queue", |runtime| {
            runtime.global_queue_depth() as u64
        });
    let busy = Arc::new(AtomicU64::new(0.0_f64.to_bits()));
    handle.spawn(sample_busy_ratio(handle.clone(), busy.clone()));
    instruments.observe(move || Some(f64::from_bits(busy.load(Relaxed)))).show(
        "tokio_busy_ratio",
        "Share of the workers' time spent working, over the last second",
        |ratio| *ratio,
    );
}

/// Two readers look at the metrics, so the difference over time is taken by neither of them.
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
