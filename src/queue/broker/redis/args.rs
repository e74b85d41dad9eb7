//! What scripts are given.

use crate::queue::task::Due;

/// The arguments of a script.
pub(super) type Args = Vec<Vec<u8>>;

/// A value as its text.
pub(super) fn text(value: impl ToString) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// When a task may start, as `enqueue` and `admit` take it.
pub(super) fn delay(due: Due) -> Vec<u8> {
    match due {
        Due::Now => Vec::new(),
        Due::InMs(ms) => format!("+{ms}").into_bytes(),
        Due::AtMs(ms) => format!("@{ms}").into_bytes(),
    }
}
