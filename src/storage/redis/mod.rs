//! Redis: one connection for all requests, and scripts that are carried out at most once for each call.
//!
//! The connection is made when it is first needed and again after it broke. A request whose reply was lost is never
//! sent again from here: only its caller knows whether that is safe. In a cluster all requests go to the master of one
//! key's slot, wherever that is moved to.

mod connection;
mod failure;
mod link;
mod nodes;
mod replicas;
mod script;
mod settings;
mod url;
mod waker;

pub use self::{
    connection::Redis, replicas::Copies, script::Script, settings::Settings, url::RedisUrl, waker::Waker,
};
