//! Predictions of queueing theory, to compare with measurements. Pure functions of plain numbers.
//!
//! ```text
//!   times of A and B ──> unloaded(flow) ──> RequestTime: percentiles, mean, timeouts ──> in_flight: L = λW
//!   rate, times of B, limit, bound on the wait ──> limited ──> Limited: waits, shed share, capacity
//!   contention, coherency ──> Scalability: throughput, its peak, the tipping point, the time until it is passed
//! ```
//!
//! Pages call [`unloaded`] and [`limited()`]. Each result is a [`Figure`]: exact, approximate with its error, or
//! missing with the reason (no steady state, not reached, no formula). The formulas:
//!
//! | formula | source | accuracy |
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
//! | calls in progress until a collapse | Kelly 1979 | exact in that model, away from the tipping point |
//! | time until a collapse | Karlin and Taylor 1975 | exact for exponential times |
//!
//! `approximation.rs` states the errors of the approximations; tests check them against a simulation of the queue.
//!
//! The formulas for waiting assume independent Poisson arrivals, first come, first served, in a steady state. Evenly
//! spaced arrivals wait far less. The formulas do not cover errors and retries of the services, hedging, several
//! classes of requests, and the transition to the steady state. Times are those of the services, without the
//! overhead of the lab.

mod approximation;
mod bounded_wait;
mod collapse;
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
pub use collapse::UntilCollapse;
pub use figure::Figure;
pub use limited::{Limited, limited};
pub use request_time::{Flow, RequestTime, in_flight, unloaded};
pub use scalability::{Balance, Scalability};
pub use service_time::ServiceTime;
pub use waiting::{
    HEAVY_TRAFFIC, erlang_b, erlang_c, mean_wait, mean_wait_constant, mean_wait_exponential, wait_quantile,
    waits_longer,
};
