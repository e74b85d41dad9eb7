//! Connections, counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

/// How many connections there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Connections {
    /// Made.
    pub opened: u64,
    /// Broken by the server while idle, such as by bytes that answer no request.
    pub broken_idle: u64,
}

impl Connections {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { opened: self.opened + other.opened, broken_idle: self.broken_idle + other.broken_idle }
    }
}

/// The connections to one server, as they come and go.
#[derive(Debug, Default)]
pub(super) struct Counters {
    opened: AtomicU64,
    broken_idle: AtomicU64,
}

impl Counters {
    pub(super) fn opened(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    pub(super) fn ended(&self, broken: bool) {
        self.broken_idle.fetch_add(u64::from(broken), Relaxed);
    }

    pub(super) fn read(&self) -> Connections {
        Connections { opened: self.opened.load(Relaxed), broken_idle: self.broken_idle.load(Relaxed) }
    }
}
