//! What queueing theory predicts, beside what is measured. Pure functions of plain numbers.
//!
//! ```text
//!   times of A and B ──> unloaded(flow) ──> RequestTime: percentiles, mean, timeouts ──> in_flight: L = λW
//!   rate, times of B, limit, bound on the wait ──> limited ──> Limited: waits, what is shed, what is carried
//!   contention, coherency ──> Scalability: throughput, its peak, the tipping point
//! ```
//!
//! A page asks [`unloaded`] and [`limited()`], and gets a [`Figure`]: exact, approximate with its error, or none with
//! the reason: no steady state, not reached, no formula. The formulas are beneath it:
//!
//! | what | source | trust |
//! |---|---|---|
//! | times without load | convolution, product of the distribution functions | exact, numeric |
//! | requests in flight, λW | Little 1961 | exact |
//! | loss without waiting, M/G/c/c | Erlang 1917 | exact |
//! | wait in M/M/c | Erlang 1917 | exact |
//! | mean wait in M/D/c | Cosmetatos 1976 | approximate |
//! | mean wait in M/G/c | Kimura 1986 | approximate; c = 1 exact (Pollaczek, Khinchine) |
//! | tail of the wait in M/G/c | Köllerström 1974 | approximate, from a utilisation of 0.9 |
//! | bounded wait, M/M/c+D | Baccelli and Hebuterne 1981 | exact |
//! | bounded wait, M/G/c+D | Boots and Tijms 1999 | approximate |
//! | loss in overload | Whitt 2006 | exact for long bounds |
//! | slow-down with calls in progress | Gunther 1993 | a model |
//!
//! The errors of the approximations stand in `approximation.rs`; the tests hold them to what is stated, against a
//! simulation of the queue.
//!
//! Lines about waiting hold for Poisson arrivals, independent of everything, first come, first served, in a steady
//! state: evenly spaced arrivals wait far less. Not here: errors and retries of the services, hedging, several
//! classes of requests, and the way to a steady state. Times are those of the services; what the lab itself costs
//! is not in them.

mod approximation;
mod bounded_wait;
mod figure;
mod limited;
mod request_time;
mod scalability;
mod service_time;
#[cfg(test)]
mod simulation;
mod waiting;
#[cfg(test)]
mod witness;

pub use bounded_wait::{BoundedWait, lost_in_overload};
pub use figure::Figure;
pub use limited::{Limited, limited};
pub use request_time::{Flow, RequestTime, in_flight, unloaded};
pub use scalability::{Balance, Scalability};
pub use service_time::ServiceTime;
pub use waiting::{
    HEAVY_TRAFFIC, erlang_b, erlang_c, mean_wait, mean_wait_constant, mean_wait_exponential, wait_quantile,
    waits_longer,
};
