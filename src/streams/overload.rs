//! What happens to a chunk when the buffer has no room for it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::{Allowed, Invalid};

/// The overload policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = streams::Overload)]
pub enum Overload {
    /// The new chunk is dropped.
    DropNewest,
    /// The oldest chunk in the buffer makes room for it.
    DropOldest,
    /// The source waits: a TCP peer feels it as back-pressure.
    Block,
    /// No stream may hold more than its share of the buffer, `capacity / streams`; what is above is
    /// dropped, and a stream within its share always finds room.
    Fair,
}

impl Overload {
    /// All policies, in the order of the documents.
    pub const ALL: [Self; 4] = [Self::DropNewest, Self::DropOldest, Self::Block, Self::Fair];
}

impl Allowed for Overload {
    const ALLOWED: &'static str = "drop-newest, drop-oldest, block or fair";
}

impl FromStr for Overload {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.to_string() == text.trim())
            .ok_or_else(|| Invalid::new(text, Self::ALLOWED))
    }
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DropNewest => "drop-newest",
            Self::DropOldest => "drop-oldest",
            Self::Block => "block",
            Self::Fair => "fair",
        })
    }
}
