//! The analytics engine: so far its pure part, functions from values to values. No server, store or clock uses it yet.
//!
//! ```text
//!   body ──batch──> a verdict for each event ──> event::Entry, bytes of the log ──> balance: what became of them
//!                          │
//!   Event ──rollup──> deltas by site, set, quarter-hour and values ──> Measure: count, sum, extremes,
//!     │                                                                users (sketch), distribution (bins)
//!     └ calendar: days, months, years of the site's zone; a range as the largest units that are stored
//! ```
//!
//! What is stored has a version and one form, and is read from any bytes without a panic: equal values have equal bytes,
//! so that a rollup can be compared with a recomputation.

pub mod balance;
pub mod batch;
mod bins;
pub mod calendar;
mod codec;
pub mod event;
mod millionths;
pub mod rollup;
mod site;
mod sketch;

pub use bins::Bins;
pub use codec::Corrupt;
pub use millionths::{Millionths, Sum, Unfit};
pub use site::SiteName;
pub use sketch::Sketch;
