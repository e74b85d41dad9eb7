//! The processor time and memory of a process, from `/proc`.

use std::time::Duration;

/// A process's processor time so far and its current memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// User and system time of all threads, with the resolution of a clock tick (usually 10 ms).
    pub(super) cpu: Duration,
    /// Resident memory (`VmRSS`).
    pub(super) resident_bytes: u64,
}

impl Usage {
    #[cfg(target_os = "linux")]
    pub(super) fn of(pid: u32) -> anyhow::Result<Self> {
        use anyhow::Context;

        let process = procfs::process::Process::new(pid.try_into()?)?;
        let stat = process.stat()?;
        let ticks = stat.utime + stat.stime;
        let resident_kib = process.status()?.vmrss.context("the process has no memory: it has ended")?;
        Ok(Self {
            cpu: Duration::from_secs_f64(ticks as f64 / procfs::ticks_per_second() as f64),
            resident_bytes: resident_kib * 1024,
        })
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(_pid: u32) -> anyhow::Result<Self> {
        anyhow::bail!("processor time and memory of a child are read from /proc: Linux only")
    }
}

/// The processor time of this process's ended children, with the resolution of a clock tick.
#[cfg(target_os = "linux")]
pub(super) fn ended_children() -> anyhow::Result<Duration> {
    let stat = procfs::process::Process::myself()?.stat()?;
    let ticks = u64::try_from(stat.cutime + stat.cstime)?;
    Ok(Duration::from_secs_f64(ticks as f64 / procfs::ticks_per_second() as f64))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn ended_children() -> anyhow::Result<Duration> {
    anyhow::bail!("the processor time of a child is read from /proc: Linux only")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_a_missing_one_is_an_error() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.resident_bytes > 1 << 20, "{usage:?}");
        assert!(Usage::of(0x3fff_ffff).is_err());
    }
}
