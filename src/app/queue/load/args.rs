//! The arguments of `lab queue load`.

use crate::{
    app::{
        JsonArg,
        ask::ServerAddr,
        load::{ArrivalArgs, CommandLine, RequestCount},
    },
    bounded,
    config::{Allowed as _, HttpUrl, Span},
    queue::{Name, Priority},
    size, time,
};

size!(
    /// The payload of each task.
    pub(super) PayloadBytes = 2 B to 1 MB
);
time!(
    /// How long the load waits for its tasks.
    pub(super) WaitLimit = 1 s to 24 h
);
bounded!(
    /// The most enqueues in flight.
    pub(super) InFlight: u32 = 1 to 10000
);

/// The arguments of `lab queue load`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct LoadArgs {
    #[command(flatten)]
    pub(super) command_line: CommandLine<Self>,
    /// The queue, such as http://127.0.0.1:8080/queue (in `lab`) or http://127.0.0.1:8085 (`lab queue api`); without
    /// it, the queue of the server at the address
    #[arg(long, value_name = HttpUrl::ALLOWED)]
    pub(super) url: Option<HttpUrl>,
    #[command(flatten)]
    pub(super) server: ServerAddr,
    /// The tasks' types, which take turns
    #[arg(
        long = "types",
        default_value = "email",
        value_delimiter = ',',
        help_heading = "Tasks",
        value_name = "names of types, separated by commas"
    )]
    pub(super) kinds: Vec<Name>,
    /// Their priorities, which take turns
    #[arg(
        long,
        default_value = "normal",
        value_delimiter = ',',
        help_heading = "Tasks",
        value_name = "priorities, separated by commas: high, normal, low"
    )]
    pub(super) priorities: Vec<Priority>,
    /// The length of their payload, a JSON string
    #[arg(long, default_value = "200 B", help_heading = "Tasks", value_name = PayloadBytes::ALLOWED)]
    pub(super) payload_bytes: PayloadBytes,
    #[command(flatten)]
    pub(super) arrivals: ArrivalArgs,
    /// Number of tasks, instead of --for
    #[arg(long, short = 'n', help_heading = "Arrivals", conflicts_with_all = ["length", "schedule"], value_name = RequestCount::ALLOWED)]
    pub(super) tasks: Option<RequestCount>,
    /// Give up an enqueue this long after its intended start
    #[arg(long, default_value = "30s", help_heading = "Requests", value_name = Span::ALLOWED)]
    pub(super) timeout: Span,
    /// Limit of enqueues in flight; an arrival above it is not sent
    #[arg(long, default_value = "1000", help_heading = "Requests", value_name = InFlight::ALLOWED)]
    pub(super) max_in_flight: InFlight,
    /// Wait until the tasks have ended, at most this long; exit code 1 if one has not
    #[arg(long, help_heading = "Verdict", value_name = WaitLimit::ALLOWED)]
    pub(super) wait: Option<WaitLimit>,
    #[command(flatten)]
    pub(super) json: JsonArg,
}
