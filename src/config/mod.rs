//! Bounded values: what the rooms' configurations are made of.
//!
//! A value is checked once, where it enters (flag, environment, file, query, JSON), and becomes a type
//! that cannot hold a bad one. Every type here says what it allows in one phrase, so that a refusal,
//! `--help` and the documents cannot disagree.
//!
//! Each kind of value has one grammar, the same wherever it enters, and prints in a form that it reads:
//!
//! | kind | written | a number without a unit |
//! |---|---|---|
//! | time ([`time!`](crate::time)) | `250ms`, `1.5s`, `2m30s` | milliseconds where a name ends in `ms` or a contract says so |
//! | rate ([`Rate`]) | `100/s`, `1/m`, `5/h` | a second |
//! | share ([`share!`](crate::share)) | `5%`, `0.05` | is the share itself |
//! | size ([`size!`](crate::size)) | `64KiB`, `10MB` | bytes |
//! | count ([`bounded!`](crate::bounded)) | `32` | is the count |
//! | choice ([`choice!`](crate::choice)) | one of its names | |
//!
//! A time without a unit is refused elsewhere, and the refusal says what was probably meant. In JSON a value
//! whose name says the unit is a number, any other a text; both are read, a number as if its digits were
//! text. No clients, no I/O; the layering of sources is in `cli`.

mod addr;
mod choice;
mod counted;
mod document;
mod invalid;
mod number;
mod rate;
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
pub use share::{Fraction, ShareText, read_share, read_share_within};
pub use size::{SizeText, read_size};
pub use time::{Span, TimeText, Times, read_milliseconds, read_time};
pub use url::HttpUrl;
