//! What the product asks as a client: services behind URLs, sinks, a running server's health and balance, the
//! collector.
//!
//! ```text
//!   request + bounds ──> Client ──> an idle connection, or a new one (name, TCP, TLS) ──> answer, or a Failure
//!   OTLP exporters (threads of their own) ──> ExportClient ──> the same client, on a thread with a runtime
//! ```
//!
//! Every exchange has bounds: its time, the bytes of its answer. What can go wrong has a name ([`Failure`]),
//! with rustls' own words where TLS refuses. Redirects are not followed, proxies of the environment not asked.
//! Trust is in [`tls`], for `load` as well, which counts and times each connection and so makes its own.
//!
//! hyper-util's client and hyper-rustls, because hyper and rustls are here for the server and the generator
//! already: reqwest would bring a second C build (aws-lc, with CMake) for the same TLS.

mod export;
mod failure;
mod listed;
mod pooled;
pub mod tls;

pub use export::ExportClient;
pub use failure::Failure;
pub use pooled::{Bounds, Client};
