//! The arguments of the commands that start a server.

use crate::{
    bounded,
    config::{Allowed, ListenAddr, Misfit, Seed},
    http_lab, pipeline, queue,
    shutdown::Shutdown,
    streams, telemetry, time,
    web::{Hosts, Limits, Secret, System},
};

bounded!(
    /// How many connections may be open at a time.
    pub MaxConnections: u64 = 1 to 1000000
);
time!(
    /// The time limit of a shutdown.
    pub DrainMs = 0 s to 1 h in milliseconds
);
time!(
    /// How long a stopping server still accepts requests.
    pub UnreadyMs = 0 s to 60 s in milliseconds
);
time!(
    /// The time limit for receiving a request's head.
    pub HeaderTimeoutMs = 100 ms to 10 m in milliseconds
);

/// The arguments of every server.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Server")]
pub struct ServerArgs {
    /// The most open connections; further ones get a 503
    #[arg(long, env = "LAB_MAX_CONNECTIONS", default_value = "20000", value_name = MaxConnections::ALLOWED)]
    pub max_connections: MaxConnections,
    /// The time limit for receiving a request's head; it also closes idle connections
    #[arg(long, env = "LAB_HEADER_TIMEOUT_MS", default_value = "10000", value_name = HeaderTimeoutMs::ALLOWED)]
    pub header_timeout_ms: HeaderTimeoutMs,
    /// Host names to accept in addition to localhost, such as a proxy's; unset: only localhost if the server listens on loopback, else all
    #[arg(long, env = "LAB_HOSTS", value_name = Hosts::ALLOWED)]
    pub hosts: Option<Hosts>,
    /// The token that allows changing settings; unset: only this machine may change them; set it behind a proxy
    #[arg(long, env = "LAB_ADMIN_TOKEN", hide_env_values = true, value_name = Secret::ALLOWED)]
    pub admin_token: Option<Secret>,
}

/// The arguments of servers whose work is to serve requests, so their shutdown has a time limit.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Server")]
pub struct ServingArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub server: ServerArgs,
    /// After a stop signal: how long requests are still accepted while /readyz already fails
    #[arg(long, env = "LAB_UNREADY_MS", default_value = "1000", value_name = UnreadyMs::ALLOWED)]
    pub unready_ms: UnreadyMs,
    /// After a stop signal: the time limit of the whole shutdown
    #[arg(long, env = "LAB_DRAIN_MS", default_value = "30000", value_name = DrainMs::ALLOWED)]
    pub drain_ms: DrainMs,
}

/// The arguments of `lab serve`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct ServeArgs {
    /// The address to listen on
    #[arg(long, env = "LAB_ADDR", default_value = "127.0.0.1:8080", value_name = ListenAddr::ALLOWED)]
    pub addr: ListenAddr,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub serving: ServingArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub lab: http_lab::Config,
    /// Start the streams with the server
    #[arg(
        long,
        env = "STREAMS_ENABLED",
        default_value = "false",
        value_name = "true or false",
        help_heading = "Streams"
    )]
    pub streams_enabled: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub streams: streams::Args,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub telemetry: telemetry::Config,
}

/// The systems that `lab` has in addition to those of `lab serve`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct WholeArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub pipeline: Prefixed<pipeline::Config>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub store: queue::StoreArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub queue: Prefixed<queue::Config>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub queue_worker: Prefixed<queue::WorkerArgs>,
}

impl WholeArgs {
    /// Checks that the values do not conflict.
    ///
    /// # Errors
    /// The first value that conflicts with another.
    pub fn check(&self) -> Result<(), Misfit> {
        self.queue_worker.0.check()?;
        self.pipeline.0.clone().settings().map(drop)
    }
}

/// Settings of a system as arguments of `lab`: each flag has the system's prefix, so that it does not clash with another
/// system's flag.
#[derive(Debug, Clone)]
pub struct Prefixed<A>(pub A);

/// The prefix of a system's flags in `lab`.
pub trait Prefix {
    /// Without the hyphen.
    const PREFIX: &'static str;
}

impl Prefix for pipeline::Config {
    const PREFIX: &'static str = "pipeline";
}

impl Prefix for queue::Config {
    const PREFIX: &'static str = "queue";
}

impl Prefix for queue::WorkerArgs {
    const PREFIX: &'static str = "queue";
}

impl<A: clap::FromArgMatches> clap::FromArgMatches for Prefixed<A> {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        A::from_arg_matches(matches).map(Self)
    }
    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<A: clap::Args + Prefix> clap::Args for Prefixed<A> {
    fn augment_args(command: clap::Command) -> clap::Command {
        let own = A::augment_args(clap::Command::new(A::PREFIX));
        let prefixed = own.get_arguments().map(|argument| {
            let long = argument.get_long().map(|long| format!("{}-{long}", A::PREFIX));
            argument.clone().long(long.unwrap_or_default())
        });
        command.args(prefixed)
    }
    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

/// The arguments of `lab service`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct ServiceArgs {
    /// The service to serve
    #[command(subcommand)]
    pub which: http_lab::service::Which,
    /// The address to listen on
    #[arg(long, env = "SERVICE_ADDR", default_value = "127.0.0.1:8081", value_name = ListenAddr::ALLOWED, global = true)]
    pub addr: ListenAddr,
    /// The seed of the random draws for which the caller sends no seed
    #[arg(long, env = "LAB_SEED", default_value = "1", global = true, value_name = Seed::ALLOWED)]
    pub seed: Seed,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub serving: ServingArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub telemetry: telemetry::Config,
}

impl ServerArgs {
    /// The server's limits, with the route limits of `systems`.
    pub(super) fn limits(&self, systems: &[System]) -> Limits {
        Limits {
            connections: usize::try_from(self.max_connections.get()).unwrap_or(usize::MAX),
            header_timeout_ms: self.header_timeout_ms.ms(),
            hosts: self.hosts.clone().unwrap_or_default(),
            routes: systems.iter().flat_map(|system| &system.limits).copied().collect(),
            ..Limits::default()
        }
    }
}

impl ServingArgs {
    /// A shutdown that has not begun.
    pub(super) fn shutdown(&self) -> Shutdown {
        Shutdown::new(Some(self.drain_ms.get()), self.unready_ms.get())
    }
}
