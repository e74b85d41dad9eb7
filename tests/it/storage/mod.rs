//! The stores: real Redis, real files, and how they fail.

mod cutting;
mod redis;
mod sqlite;
