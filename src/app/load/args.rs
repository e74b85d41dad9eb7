//! The arguments of `lab load`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use hyper::Method;

use super::command_line::CommandLine;
use crate::app::output::FormArgs;
use crate::config::{Allowed, Invalid, Rate, SeedArg, Span};
use crate::load::compare::Figure;
use crate::load::http::{Header, Target};
use crate::load::{Checks, Success};
use crate::{bounded, choice, share, telemetry};

bounded!(
    /// The most requests in flight.
    pub(super) MaxInFlight: u32 = 1 to 1000000
);
bounded!(
    /// The number of requests of a run.
    pub(in crate::app) RequestCount: u64 = 1 to 1000000000
);
bounded!(
    /// The number of users of a closed loop.
    pub(super) Users: u32 = 1 to 100000
);
bounded!(
    /// The number of connections to one origin.
    pub(super) ConnectionCount: u32 = 1 to 1000000
);

/// The requests and how they are sent.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Requests")]
pub(super) struct RequestArgs {
    /// Method [default: GET, or POST with --body]
    #[arg(long, short = 'X', value_parser = method, value_name = "a method such as GET or POST")]
    pub(super) method: Option<Method>,
    /// Header; may be repeated
    #[arg(long = "header", short = 'H', value_name = Header::ALLOWED)]
    pub(super) headers: Vec<Header>,
    /// Body: a text, @FILE, or @- for stdin; sent as a form unless a header gives another Content-Type
    #[arg(long, short = 'd', value_name = "TEXT")]
    pub(super) body: Option<String>,
    /// Statuses that count as a success
    #[arg(long, default_value = "2xx", value_name = Success::ALLOWED)]
    pub(super) success: Success,
    /// Use HTTP/1.1 only
    #[arg(long, conflicts_with = "http2")]
    pub(super) http1: bool,
    /// Use HTTP/2 only; without TLS by prior knowledge
    #[arg(long)]
    pub(super) http2: bool,
    /// Connections open to one origin [default: for HTTP/1.1 one for each request in flight, for HTTP/2 one]
    #[arg(long, value_name = ConnectionCount::ALLOWED)]
    pub(super) connections: Option<ConnectionCount>,
    /// Trust the certificates in this PEM file, and those they signed, instead of the machine's
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// Client certificate for servers that request one: a PEM file, with or without its key
    #[arg(long, value_name = "FILE")]
    pub(super) cert: Option<PathBuf>,
    /// Key of --cert, if it is in a separate file
    #[arg(long, requires = "cert", value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long, conflicts_with = "ca")]
    pub(super) insecure: bool,
    /// Give up a request this long after its intended start
    #[arg(long, default_value = "30s", value_name = Span::ALLOWED)]
    pub(super) timeout: Span,
    /// Limit of requests in flight; an arrival above it is not sent and counts as infinitely slow
    /// [default: 10000]
    #[arg(long, value_name = MaxInFlight::ALLOWED)]
    pub(super) max_in_flight: Option<MaxInFlight>,
}

/// When requests arrive.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Arrivals")]
pub(in crate::app) struct ArrivalArgs {
    /// Rate of arrivals [default: 10]
    #[arg(long, value_name = Rate::ALLOWED)]
    pub(in crate::app) rate: Option<Rate>,
    /// How long requests arrive
    #[arg(long = "for", default_value = "10s", value_name = Span::ALLOWED)]
    pub(in crate::app) length: Span,
    /// Phases instead of one rate, such as '10..100 for 30s, burst 500, 20/m for 1m30s'; file:FILE reads them,
    /// arrivals:FILE replays times in seconds, one per line
    #[arg(long, conflicts_with_all = ["rate", "length"], value_name = "PHASES")]
    pub(in crate::app) schedule: Option<String>,
    /// Spacing of arrivals: even, or random as from independent users [default: constant]
    #[arg(long, value_name = SpacingName::ALLOWED)]
    pub(in crate::app) arrivals: Option<SpacingName>,
    #[command(flatten)]
    pub(in crate::app) seed: SeedArg,
}

