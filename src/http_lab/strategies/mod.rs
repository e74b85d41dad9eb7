//! The strategies: one short file each, all doing the same logical work.
//!
//! A strategy is given a [`Request`], which makes the calls to A and B, and returns a [`StrategyAnswer`].
//! To add one, write its file and add its line to the list below: it then has an endpoint, its own
//! services and ledger, metrics, an entry in the OpenAPI document, a column on the page and in the
//! audit.

use std::pin::Pin;

use super::{answer::StrategyAnswer, limiter::Limiter, request::Request, settings::Settings};
use crate::telemetry::Instruments;

/// What a strategy's future is: boxed, because strategies are values in a list.
pub(super) type Running<'a> = Pin<Box<dyn Future<Output = StrategyAnswer> + Send + 'a>>;

/// How the two calls of a strategy stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// B is called when A has answered.
    Sequence,
    /// Both are called at once.
    Parallel,
    /// Both are called at once, and given up at the deadline.
    Deadline,
}

/// A way to treat the two calls.
pub(super) trait Strategy: Send + Sync + std::fmt::Debug {
    /// Its endpoint, as `/sync`.
    fn path(&self) -> &'static str;

    /// What it does, in one phrase.
    fn about(&self) -> &'static str;

    /// How its two calls stand to each other.
    fn shape(&self) -> Shape;

    /// The settings that a request may choose for itself: names of [`Overrides::ALLOWED`](super::settings::Overrides::ALLOWED).
    fn parameters(&self) -> &'static [&'static str] {
        &["b", "seed"]
    }

    /// Serves one request. Dropped when the client leaves.
    fn run<'a>(&'a self, request: &'a Request<'_>) -> Running<'a>;

    /// The settings have changed.
    fn apply(&self, _settings: &Settings) {}

    /// The limit it works under, if it has one.
    fn limiter(&self) -> Option<&Limiter> {
        None
    }
}

macro_rules! strategies {
    ($($file:ident,)*) => {
        $(mod $file;)*

        /// One of each, in the order of the documents.
        pub(super) fn all(settings: &Settings, instruments: &Instruments) -> Vec<Box<dyn Strategy>> {
            vec![$(Box::new($file::new(settings, instruments))),*]
        }
    };
}

strategies! {
    sync,
    async_unbounded,
    async_limited,
    async_timeout,
}
