//! What can be changed for a run and while it runs, and why it may be refused.

use serde::{Deserialize, Serialize, de::IgnoredAny};
use utoipa::ToSchema;

use super::{
    overload::Overload,
    ranges::{BufferSize, ChunkSize, StreamInterval, StreamsCount, WorkersCount},
};
use crate::config::Misfit;

/// Another size, while it runs. What is left out stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = streams::Resize)]
pub struct Resize {
    /// What `GET /streams` calls itself: may be sent back, and is not read.
    #[serde(skip_serializing)]
    #[schema(ignore)]
    pub schema: IgnoredAny,
    /// Workers in the pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers_count: Option<WorkersCount>,
    /// Generated streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams_count: Option<StreamsCount>,
}

/// What a run may have otherwise than the configuration says. What is left out stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = streams::Overrides)]
pub struct Overrides {
    /// Workers in the pool.
    pub workers_count: Option<WorkersCount>,
    /// Generated streams.
    pub streams_count: Option<StreamsCount>,
    /// The longest pause of a generated stream.
    pub stream_interval: Option<StreamInterval>,
    /// The longest generated chunk.
    pub chunk_size: Option<ChunkSize>,
    /// Places in the buffer.
    pub buffer_size: Option<BufferSize>,
    /// What happens when the buffer is full.
    pub overload: Option<Overload>,
}

/// Why the size stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResizeError {
    /// A number is out of its range.
    #[error(transparent)]
    Misfit(Misfit),
    /// Under `fair` each stream needs a place in the buffer.
    #[error("under the overload policy fair each stream needs a place, and the buffer has {capacity}")]
    NoSlots {
        /// Places in the buffer.
        capacity: usize,
    },
    /// There is nothing to resize.
    #[error("the streams are not running")]
    NotRunning,
}

/// Why it cannot start.
#[derive(Debug, thiserror::Error)]
pub enum CannotStart {
    /// A number is out of its range, or does not go with the others.
    #[error(transparent)]
    Misfit(Misfit),
    /// The sink or the gateway cannot be opened.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}
