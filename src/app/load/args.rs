//! What `lab load` takes.

use std::num::NonZeroU32;
use std::path::PathBuf;

use hyper::Method;

use super::given::Given;
use crate::app::output::FormArgs;
use crate::config::{Allowed, Invalid, Rate, SeedArg, Span};
use crate::load::compare::Figure;
use crate::load::http::{Header, Target};
use crate::load::{Checks, Success};
use crate::{bounded, choice, share, telemetry};

bounded!(
    /// Requests in flight at a time.
    pub(super) MaxInFlight: u32 = 1 to 1000000
);
bounded!(
    /// Requests of a run.
    pub(super) RequestCount: u64 = 1 to 1000000000
);
bounded!(
    /// Users of a closed loop.
    pub(super) Users: u32 = 1 to 100000
);
bounded!(
    /// Connections to one origin.
    pub(super) ConnectionCount: u32 = 1 to 1000000
);

/// What a run asks for, and how.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Requests")]
pub(super) struct RequestArgs {
    /// The method [default: GET, or POST with --body]
    #[arg(long, short = 'X', value_parser = method, value_name = "a method such as GET or POST")]
    pub(super) method: Option<Method>,
    /// A header; may be given again
    #[arg(long = "header", short = 'H', value_name = Header::ALLOWED)]
    pub(super) headers: Vec<Header>,
    /// The body: a text, or @FILE, or @- for stdin; a form by its Content-Type, unless a header says otherwise
    #[arg(long, short = 'd', value_name = "TEXT")]
    pub(super) body: Option<String>,
    /// The statuses that are a success
    #[arg(long, default_value = "2xx", value_name = Success::ALLOWED)]
    pub(super) success: Success,
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
    /// Trust the certificates in this PEM file, and what they signed, instead of the machine's
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// The client's certificate, for servers that ask for one: a PEM file, with the key or without
    #[arg(long, value_name = "FILE")]
    pub(super) cert: Option<PathBuf>,
    /// The key of --cert, where it is not in the same file
    #[arg(long, requires = "cert", value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long, conflicts_with = "ca")]
    pub(super) insecure: bool,
    /// A request is given up so long after its intended start
    #[arg(long, default_value = "30s", value_name = Span::ALLOWED)]
    pub(super) timeout: Span,
    /// Requests in flight at a time; an arrival above it is not sent and counts as infinitely slow
    /// [default: 10000]
    #[arg(long, value_name = MaxInFlight::ALLOWED)]
    pub(super) max_in_flight: Option<MaxInFlight>,
}

/// When requests arrive.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Arrivals")]
pub(super) struct ArrivalArgs {
    /// Arrivals [default: 10]
    #[arg(long, value_name = Rate::ALLOWED)]
    pub(super) rate: Option<Rate>,
    /// For how long
    #[arg(long = "for", default_value = "10s", value_name = Span::ALLOWED)]
    pub(super) length: Span,
    /// Phases instead of one rate, such as '10..100 for 30s, burst 500, 20/m for 1m30s'; file:FILE reads them,
    /// arrivals:FILE replays times in seconds, one a line
    #[arg(long, conflicts_with_all = ["rate", "length"], value_name = "PHASES")]
    pub(super) schedule: Option<String>,
    /// How arrivals are spaced: evenly, or as independent users come [default: constant]
    #[arg(long, value_name = SpacingName::ALLOWED)]
    pub(super) arrivals: Option<SpacingName>,
    #[command(flatten)]
    pub(super) seed: SeedArg,
}

