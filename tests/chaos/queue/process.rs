//! Processes of the queue, each started, killed and stopped by its id.

use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

use super::{role::Role, watcher::LOOK};
use crate::support::PATIENCE;

/// A process, killed when it is dropped.
pub(crate) struct Process {
    pub(crate) role: Role,
    child: Child,
}

impl Process {
    /// Starts a process with further variables.
    pub(crate) fn start(role: Role, environment: &[(String, String)]) -> Self {
        Self { child: role.start(environment), role }
    }

    /// What the store calls its lease.
    pub(crate) fn leased_as(&self) -> String {
        self.role.leased_as(self.child.id())
    }

    /// Sends it a signal, unless it has ended: then its id may be another's.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if !self.has_ended() {
            kill_process(Pid::from_child(&self.child), signal).expect("sent");
        }
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    /// Whether it has ended, whatever ended it.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Stops it as a supervisor does, and waits until it has ended.
    pub(crate) async fn stop(&mut self) {
        self.signal(Signal::TERM);
        let ended = async {
            while !self.has_ended() {
                // A child has no other sign here.
                tokio::time::sleep(LOOK).await;
            }
        };
        let ended = tokio::time::timeout(PATIENCE, ended).await;
        let Role { who, history, .. } = &self.role;
        assert!(ended.is_ok(), "{who} does not stop: see its log beside {}", history.display());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
