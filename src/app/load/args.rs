//! What `lab load` takes.

use std::num::NonZeroU32;
use std::path::PathBuf;

use hyper::Method;

use super::output::Output;
use crate::bounded;
use crate::config::{Allowed, Invalid};
use crate::load::http::{Header, Target};
use crate::load::{Checks, Rate, Span};
use crate::telemetry;

bounded!(
    /// Requests in flight at a time.
    MaxInFlight: u32 = 1 to 1000000
);
bounded!(
    /// Users of a closed loop.
    Users: u32 = 1 to 100000
);
bounded!(
    /// Connections to one origin.
    ConnectionCount: u32 = 1 to 1000000
);

/// What a run asks for, and how.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Requests")]
pub(super) struct RequestArgs {
    /// The method
    #[arg(long, short = 'X', default_value = "GET", value_parser = method, value_name = "a method such as GET or POST")]
    pub(super) method: Method,
    /// A header; may be given again
    #[arg(long = "header", short = 'H', value_name = Header::ALLOWED)]
    pub(super) headers: Vec<Header>,
    /// The body: a text, or @FILE
    #[arg(long, short = 'd', default_value = "", value_name = "TEXT")]
    pub(super) body: String,
    /// Speak HTTP/1.1 only
    #[arg(long, conflicts_with = "http2")]
    pub(super) http1: bool,
    /// Speak HTTP/2 only; without TLS by prior knowledge
    #[arg(long)]
    pub(super) http2: bool,
    /// Connections to one origin at a time; for HTTP/1.1 as many as there may be requests in flight,
    /// for HTTP/2 one, if this is not given
    #[arg(long, value_name = ConnectionCount::ALLOWED)]
    pub(super) connections: Option<ConnectionCount>,
    /// Trust the authorities in this PEM file instead of the machine's
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long, conflicts_with = "ca")]
    pub(super) insecure: bool,
    /// A request is given up so long after its intended start
    #[arg(long, default_value = "30s", value_name = Span::ALLOWED)]
    pub(super) timeout: Span,
    /// Requests in flight at a time; an arrival above it is not sent and counts as infinitely slow
    #[arg(long, default_value = "10000", value_name = MaxInFlight::ALLOWED)]
    pub(super) max_in_flight: MaxInFlight,
}

/// When requests arrive.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Arrivals")]
pub(super) struct ArrivalArgs {
    /// Arrivals a second
    #[arg(long, default_value = "10", value_name = Rate::ALLOWED)]
    pub(super) rate: Rate,
    /// For how long
    #[arg(long = "for", default_value = "10s", value_name = Span::ALLOWED)]
    pub(super) length: Span,
    /// Phases instead of one rate, such as '10..100 for 30s, burst 500, 20 for 1m'; file:FILE reads them,
    /// arrivals:FILE replays times in seconds, one a line
    #[arg(long, conflicts_with_all = ["rate", "length"], value_name = "PHASES")]
    pub(super) schedule: Option<String>,
    /// How arrivals are spaced: evenly, or as independent users come
    #[arg(long, default_value = "constant", value_enum, value_name = "constant or poisson")]
    pub(super) arrivals: SpacingName,
    /// The seed of what is drawn
    #[arg(
        long,
        env = "LAB_SEED",
        default_value = "1",
        value_name = "a whole number from 0 to 18446744073709551615"
    )]
    pub(super) seed: u64,
}

/// A run, in its shape of `lab load URL...`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(super) struct RunArgs {
    /// What to ask for; WEIGHT*URL for a weight
    #[arg(required = true, value_name = "URL")]
    pub(super) urls: Vec<Target>,
    #[command(flatten)]
    pub(super) arrivals: ArrivalArgs,
    /// A closed loop of so many users instead, each waiting for its answer before it asks again; with
    /// --rate or --schedule they take their turns from it
    #[arg(long, help_heading = "Arrivals", value_name = Users::ALLOWED)]
    pub(super) closed: Option<Users>,
    #[command(flatten)]
    pub(super) request: RequestArgs,
    /// What must hold for exit code 0, such as 'p95<800ms,good>99%'
    #[arg(long, help_heading = "Verdict", value_name = Checks::ALLOWED)]
    pub(super) check: Option<Checks>,
    /// A success within this is good; instead of --slo-ms
    #[arg(long, help_heading = "Verdict", value_name = Slo::ALLOWED)]
    pub(super) slo: Option<Slo>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) telemetry: telemetry::Config,
}

/// How arrivals are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum SpacingName {
    /// Evenly
    Constant,
    /// As a Poisson process
    Poisson,
}

/// A service level objective as a length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slo(u64);

impl Slo {
    /// In whole milliseconds.
    pub(super) const fn ms(self) -> u64 {
        self.0
    }
}

impl Allowed for Slo {
    const ALLOWED: &'static str =
        "a length of time in whole milliseconds such as 800ms or 1.5s, from 1ms to 60s";
}

impl std::str::FromStr for Slo {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = || Invalid::new(text, Self::ALLOWED);
        let length = text.parse::<Span>().map_err(|_| refuse())?.get();
        let whole = length.subsec_nanos() % 1_000_000 == 0;
        let ms = u64::try_from(length.as_millis()).map_err(|_| refuse())?;
        if whole && (1..=60_000).contains(&ms) { Ok(Self(ms)) } else { Err(refuse()) }
    }
}

fn method(text: &str) -> Result<Method, Invalid> {
    let known = |method: &Method| !matches!(*method, Method::CONNECT);
    let parsed = text.parse().ok().filter(known);
    parsed.ok_or_else(|| Invalid::new(text, "a method such as GET or POST, other than CONNECT"))
}

/// A number that is known not to be 0.
pub(super) fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}
