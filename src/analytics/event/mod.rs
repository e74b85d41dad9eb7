//! Events: parsed once, into a value that both stores take.
//!
//! ```text
//!   body ──batch──> JSON of one event ──read──> Event ──entry──> bytes of the log ──> Event
//!                        │ verdict in its place        key (ts, site, id)
//!                        └ Refusal: a reason with a stable name, and the field
//! ```
//!
//! Nothing here reads a clock or draws a random number: when a request was received, and what ids and times are made
//! from, is in the [`Request`].

mod entry;
pub(super) mod json;
mod origin;
mod props;
mod read;
mod refusal;
mod scalar;
mod text;
mod time;

pub use entry::Entry;
pub use origin::Origin;
pub use props::{KEY_LIMIT_BYTES, PROPS_LIMIT, PROPS_LIMIT_BYTES, Props};
pub use read::{Event, Request};
pub use refusal::{Reason, Refusal};
pub use scalar::{Scalar, VALUE_LIMIT_BYTES};
pub use text::{EventName, NAME_LIMIT_BYTES, SESSION_LIMIT_BYTES, Session, Text, USER_LIMIT_BYTES, User};
pub use time::{AGE_LIMIT_MS, AHEAD_LIMIT_MS, judge};

#[cfg(test)]
pub(super) mod tests {
    pub(in crate::analytics) use super::entry::tests::events;
}
