//! Redis: one connection for all requests, and scripts that are carried out at most once for each call.
//!
//! The connection is made when it is first needed and again after it broke. A request whose reply was lost is never
//! sent again from here: only its caller knows whether that is safe.

mod connection;
mod failure;
mod link;
mod script;
mod settings;
mod url;
mod waker;

pub use self::{connection::Redis, script::Script, settings::Settings, url::RedisUrl, waker::Waker};
