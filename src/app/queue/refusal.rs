//! A store that cannot be used is a matter of configuration.

use crate::{app::ending::Usage, queue::CannotOpen};

/// The error of a command whose store cannot be used.
pub(super) fn refused(error: CannotOpen) -> anyhow::Error {
    Usage(error.to_string()).into()
}
