//! The HTTP client of the program: it calls services behind URLs, sinks, a running server's health and audit
//! endpoints, and the OTLP collector.
//!
//! ```text
//!   request + bounds ──> Client ──> an idle connection, or a new one (DNS, TCP, TLS) ──> response, or a Failure
//!   OTLP exporters (on their own threads) ──> ExportClient ──> a Client, on a thread with a runtime
//! ```
//!
//! Every exchange has a time limit and a limit on the response's size. [`Failure`] names each way to fail and
//! keeps rustls' message. The client does not follow redirects and ignores proxy variables. [`tls`] decides which
//! certificates to trust, also for `load`, which opens its own connections to count and time them.
//!
//! It is built on hyper-util and hyper-rustls, because the server and the load generator need hyper and rustls
//! anyway: reqwest would add a second C build (aws-lc, with CMake) for the same TLS.

mod export;
mod failure;
mod listed;
mod pooled;
mod reach;
pub mod tls;

pub use export::ExportClient;
pub use failure::Failure;
pub use pooled::{Bounds, Client};
pub use reach::Reach;
