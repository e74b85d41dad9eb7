//! Kills the commands' process groups when this process ends, even by `kill -9`.
//!
//! Each command leads a process group. The kernel kills the leader when the thread that started it ends
//! (`PR_SET_PDEATHSIG`; the thread is one of the runtime's workers, which live as long as the runtime). A guard
//! process kills the rest of the group. The guard is a second copy of this program. It receives the ID of each
//! group through a socket, and kills the groups it knows when the socket closes; the kernel closes it even after
//! `kill -9`. The guard and the commands have process groups of their own, so Ctrl-C in a terminal does not reach
//! them.
//!
//! The new process registers its own group between fork and exec: if its parent did, the command could start
//! children before the guard knows the group. A group is unregistered before its leader is reaped, because
//! after that the system may reuse its ID.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    net::{SendFlags, send},
    process::{Pid, Signal, getpid, kill_process_group, test_kill_process_group},
};

use tokio::process::{Child, Command};

/// A handle to the guard process, which starts guarded commands. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard {
    /// The guard process reads the other end.
    line: Arc<UnixStream>,
    gone: Arc<AtomicBool>,
}

impl Guard {
    /// The hidden command of this program that stands guard.
    pub const COMMAND: &str = "guard";

    /// Starts the guard process: this program with `arguments`, which must make it call [`stand_guard`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(arguments: &[&str]) -> io::Result<Self> {
        let (line, end) = UnixStream::pair()?;
        let mut command = std::process::Command::new(std::env::current_exe()?);
        command.args(arguments).stdin(OwnedFd::from(end)).stdout(Stdio::null()).stderr(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        // It outlives this process, so nothing here waits for it.
        drop(command.spawn()?);
        Ok(Self { line: Arc::new(line), gone: Arc::default() })
    }

    /// Starts `command` as the leader of a guarded process group.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<(Child, Group)> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.process_group(0);
        register_and_die_with_this_thread(command, self.line.clone());
        match command.spawn() {
            Ok(child) => {
                let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
                Ok((child, Group { guard: self.clone(), id }))
            }
            Err(error) => {
                // The child may have registered its group before exec failed.
                self.tell(b"!\n");
                Err(error)
            }
        }
    }

    fn tell(&self, message: &[u8]) {
        if let Err(error) = send(&*self.line, message, SendFlags::NOSIGNAL)
            && !self.gone.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, "the guard has ended: what commands start may outlive a kill of this process");
        }
    }
}

/// Makes the new process register its group with the guard, and the kernel kill it when this thread ends.
fn register_and_die_with_this_thread(command: &mut Command, line: Arc<UnixStream>) {
    let parent = getpid();
    let prepare = move || {
        let mut buffer = [0_u8; 16];
        // Without a guard the command runs all the same; `Guard::tell` logs it.
        let _ = send(line.as_fd(), plus(getpid(), &mut buffer), SendFlags::NOSIGNAL);
        die_with(parent)
    };
    // SAFETY: between fork and exec only system calls are made; nothing is allocated or locked.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(prepare);
    }
}

/// Makes the kernel kill a child that `command` starts when the thread that starts it ends, and so at the latest with
/// this process, even by `kill -9`. Start it from a worker of the runtime, which lives as long as the runtime.
pub fn die_with_this_process(command: &mut Command) {
    let parent = getpid();
    // SAFETY: between fork and exec only system calls are made; nothing is allocated or locked.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(move || die_with(parent));
    }
}

/// Formats `+ID\n` without allocating, which is not allowed between fork and exec.
fn plus(id: Pid, buffer: &mut [u8; 16]) -> &[u8] {
    let mut rest = id.as_raw_nonzero().get();
    let mut at = buffer.len() - 1;
    buffer[at] = b'\n';
    while rest > 0 && at > 1 {
        at -= 1;
        buffer[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    at -= 1;
    buffer[at] = b'+';
    &buffer[at..]
}

#[cfg(target_os = "linux")]
fn die_with(parent: Pid) -> io::Result<()> {
    use rustix::process::{getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have ended before the line above.
    if getppid() == Some(parent) { Ok(()) } else { Err(io::Error::from(rustix::io::Errno::SRCH)) }
}

#[cfg(not(target_os = "linux"))]
fn die_with(_: Pid) -> io::Result<()> {
    Ok(())
}

/// One command's process group. Dropping it kills the group.
#[derive(Debug)]
pub(super) struct Group {
    guard: Guard,
    id: Option<Pid>,
}

impl Group {
    /// Waits until the leader has ended. On Linux it does not reap the leader, so that the system cannot reuse the
    /// group's ID yet. Cancel safe.
    pub(super) async fn ended(&self, child: &mut Child) {
        #[cfg(target_os = "linux")]
        if let Some(descriptor) = self.descriptor() {
            let readable = descriptor.readable().await.map(|_| ());
            if readable.is_ok() {
                return;
            }
        }
        // Tokio keeps the status for the next `wait`.
        let _ = child.wait().await;
    }

    #[cfg(target_os = "linux")]
    fn descriptor(&self) -> Option<tokio::io::unix::AsyncFd<rustix::fd::OwnedFd>> {
        use rustix::process::{PidfdFlags, pidfd_open};
        let descriptor = pidfd_open(self.id?, PidfdFlags::NONBLOCK).ok()?;
        // SAFETY: the registration owns the descriptor, so it stays open until the registration is dropped.
        #[allow(unsafe_code)]
        unsafe {
            tokio::io::unix::AsyncFd::register_with_interest(descriptor, tokio::io::Interest::READABLE).ok()
        }
    }

    /// Kills what is left of the group and unregisters it.
    pub(super) fn end(self) {
        drop(self);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // It may be empty already.
            let _ = kill_process_group(id, Signal::KILL);
            self.guard.tell(format!("-{id}\n").as_bytes());
        }
    }
}

/// Runs the guard process: it reads group IDs from standard input, and kills the registered groups when standard
/// input closes.
///
/// # Errors
/// When standard input cannot be read.
pub fn stand_guard() -> io::Result<()> {
    let mut groups = Vec::new();
    for line in io::stdin().lines() {
        let line = line?;
        let id =
            line.get(1..).and_then(|id| id.parse::<i32>().ok()).filter(|id| *id > 1).and_then(Pid::from_raw);
        match line.as_bytes().first() {
            Some(b'+') => groups.extend(id),
            Some(b'-') => groups.retain(|group| Some(*group) != id),
            // A command could not be started: its group is empty.
            Some(b'!') => groups.retain(|group| test_kill_process_group(*group).is_ok()),
            _ => {}
        }
    }
    for group in groups {
        // It may be empty already.
        let _ = kill_process_group(group, Signal::KILL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registration_is_formatted_without_allocating() {
        for id in [1, 9, 10, 4_194_304, i32::MAX] {
            let pid = Pid::from_raw(id).expect("positive");
            assert_eq!(plus(pid, &mut [0; 16]), format!("+{id}\n").as_bytes());
        }
    }
}
