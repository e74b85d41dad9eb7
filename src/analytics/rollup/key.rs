//! The key of a rollup's row.

use super::{super::site::SiteName, set::SetName, values::Values};

/// What a row of a rollup is about. The order is that in which rows are written, so that two writers never wait for each
/// other in a circle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Whose events.
    pub site: SiteName,
    /// By which dimensions.
    pub set: SetName,
    /// The beginning of the bucket, in milliseconds since 1970.
    pub bucket_ms: i64,
    /// With which values.
    pub values: Values,
}
