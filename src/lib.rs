//! The concurrency lab: measured, not guessed.

pub mod config;
pub mod sim;
pub mod telemetry;
