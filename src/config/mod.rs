//! Bounded values, of which every room builds its configuration.
//!
//! A value is checked once, where it enters (flag, environment, file, query, JSON), and becomes a type
//! that cannot hold an invalid value. Every type describes its allowed values in one phrase, which error
//! messages, `--help` and the documentation all print.
//!
//! Each kind of value has one grammar, the same for every source, and parses what it prints:
//!
//! | kind | examples | a number without a unit means |
//! |---|---|---|
//! | time ([`time!`](crate::time)) | `250ms`, `1.5s`, `2m30s` | milliseconds, if the name ends in `ms` or the type says so; an error otherwise |
//! | rate ([`Rate`]) | `100/s`, `1/m`, `5/h` | per second |
//! | share ([`share!`](crate::share)) | `5%`, `0.05` | the share itself |
//! | size ([`size!`](crate::size)) | `64KiB`, `10MB` | bytes |
//! | count ([`bounded!`](crate::bounded)) | `32` | the count |
//! | choice ([`choice!`](crate::choice)) | one of its names | |
//!
//! The error for a time without a unit suggests the unit that was probably meant. JSON documents hold a number
//! where the name says the unit, and a string otherwise; when they are read, either form is accepted. This room
//! has no clients and no I/O; `cli` layers the sources.

mod addr;
mod choice;
mod counted;
mod document;
mod invalid;
mod number;
mod rate;
mod secret;
mod share;
mod size;
mod time;
mod url;

#[cfg(test)]
mod tests;

pub use addr::ListenAddr;
pub use counted::counted;
pub use document::{deserialize, schema};
pub use invalid::{Allowed, Invalid, Misfit, without_users};
pub use number::{Seed, SeedArg};
pub use rate::{Rate, read_rate};
pub use secret::SECRETS;
pub use share::{Fraction, ShareText, read_share, read_share_within};
pub use size::{SizeText, read_size};
pub use time::{Span, TimeText, Times, read_milliseconds, read_time};
pub use url::HttpUrl;
