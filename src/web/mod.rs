//! What every HTTP server of the lab has in common.
//!
//! ```text
//! listen -> serve -> connection -> edge -> the app's Router
//!             |          |           '- host and origin, body limit and time, panics, every error a problem+json
//!             |          '- hyper http/1.1: head limit and time, stalled writes, graceful end
//!             '- connection cap, descriptor outages, stop along the data's path
//! ```
//!
//! [`serve()`] runs its own accept loop rather than axum's: it owns the cap and the stop, and a request in
//! flight holds less memory. The app hands in a [`Router`](axum::Router) and gets back a
//! [`Drained`]. Around it stand the parts an app composes: [`Health`], [`Admin`], [`Page`],
//! [`assets`], [`openapi()`], [`Metrics`], [`scrape()`], and the extractors [`Json`] and [`Query`].
//!
//! **Limits.** Connections, heads, bodies, and each wait for a peer are bounded by [`Limits`].
//! Bodies are read whole before a handler runs, so a handler never waits for a slow sender and no
//! route can forget the limit. A [`RouteLimit`] sets another bound, or lets a handler read the body itself,
//! each piece within the body's time.
//!
//! **Systems.** A [`System`] is a value that holds all the house shows of it. One that starts, runs, drains and
//! stops has a [`Lifecycle`]; its routes and live view come from [`runnable()`], its page from [`LivePage`].
//!
//! **Watching.** [`Events`] sends a picture of a system to all who watch, drawn once a tick.
//!
//! **Errors.** Whatever answers 4xx or 5xx leaves as `application/problem+json` ([`Problem`]), unless
//! a handler chose `text/html`. Two answers come from hyper before any of this code runs, and have an
//! empty body: 400 for bytes that are not HTTP/1.x, 431 for a head above the limit. A head that is
//! not complete in time closes the connection without an answer.
//!
//! **Who is answered.** A request says whom it addresses in one valid `Host`; a server on loopback answers only
//! loopback's names and those it was told. What a page of another origin wants changed is refused, on every route.
//!
//! **What it refuses.** HTTP/2 and TLS (a proxy's work), upgrades, half-closed clients: a client that
//! closes its sending side has left, and the handler's future is dropped.
//!
//! **Pictures and reports.** [`chart`] draws SVG on the server; [`report`] makes one HTML file of figures,
//! tables and charts that needs no network and no script.
//!
//! The room knows no system: names, navigation and checks are values handed in.

mod admin;
mod asset;
pub mod chart;
pub mod charts;
mod connection;
mod edge;
mod events;
mod extract;
mod goodbye;
mod head;
mod health;
mod history;
mod host;
mod kind;
mod lifecycle;
mod limits;
mod listen;
mod live;
mod metrics;
mod openapi;
mod origin;
mod page;
mod parameters;
mod peer;
mod problem;
pub mod report;
mod runnable;
mod scrape;
mod secret;
mod serve;
mod session;
mod shared;
pub mod sheet;
mod sign_in;
mod socket;
pub mod strip;
mod system;
mod throttle;
mod trace;

#[cfg(test)]
mod tests;

pub use admin::Admin;
pub use asset::{Asset, CHARTS_JS, FAVICON, LAB_CSS, LIVE_JS, assets};
pub use events::{Event, Events};
pub use extract::{Json, OptionalJson, Query};
pub use health::{Check, Health, HealthApi, Ready, Version};
pub use history::{History, Point};
pub use host::Hosts;
pub use kind::{GENERAL, Kind};
pub use lifecycle::{Lifecycle, NotRunning, RunState, StartError};
pub use limits::{BodyLimit, Limits, RouteLimit};
pub use listen::{CannotListen, announce, listen, raise_descriptor_limit};
pub use live::{Figure, LivePage, run_chart};
pub use metrics::Metrics;
pub use openapi::{RouteDoc, complete, openapi};
pub use page::{Frame, Link, NavItem, Page, Visitor};
pub use parameters::{documented_parameters, refused_parameter, unknown_parameter};
pub use peer::peer;
pub use problem::Problem;
pub use runnable::{Runnable, runnable};
pub use scrape::scrape;
pub use secret::Secret;
pub use serve::{Drained, serve};
pub use shared::Shared;
pub use sheet::{Audit, Balance, Sheet};
pub use sign_in::SessionApi;
pub use system::{System, Variable};
pub use trace::traced;
