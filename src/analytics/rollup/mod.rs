//! Rollups: what is kept of events when they are gone.
//!
//! ```text
//!   Event ──RollupSet──> Key (site, set, quarter-hour, values) ──> Measure   one delta for each set
//!   deltas ──merged by key──> cap (1,000 values an hour, then (other)) ──> rows of all levels
//! ```
//!
//! A rollup is never made from raw events anew: deltas are added to it, in any order and grouping, with the same result.

mod cap;
mod delta;
mod key;
mod measure;
mod set;
mod values;

pub use cap::{VALUES_LIMIT, cap};
pub use delta::deltas;
pub use key::Key;
pub use measure::Measure;
pub use set::{Dimension, RollupSet, SetName};
pub use values::{DIMENSIONS_LIMIT, TEXT_LIMIT_BYTES, Value, Values};
