//! The concurrency lab: measured, not guessed.

pub mod app;
pub mod cli;
pub mod config;
pub mod http_lab;
pub mod latency;
pub mod load;
pub mod shutdown;
pub mod sim;
pub mod telemetry;
pub mod web;
