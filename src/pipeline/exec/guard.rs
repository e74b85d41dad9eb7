//! Process groups that end with this process, however it ends.
//!
//! Each command leads a process group. The kernel kills the leader when the thread that started it ends
//! (`PR_SET_PDEATHSIG`; that is a runtime's worker thread, which lives as long as the runtime). The rest of
//! the group is the guard's: a second copy of this program that is told each group's number through a pipe
//! and kills those it knows when the pipe closes, which the kernel sees to even after `kill -9`. The guard
//! leads a group of its own, so that Ctrl-C in a terminal does not reach it, nor the commands.
//!
//! A group is forgotten before its leader is reaped: until then its number cannot be given to another.

use std::{
    io::{self, Write as _},
    process::{ChildStdin, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::process::{Child, Command};

/// Starts commands and knows their groups; cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard {
    pipe: Arc<Mutex<Option<ChildStdin>>>,
}

impl Guard {
    /// Starts the guard process: this program with the arguments `arguments`, which must lead it to
    /// [`stand_guard`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(arguments: &[&str]) -> io::Result<Self> {
        let mut command = std::process::Command::new(std::env::current_exe()?);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let pipe = child.stdin.take();
        // It ends when the pipe closes, after this process or with it: nobody is left to wait for it.
        drop(child);
        Ok(Self { pipe: Arc::new(Mutex::new(pipe)) })
    }

    /// Starts `command` as the leader of a group that is guarded.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<(Child, Group)> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        #[cfg(target_os = "linux")]
        die_with_this_thread(command);
        let child = command.spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        self.tell('+', id);
        Ok((child, Group { guard: self.clone(), id }))
    }

    fn tell(&self, sign: char, id: Option<i32>) {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(id), Some(to)) = (id, pipe.as_mut())
            && let Err(error) = to.write_all(format!("{sign}{id}\n").as_bytes())
        {
            tracing::warn!(%error, "the guard has ended: what commands start may outlive a kill of this process");
            *pipe = None;
        }
    }
}

/// Has the kernel kill the command when the thread that starts it ends.
#[cfg(target_os = "linux")]
fn die_with_this_thread(command: &mut Command) {
    use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
    let parent = getpid();
    let prepare = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before the line above.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::Error::from(rustix::io::Errno::SRCH)) }
    };
    // SAFETY: between fork and exec only system calls are made; nothing is allocated or locked.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(prepare);
    }
}

/// One command's process group, killed when dropped.
#[derive(Debug)]
pub(super) struct Group {
    guard: Guard,
    id: Option<i32>,
}

impl Group {
    /// Waits until the leader has ended. Where that can be seen without reaping it, it is not reaped, so that
    /// the group's number stays its own. Cancel safe.
    pub(super) async fn ended(&self, child: &mut Child) {
        #[cfg(target_os = "linux")]
        if let Some(descriptor) = self.descriptor() {
            let readable = descriptor.readable().await.map(|_| ());
            if readable.is_ok() {
                return;
            }
        }
        // Its status is kept for whoever waits next.
        let _ = child.wait().await;
    }

    #[cfg(target_os = "linux")]
    fn descriptor(&self) -> Option<tokio::io::unix::AsyncFd<rustix::fd::OwnedFd>> {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        let pid = Pid::from_raw(self.id?)?;
        let descriptor = pidfd_open(pid, PidfdFlags::NONBLOCK).ok()?;
        // SAFETY: the descriptor is owned, and so stays open and the same until the registration is dropped.
        #[allow(unsafe_code)]
        unsafe {
            tokio::io::unix::AsyncFd::register_with_interest(descriptor, tokio::io::Interest::READABLE).ok()
        }
    }

    /// Kills what is left of the group and forgets it.
    pub(super) fn end(self) {
        drop(self);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        kill(self.id);
        self.guard.tell('-', self.id);
    }
}

#[cfg(unix)]
fn kill(id: Option<i32>) {
    if let Some(group) = id.and_then(rustix::process::Pid::from_raw) {
        // It may be empty already.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

#[cfg(not(unix))]
fn kill(_: Option<i32>) {}

/// The guard process: remembers the groups it is told of, and kills those it knows when standard input ends.
///
/// # Errors
/// When standard input cannot be read.
pub fn stand_guard() -> io::Result<()> {
    let mut groups = std::collections::BTreeSet::new();
    for line in io::stdin().lines() {
        let line = line?;
        let id = || line[1..].parse::<i32>().ok().filter(|id| *id > 1);
        match line.as_bytes().first() {
            Some(b'+') => groups.extend(id()),
            Some(b'-') => {
                id().map(|id| groups.remove(&id));
            }
            _ => {}
        }
    }
    groups.into_iter().for_each(|id| kill(Some(id)));
    Ok(())
}
