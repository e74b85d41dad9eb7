//! Honest load: offers requests when they are due, whatever the server does, and counts what becomes of
//! each.
//!
//! ```text
//!   Schedule (pure) ──> Plan::run ──> Transport ──> a server, or a simulated one
//!                          |  '- in flight, bounded; the rest not sent, and counted
//!                          '──> Measured ──> checks, tables, JSON; merged over hosts
//! ```
//!
//! A client that waits for an answer before it asks again sends less while the server is slow, and so
//! hides the queue that users would stand in (coordinated omission). Here arrivals come from a
//! [`Schedule`], latency runs from the intended start, and what was not sent or not answered is
//! infinitely slow. A closed loop is there for comparison, as [`Pace::Closed`].
//!
//! - [`schedule`]: when requests should start; [`check`](mod@check): whether a run held what it should; pure.
//! - [`find_max`]: which rate to try next; [`compare`]: what pairs of blocks tell; [`stats`]: how surely; pure.
//! - [`driver`]: offers them; works in virtual time, as all it asks of a [`Transport`] is an exchange.
//! - [`http`]: the transport over sockets.
//!
//! The generator is one thread and says when it fell behind its own schedule.

mod cause;
pub mod check;
pub mod compare;
pub mod driver;
pub mod find_max;
mod finding;
pub mod http;
mod live;
mod measured;
mod metrics;
mod pace;
mod part;
pub mod schedule;
mod series;
pub mod stats;
mod success;
mod transport;

pub use cause::Cause;
pub use check::Checks;
pub use driver::{Control, Plan};
pub use finding::{Finding, Verdict};
pub use live::{Live, SharedRecent, Totals};
pub use measured::{LAG_LIMIT, Measured};
pub use metrics::LoadMetrics;
pub use pace::{Pace, PaceKind};
pub use part::Part;
pub use schedule::{Phases, Recorded, Schedule, Spacing};
pub use series::{Second, Series};
pub use success::Success;
pub use transport::{Completed, Stage, Trace, Transport};