/// The arguments of `lab load URL...`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) command_line: CommandLine<Self>,
    /// URL to request; WEIGHT*URL for a weight
    #[arg(required = true, value_name = "URL")]
    pub(super) urls: Vec<Target>,
    #[command(flatten)]
    pub(super) arrivals: ArrivalArgs,
    /// Number of requests, instead of --for
    #[arg(long, short = 'n', help_heading = "Arrivals", conflicts_with_all = ["length", "schedule", "find_max"],
          value_name = RequestCount::ALLOWED)]
    pub(super) requests: Option<RequestCount>,
    /// Run a closed loop of this many users instead, for comparison: each waits for its response before it
    /// sends the next request
    #[arg(long, help_heading = "Arrivals", value_name = Users::ALLOWED)]
    pub(super) closed: Option<Users>,
    /// With --closed: users start requests on the schedule, or later if they still wait for a response;
    /// latency is measured from the scheduled start
    #[arg(long, help_heading = "Arrivals", requires = "closed")]
    pub(super) paced: bool,
    #[command(flatten)]
    pub(super) request: RequestArgs,
    /// Checks that must hold for exit code 0, such as 'p95<800ms,good>99%'
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
    /// Find the highest rate at which these checks hold, starting at --rate; each step lasts --for or longer
    #[arg(long, conflicts_with_all = ["check", "schedule", "closed"], value_name = Checks::ALLOWED)]
    pub(super) find_max: Option<Checks>,
    /// Width of the interval around that rate, as a share of it
    #[arg(long, default_value = "5%", requires = "find_max", value_name = SmallShare::ALLOWED)]
    pub(super) precision: SmallShare,
    /// Highest rate to try
    #[arg(long, default_value = "100000", requires = "find_max", value_name = Rate::ALLOWED)]
    pub(super) max_rate: Rate,
}

/// The arguments of `lab load compare`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(super) struct CompareArgs {
    #[command(flatten)]
    pub(super) command_line: CommandLine<Self>,
    /// Baseline target
    #[arg(value_name = "A")]
    pub(super) a: Target,
    /// Target to compare with it
    #[arg(value_name = "B")]
    pub(super) b: Target,
    #[command(flatten)]
    pub(super) arrivals: ArrivalArgs,
    #[command(flatten)]
    pub(super) request: RequestArgs,
    /// Number of pairs of blocks; each block lasts --for
    #[arg(long, default_value = "10", help_heading = "Verdict", value_name = Pairs::ALLOWED)]
    pub(super) pairs: Pairs,
    /// Figure to compare
    #[arg(long, default_value = "p50", help_heading = "Verdict", value_name = Figure::ALLOWED)]
    pub(super) figure: Figure,
    /// Tolerated slowdown: exit code 1 if B is slower by more than this
    #[arg(long, default_value = "0%", help_heading = "Verdict", value_name = Margin::ALLOWED)]
    pub(super) margin: Margin,
    /// Slowdown to detect: the number of pairs needed for it is printed
    #[arg(long, default_value = "5%", help_heading = "Verdict", value_name = SmallShare::ALLOWED)]
    pub(super) detect: SmallShare,
    /// Confidence level of the interval
    #[arg(long, default_value = "99%", help_heading = "Verdict", value_name = Confidence::ALLOWED)]
    pub(super) confidence: Confidence,
    #[command(flatten)]
    pub(super) output: FormArgs,
    #[command(flatten)]
    pub(super) telemetry: telemetry::Config,
}

/// The arguments of `lab load merge`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct MergeArgs {
    #[command(flatten)]
    pub(super) command_line: CommandLine<Self>,
    /// Results that several hosts wrote with --json=FILE
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Checks that must hold for exit code 0
    #[arg(long, help_heading = "Verdict", value_name = Checks::ALLOWED)]
    pub(super) check: Option<Checks>,
    #[command(flatten)]
    pub(super) output: FormArgs,
}

bounded!(
    /// The number of pairs of blocks.
    pub(super) Pairs: u32 = 2 to 100000
);

share!(
    /// A share above 0.
    pub(super) SmallShare = 0.001 to 1, such as "5% or 0.05"
);
share!(
    /// A tolerated slowdown.
    pub(super) Margin = 0 to 10, such as "5% or 0.05"
);
share!(
    /// A confidence level.
    pub(super) Confidence = 0.5 to 0.9999, such as "99% or 0.99"
);
choice! {
    /// The spacing of arrivals.
    pub(in crate::app) enum SpacingName {
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

/// Converts a number that is known to be above 0.
pub(in crate::app) fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}
