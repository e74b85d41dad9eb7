//! Faults: real servers and real processes are killed, stopped and cut off, and a checker reads what they did.
//!
//! ```text
//!   hits ──plan, seed──> kinds of faults ──┐
//!                                          v
//!   processes ──proxy (cuts, silence)──> server (kill, stop, restart)
//!       └──────────> history (append-only) ──────────> check (pure)
//! ```
//!
//! What all systems share is here: the [history], its [checker](check), the [proxy], the [count of hits](hits). A
//! system brings its processes, its kinds of faults and its own invariants. A fault counts only if it hit. The small
//! run is part of `cargo test`; `scripts/chaos SYSTEM --hits N` runs it as long as one wants.

mod check;
mod history;
mod hits;
mod power;
mod proxy;
mod queue;
#[path = "../it/redis_cluster.rs"]
#[allow(dead_code, reason = "the other tests use more of it")]
mod redis_cluster;
#[path = "../it/redis_server.rs"]
#[allow(dead_code, reason = "the other tests use more of it")]
mod redis_server;

/// What the files that other tests share need.
mod support {
    /// How long anything real may take before a test fails: a bound that only ends a test that hangs.
    pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(300);
}
