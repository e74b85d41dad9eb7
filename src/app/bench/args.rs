//! What several benchmarks take.

use crate::{bounded, time};

bounded!(
    /// How often every arm is measured.
    pub(super) Rounds: u32 = 1 to 1000
);
bounded!(
    /// Keep-alive connections.
    pub(super) Connections: u32 = 1 to 5000
);
time!(
    /// How long an arm is driven.
    pub(super) Length = 1 s to 10 m
);
