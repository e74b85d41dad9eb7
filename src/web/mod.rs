//! The parts that all HTTP servers of the lab share.
//!
//! ```text
//! listen -> serve -> connection -> edge -> the app's Router
//!             |          |           '- host and origin, body limit and time, panics, every error a problem+json
//!             |          '- hyper http/1.1: head limit and time, stalled writes, graceful end
//!             '- connection cap, descriptor outages, stop along the data's path
//! ```
//!
//! [`serve()`] runs its own accept loop instead of axum's: it controls the connection cap and the shutdown, and a
//! request in flight uses less memory. The app passes in a [`Router`](axum::Router) and gets back a [`Drained`].
//! The other parts are for the app to compose: [`Health`], [`Admin`], [`Page`], [`assets`], [`openapi()`],
//! [`Metrics`], [`scrape()`], and the extractors [`Json`] and [`Query`].
//!
//! **Limits.** [`Limits`] bounds connections, heads, bodies, and each wait for a client. Bodies are read completely
//! before a handler runs, so a handler never waits for a slow sender and no route can forget the limit. A
//! [`RouteLimit`] sets another limit, or lets a handler read the body itself, each piece within the body's time.
//!
//! **Systems.** A [`System`] is a value that describes a system to the server. A system that starts, runs, drains and
//! stops has a [`Lifecycle`]; [`runnable()`] gives it routes, and [`live()`] a page too. All those pages share one
//! frame, which a system fills with a [`LivePage`].
//!
//! **Live views.** [`Events`] sends a snapshot of a system to all viewers, rendered once per tick.
//!
//! **Errors.** Every 4xx and 5xx response is `application/problem+json` ([`Problem`]), unless a handler chose
//! `text/html`. hyper itself sends two responses, with an empty body, before any of this code runs: 400 for bytes
//! that are not HTTP/1.x, and 431 for a head above the limit. If a head is not complete in time, the connection is
//! closed without a response.
//!
//! **Host and origin.** A request must have one valid `Host`. A server on loopback accepts only loopback's names and
//! the configured ones. On every route, a request from a page of another origin must not change anything.
//!
//! **Not supported.** HTTP/2 and TLS (use a proxy), upgrades, and half-closed connections: when a client closes its
//! sending side, it counts as gone, and the handler's future is dropped.
//!
//! **Charts and reports.** [`chart`] draws SVG on the server. [`report`] makes one HTML file of figures, tables and
//! charts that needs no network and no script.
//!
//! This room knows no system: the app passes in names, navigation and checks as values.

mod admin;
mod asset;
pub mod chart;
pub mod charts;
mod clock;
mod connection;
mod edge;
mod events;
mod extract;
mod field;
mod figure;
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
mod mood;
mod openapi;
mod origin;
mod page;
mod parameters;
mod peer;
mod problem;
pub mod reading;
mod rejection;
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
pub mod timeline;
mod trace;

#[cfg(test)]
mod tests;

pub use admin::Admin;
pub use asset::{Asset, CHARTS_JS, FAVICON, LAB_CSS, LIVE_JS, NOSNIFF, RUN_JS, assets};
pub use events::{Event, Events};
pub use extract::{Json, OptionalJson, Query, parse_json, refused_field};
pub use field::{Control, Field, Unit};
pub use figure::{Figure, Level};
pub use health::{Check, Health, HealthApi, Ready, Version};
pub use history::{History, Point};
pub use host::Hosts;
pub use kind::{GENERAL, Kind};
pub use lifecycle::{Lifecycle, NotRunning, RunState, RunTimes, StartError};
pub use limits::{BodyLimit, Limits, RouteLimit};
pub use listen::{CannotListen, Listener, listen, raise_descriptor_limit};
pub use live::{Live, LivePage, live};
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
