//! How a command ended, and its exit code.

use super::ask::Unreachable;
use crate::{config::Misfit, output, shutdown::Shutdown};

/// An invalid argument that is detected only when it is used, such as a missing file.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It completed.
    Done,
    /// It failed, abandoned work, or a check did not hold.
    Failed,
    /// Its arguments or settings are invalid.
    Misused,
    /// It could not reach a server.
    Unreachable,
    /// A second signal ended it; the unfinished work has been printed.
    Aborted,
}

impl Ending {
    /// Every ending.
    pub const ALL: [Self; 5] = [Self::Done, Self::Failed, Self::Misused, Self::Unreachable, Self::Aborted];

    /// The meaning of the exit code, in one phrase.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => {
                "failed, a check did not hold, or a stop abandoned work (which it names on stderr)"
            }
            Self::Misused => "bad usage or configuration; nothing was started",
            Self::Unreachable => "no server answers (`lab audit`, `lab health`, `lab queue load`)",
            Self::Aborted => "ended by a second signal; the unfinished work has been printed",
        }
    }

    /// How a command ended that returned this error.
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

    /// The ending of a command that was stopped before it measured anything. It has no result, so the result files
    /// stay unchanged.
    pub(super) fn without_result(shutdown: &Shutdown) -> anyhow::Result<Self> {
        let error = anyhow::anyhow!("stopped before anything was measured: no result is written");
        Self::Failed.once_printed(Err(error), shutdown)
    }

    /// The ending of a command after it has printed its result, or failed to. After a second signal the ending is
    /// [`Aborted`](Self::Aborted), and the error is only printed.
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
