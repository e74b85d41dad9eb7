//! Changes for a run and during it, and why they may be refused.

use serde::{Deserialize, Serialize, de::IgnoredAny};
use utoipa::ToSchema;

use super::{
    overload::Overload,
    ranges::{BufferSize, ChunkSize, NoisyFactor, StreamInterval, StreamsCount, WorkersCount},
};
use crate::config::Misfit;

/// A new size, while it runs. Fields that are left out keep their values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = streams::Resize)]
pub struct Resize {
    /// The schema of `GET /streams`: may be sent back, and is ignored.
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

/// Settings of one run that replace the configuration's. Fields that are left out keep their values.
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
    /// How often the first generated stream emits for each time another one does.
    pub noisy_factor: Option<NoisyFactor>,
}

/// Why a resize was refused.
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
    /// No run is in progress.
    #[error("the streams are not running")]
    NotRunning,
}

/// Why a run cannot start.
#[derive(Debug, thiserror::Error)]
pub enum CannotStart {
    /// A number is out of its range, or contradicts another setting.
    #[error(transparent)]
    Misfit(Misfit),
    /// The sink or the gateway cannot be opened.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}
