//! The room at its public edge: real sockets on port 0, raw bytes, and events rather than sleeps.

mod admin;
mod answers;
mod events;
mod limits;
mod stop;
pub(super) mod support;
