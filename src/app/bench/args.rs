//! Values that several benchmarks take.

use crate::{bounded, time};

bounded!(
    /// How often to measure each arm.
    pub(super) Rounds: u32 = 1 to 1000
);
bounded!(
    /// How many keep-alive connections to use.
    pub(super) Connections: u32 = 1 to 5000
);
time!(
    /// How long to measure an arm.
    pub(super) Length = 1 s to 10 m
);
bounded!(
    /// Browsers that look at the page.
    pub(super) Viewers: u32 = 1 to 1000
);
