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

use opentelemetry::{KeyValue, metrics::Meter};
use tokio::{
    runtime::Handle,
    time::{Instant, MissedTickBehavior, interval},
};

use super::alloc::allocations;
use crate::output;

/// How often the workers' busy time is looked at.
const BUSY_WINDOW: Duration = Duration::from_secs(1);

pub(super) fn observe(meter: &Meter) {
    meter
        .u64_observable_counter("process_allocations")
        .with_description("Times memory was asked for")
        .with_callback(|observer| observer.observe(allocations().count, &[]))
        .build();
    meter
        .u64_observable_counter("process_allocated_bytes")
        .with_description("Bytes asked for since the start")
        .with_callback(|observer| observer.observe(allocations().bytes, &[]))
        .build();
    meter
        .u64_observable_gauge("process_heap_bytes")
        .with_description("Bytes asked for and not given back")
        .with_callback(|observer| observer.observe(allocations().held_bytes, &[]))
        .build();
    meter
        .u64_observable_counter("output_lines_lost")
        .with_description("Lines of output that found no room or could not be written, by destination")
        .with_callback(|observer| {
            for (name, lines) in output::lost_lines() {
                observer.observe(lines, &[KeyValue::new("destination", name)]);
            }
        })
        .build();
    #[cfg(target_os = "linux")]
    observe_procfs(meter);
}

#[cfg(target_os = "linux")]
fn observe_procfs(meter: &Meter) {
    use procfs::{WithCurrentSystemInfo as _, process::Process};

    meter
        .u64_observable_gauge("process_resident_memory_bytes")
        .with_description("Memory of the process that is in RAM")
        .with_callback(|observer| {
            if let Ok(stat) = Process::myself().and_then(|process| process.stat()) {
                observer.observe(stat.rss_bytes().get(), &[]);
            }
        })
        .build();
    meter
        .f64_observable_counter("process_cpu_seconds")
        .with_description("Processor time used, user and system")
        .with_callback(|observer| {
            if let Ok(stat) = Process::myself().and_then(|process| process.stat()) {
                let ticks = (stat.utime + stat.stime) as f64;
                observer.observe(ticks / procfs::ticks_per_second() as f64, &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("process_open_fds")
        .with_description("Open file descriptors")
        .with_callback(|observer| {
            if let Ok(count) = Process::myself().and_then(|process| process.fd_count()) {
                observer.observe(count as u64, &[]);
            }
        })
        .build();
}

pub(super) fn observe_runtime(meter: &Meter, handle: Handle) {
    let metrics = handle.metrics();
    meter
        .u64_observable_gauge("tokio_alive_tasks")
        .with_description("Tasks that have not ended")
        .with_callback(move |observer| observer.observe(metrics.num_alive_tasks() as u64, &[]))
        .build();
    let metrics = handle.metrics();
    meter
        .u64_observable_gauge("tokio_global_queue_depth")
        .with_description("Tasks that wait for a worker in the shared queue")
        .with_callback(move |observer| observer.observe(metrics.global_queue_depth() as u64, &[]))
        .build();
    let busy = Arc::new(AtomicU64::new(0.0_f64.to_bits()));
    handle.spawn(sample_busy_ratio(handle.clone(), busy.clone()));
    meter
        .f64_observable_gauge("tokio_busy_ratio")
        .with_description("Share of the workers' time spent working, over the last second")
        .with_callback(move |observer| observer.observe(f64::from_bits(busy.load(Relaxed)), &[]))
        .build();
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
