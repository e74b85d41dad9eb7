//! How a command ended, and the exit code that says so.

use super::ask::Unreachable;
use crate::{config::Misfit, output, shutdown::Shutdown};

/// A bad argument that is found only when it is used, such as a file that is not there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It did what it was asked.
    Done,
    /// Something was left undone, or a check did not hold.
    Failed,
    /// Its arguments or settings cannot be used.
    Misused,
    /// The server that it asks cannot be reached.
    Unreachable,
    /// A second signal ended it; what was left has been printed.
    Aborted,
}

impl Ending {
    /// Every ending.
    pub const ALL: [Self; 5] = [Self::Done, Self::Failed, Self::Misused, Self::Unreachable, Self::Aborted];

    /// What the exit code means, in one phrase.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed, or a check did not hold",
            Self::Misused => "bad usage or configuration; nothing was begun",
            Self::Unreachable => "no server answers (`lab audit`, `lab health`)",
            Self::Aborted => "ended by a second signal; what was left has been printed",
        }
    }

    /// What an error makes of a command's end.
    pub fn of(error: &anyhow::Error) -> Self {
        if error.is::<Usage>() || error.is::<Misfit>() {
            Self::Misused
        } else if error.is::<Unreachable>() {
            Self::Unreachable
        } else {
            Self::Failed
        }
    }

    /// The process's exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Misused => 2,
            Self::Unreachable => 3,
            Self::Aborted => 130,
        }
    }

    /// The ending of a command that was stopped before anything was measured: it has no result, so that the files
    /// for one keep what they hold.
    pub(super) fn without_result(shutdown: &Shutdown) -> anyhow::Result<Self> {
        let told = anyhow::anyhow!("it was stopped before anything was measured: no result is written");
        Self::Failed.once_printed(Err(told), shutdown)
    }

    /// The ending of a command that has printed its result, or could not. A second signal goes before that
    /// error, which is still told.
    pub(super) fn once_printed(
        self,
        printed: anyhow::Result<()>,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Self> {
        if !shutdown.aborted().is_cancelled() {
            return printed.map(|()| self);
        }
        if let Err(error) = printed {
            output::to_stderr(format_args!("lab: {error:#}"));
        }
        Ok(Self::Aborted)
    }
}