/// A run, in its shape of `lab load URL...`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) given: Given,
    /// What to ask for; WEIGHT*URL for a weight
    #[arg(required = true, value_name = "URL")]
    pub(super) urls: Vec<Target>,
    #[command(flatten)]
    pub(super) arrivals: ArrivalArgs,
    /// How many requests, instead of --for
    #[arg(long, short = 'n', help_heading = "Arrivals", conflicts_with_all = ["length", "schedule", "find_max"],
          value_name = RequestCount::ALLOWED)]
    pub(super) requests: Option<RequestCount>,
    /// A closed loop of so many users instead, for comparison: each waits for its answer before it asks
    /// again, for as long as --for says
    #[arg(long, help_heading = "Arrivals", value_name = Users::ALLOWED)]
    pub(super) closed: Option<Users>,
    /// With --closed: the users take their turns from the schedule, as far as their answers let them;
    /// latency is measured from these intended starts
    #[arg(long, help_heading = "Arrivals", requires = "closed")]
    pub(super) paced: bool,
    #[command(flatten)]
    pub(super) request: RequestArgs,
    /// What must hold for exit code 0, such as 'p95<800ms,good>99%'
    #[arg(long, help_heading = "Verdict", value_name = Checks::ALLOWED)]
    pub(super) check: Option<Checks>,
    #[command(flatten)]
    pub(super) find: FindArgs,
    #[command(flatten)]
    pub(super) output: FormArgs,
    #[command(flatten)]
    pub(super) telemetry: telemetry::Config,
}

/// The search for the highest rate.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Verdict")]
pub(super) struct FindArgs {
    /// Find the highest rate at which these checks hold, from --rate on; a step takes --for or longer
    #[arg(long, conflicts_with_all = ["check", "schedule", "closed"], value_name = Checks::ALLOWED)]
    pub(super) find_max: Option<Checks>,
    /// How wide the interval of that rate may be, as a share of it
    #[arg(long, default_value = "5%", requires = "find_max", value_name = SmallShare::ALLOWED)]
    pub(super) precision: SmallShare,
    /// No rate above this is tried
    #[arg(long, default_value = "100000", requires = "find_max", value_name = Rate::ALLOWED)]
    pub(super) max_rate: Rate,
}

/// What `lab load compare` takes.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(super) struct CompareArgs {
    #[command(flatten)]
    pub(super) given: Given,
    /// The target that is known
    #[arg(value_name = "A")]
    pub(super) a: Target,
    /// The target that may be slower
    #[arg(value_name = "B")]
    pub(super) b: Target,
    #[command(flatten)]
    pub(super) arrivals: ArrivalArgs,
    #[command(flatten)]
    pub(super) request: RequestArgs,
    /// How many pairs of blocks, each of --for
    #[arg(long, default_value = "10", help_heading = "Verdict", value_name = Pairs::ALLOWED)]
    pub(super) pairs: Pairs,
    /// The figure of a block
    #[arg(long, default_value = "p50", help_heading = "Verdict", value_name = Figure::ALLOWED)]
    pub(super) figure: Figure,
    /// A slowdown up to this is let pass: exit code 1 says that B is slower by more
    #[arg(long, default_value = "0%", help_heading = "Verdict", value_name = Margin::ALLOWED)]
    pub(super) margin: Margin,
    /// The slowdown that should be found: how many pairs that takes is printed
    #[arg(long, default_value = "5%", help_heading = "Verdict", value_name = SmallShare::ALLOWED)]
    pub(super) detect: SmallShare,
    /// How sure the interval is
    #[arg(long, default_value = "99%", help_heading = "Verdict", value_name = Confidence::ALLOWED)]
    pub(super) confidence: Confidence,
    #[command(flatten)]
    pub(super) output: FormArgs,
    #[command(flatten)]
    pub(super) telemetry: telemetry::Config,
}

/// What `lab load merge` takes.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct MergeArgs {
    #[command(flatten)]
    pub(super) given: Given,
    /// What several hosts wrote with --json=FILE
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// What must hold for exit code 0
    #[arg(long, help_heading = "Verdict", value_name = Checks::ALLOWED)]
    pub(super) check: Option<Checks>,
    #[command(flatten)]
    pub(super) output: FormArgs,
}

bounded!(
    /// Pairs of blocks.
    pub(super) Pairs: u32 = 2 to 100000
);

share!(
    /// A small difference, not none.
    pub(super) SmallShare = 0.001 to 1, such as "5% or 0.05"
);
share!(
    /// What is let pass.
    pub(super) Margin = 0 to 10, such as "5% or 0.05"
);
share!(
    /// How sure an interval is.
    pub(super) Confidence = 0.5 to 0.9999, such as "99% or 0.99"
);
choice! {
    /// How arrivals are spaced.
    pub(super) enum SpacingName {
        /// Evenly.
        Constant = "constant",
        /// As a Poisson process.
        Poisson = "poisson",
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
