//! The stream orchestrator: in virtual time, as a process, and as a gateway.

mod gateway;
mod inside_lab;
mod process;
mod sinks;
mod virtually;
