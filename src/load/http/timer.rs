//! Timers that are finer than Tokio's millisecond: the kernel's timer, if it is available.

use tokio::time::{Instant, sleep_until};

/// A fine timer for one waiter at a time; others use Tokio's timers.
#[derive(Debug, Default)]
pub(super) struct Timer {
    #[cfg(target_os = "linux")]
    fine: tokio::sync::Mutex<Option<kernel::KernelTimer>>,
}

impl Timer {
    /// Waits until `at`, or a little longer. Dropping the future ends the wait.
    pub(super) async fn wait_until(&self, at: Instant) {
        #[cfg(target_os = "linux")]
        if let Ok(mut fine) = self.fine.try_lock() {
            if fine.is_none() {
                *fine = kernel::KernelTimer::new().ok();
            }
            if let Some(timer) = fine.as_mut()
                && timer.wait_until(at).await.is_ok()
            {
                return;
            }
        }
        sleep_until(at).await;
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;
    use tokio::time::Instant;

    /// The shortest sleep: arrivals that are closer together are handed over together, at most so late.
    const SHORTEST: Duration = Duration::from_micros(500);

    #[derive(Debug)]
    pub(super) struct KernelTimer(AsyncFd<OwnedFd>);

    impl KernelTimer {
        pub(super) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            // SAFETY: the descriptor is open, and owned by the `AsyncFd` alone for as long as that lives.
            Ok(Self(unsafe { AsyncFd::register(timer) }?))
        }

        pub(super) async fn wait_until(&mut self, at: Instant) -> io::Result<()> {
            let length = at.saturating_duration_since(Instant::now()).max(SHORTEST);
            let once = Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: Timespec::try_from(length).map_err(io::Error::other)?,
            };
            // Setting it also forgets an earlier wait that was dropped.
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
            while Instant::now() < at {
                let mut ready = self.0.readable().await?;
                // What it counts is of no interest; reading clears it.
                let _ = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut [0_u8; 8])?));
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_never_wakes_early_and_a_dropped_wait_is_forgotten() {
        let timer = Timer::default();
        for us in [0, 100, 700, 3_000] {
            let at = Instant::now() + Duration::from_micros(us);
            timer.wait_until(at).await;
            assert!(Instant::now() >= at);
        }
        let long = Instant::now() + Duration::from_secs(3_600);
        let dropped = tokio::time::timeout(Duration::from_millis(5), timer.wait_until(long)).await;
        assert!(dropped.is_err());
        let at = Instant::now() + Duration::from_millis(2);
        timer.wait_until(at).await;
        assert!(Instant::now() >= at && Instant::now() < long);
    }
}
