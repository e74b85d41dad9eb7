//! The stores: real Redis, real files, and how they fail.

mod cutting;
mod outages;
mod redis;
mod sqlite;
mod writer;
