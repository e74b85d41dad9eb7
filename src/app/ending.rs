//! How a command ended, and the exit code that says so.

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It did what it was asked.
    Done,
    /// Something was left undone, or a check did not hold.
    Failed,
    /// A second signal ended it; what was left has been printed.
    Aborted,
}

impl Ending {
    /// The process's exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Aborted => 130,
        }
    }
}
