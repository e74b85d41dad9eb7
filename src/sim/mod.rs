//! Simulated services: seeded latency, capacity, contention and failure; faults as data.
//!
//! ```text
//!   call ──> Service ──arrive──> Station (pure: who runs, who waits, who is done when)
//!             ^  driver <─next due─┘        └─> StationLedger (started, completed, failed, cancelled, orphaned)
//!             └── one task a service sleeps until the next completion and wakes its caller
//! ```
//!
//! [`Station`] decides and never reads a clock: it is a queueing station whose servers, queue and
//! slow-down come from a [`Contention`]. [`Service`] acts: it draws the work of a call from a
//! [`Profile`] by its [`Key`], hands it to the station, and wakes callers when the station says so.
//! When a caller goes (drops its [`Call`]), the station follows [`OnCallerGone`]; work that continues without a caller
//! is *orphaned* and stays in the ledger.
//!
//! A [`Law`] is a profile's distribution as curves and moments, for formulas.
//!
//! Everything here runs under a paused clock too. Tokio's timers are 1 ms coarse and round up; the
//! station keeps exact completion times of its own and the driver wakes at the *nearest*
//! millisecond, so neither a mean nor a throughput is shifted.

mod contention;
mod draw;
mod law;
mod log_normal;
mod profile;
mod service;
mod station;
mod timer;

pub use contention::{Contention, OnCallerGone};
pub use draw::{Key, Purpose};
pub use law::Law;
pub use profile::Profile;
pub use service::{Call, CallHandle, Failure, Finished, Held, Service, Spec};
pub use station::{Admission, Departure, Station, StationLedger, Work};
pub use timer::{nearest_tick, sleep_until_nearest};
