//! Time in zones: buckets that tile a range, which stored units cover it, and the period before.
//!
//! ```text
//!   zone (bundled data) ──> Calendar ──> Bucket: quarter-hour, hour, day, week, month, year
//!                              ├──> cover: a range as the largest units that are stored
//!                              └──> Period: the one before, bucket by bucket
//! ```
//!
//! A bucket is a range of instants and holds the first of them, not the end. Buckets of an interval tile all time: each
//! instant lies in one, which begins at or before it. A day begins at the first instant of its date and ends at that of
//! the next date; it may have 23, 23.5 or 25 hours, and may not begin at midnight. SQL's `date_trunc` puts events of
//! such days into buckets that begin after them.
//!
//! From 2000 to 2037, all days, weeks, months and years of all zones begin on the grid of universal quarter-hours on which
//! rollups are kept. Hours and quarter-hours do too, except where clocks changed a minute past an hour: in six zones, the
//! last time in 2022 (Antarctica/Casey). A range that ends off the grid is covered with `exact: false`.

mod bucket;
mod cover;
mod interval;
mod period;
mod zone;

#[cfg(test)]
mod tests;

pub use bucket::{Bucket, Calendar};
pub use cover::{Cover, DIMENSION_QUARTERS_DAYS, Level, Piece, TOTAL_QUARTERS_DAYS, cover, quarters_from_ms};
pub use interval::{Interval, WeekStart};
pub use period::Period;
pub use zone::{EARLIEST_MS, LATEST_MS, Zone};
