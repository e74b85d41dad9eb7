//! The latency instrument: how long requests took, as their user sees it.
//!
//! A [`Sample`] carries the instants of one request and its [`Outcome`]; a [`Recorder`] turns it
//! into counts in [`Histogram`]s, and a histogram answers with a [`Quantile`] or a [`Rate`].
//!
//! - Latency runs from the *intended* start to the finish. A request that had to wait for its turn
//!   to be sent has been waiting all the same; measuring from the actual send would hide the queue.
//! - Every offered request is in the count. What never got a useful answer (shed, timed out,
//!   refused, not sent) is *infinitely slow*: it stands on the slow side of every percentile, so
//!   that a deadline does not look fast by leaving out what it cut off. What had not finished when
//!   the run ended is *censored*, and stands there too: its latency is not known, only that it is
//!   longer than the time it had.
//! - A percentile `q` is given only when at least ten samples lie beyond it, `n (1 - q) >= 10`.
//! - Memory is bounded by the range, not by the number of samples: a histogram takes about 190 KB.
//!
//! As JSON a histogram carries its figures for people and HDR's V2 form for programs, from which it
//! is read back, so that runs on several hosts can be added.
//!
//! Nothing here reads a clock or is shared between threads: instants are arguments, every thread
//! owns its recorder, and recorders [merge](Recorder::merge).

mod form;
mod histogram;
mod json;
mod percentiles;
mod quantile;
mod recent;
mod recorder;
mod sample;
mod text;
mod times;

pub use histogram::{Histogram, SAMPLES_BEYOND};
pub use percentiles::{Percentiles, Why};
pub use quantile::{Good, Percentile, Quantile, Rate};
pub use recent::{Known, Recent, SECONDS_KEPT, Window};
pub use recorder::Recorder;
pub use sample::{Fate, Outcome, Sample};
pub use text::{DurationText, milliseconds};
