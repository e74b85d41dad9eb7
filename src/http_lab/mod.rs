//! The HTTP lab: the same logical work under different strategies, side by side, measured.
//!
//! ```text
//!   GET /sync ...──> endpoint ──> strategy ──> Request::a(), ::b() ──> backend ──> sim::Service
//!                       │            └ limiter                            └──────> a real one (URL)
//!                       ├ slots: the process's safety stop
//!                       ├ ledger: started = completed + cancelled + in_flight
//!                       └ metrics, span
//! ```
//!
//! Each endpoint has services of its own, so that strategies can be compared, unless
//! `LAB_SHARED_BACKEND` makes them share one pair. All strategies do the same logical work: A and B
//! are both called whatever the other's outcome, and a failure of either makes the answer 502. A
//! client that leaves drops the strategy's future; strategy and service decide what happens to the calls, and the
//! ledger counts it.

mod answer;
mod backend;
mod config;
mod endpoint;
mod flow;
mod handle;
mod ledger;
mod limiter;
mod metrics;
mod remote;
mod request;
mod routes;
pub mod service;
mod settings;
mod slots;
mod strategies;
mod trigger;

pub use config::{Config, MaxInFlight, ServiceA, ServiceB};
pub use endpoint::EndpointStatus;
pub use flow::{Arrived, Extra, Flow, Shown, Snapshot, Step, Tick};
pub use handle::{HttpLab, Runtime};
pub use ledger::{CallLedger, HttpAudit, OrphanedWhy, RequestLedger, ServiceAudit};
pub use remote::RequestSpec;
pub use routes::system;
pub use settings::{AsyncLimit, DeadlineMs, LimitWaitMs, Overrides, Patch, Settings};
pub use strategies::Shape;
pub use trigger::{Slower, Trigger, TriggerMs, TriggerStatus};
