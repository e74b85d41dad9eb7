//! The handlers of `lab queue worker`, and what configures them and the worker.

mod exec;
mod http;
mod simulate;

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use self::{exec::Exec, http::Http, simulate::Simulate};
use super::{
    broker::Broker,
    metrics::WorkerMetrics,
    name::Name,
    settle::RetryPolicy,
    worker::{Worker, WorkerSettings},
};
use crate::{
    bounded,
    client::{Client, Reach},
    config::{Allowed, Fraction, HttpUrl, Invalid, Misfit},
    exec::{Guard, Template},
    sim::Profile,
    telemetry::{Instruments, Tracing},
    time,
};

bounded!(
    /// Tasks that a worker runs at a time.
    pub Concurrency: u32 = 1 to 10000
);
time!(
    /// How long the store waits for a sign of life of a worker.
    pub LeaseMs = 1 s to 10 m in milliseconds
);
time!(
    /// How long a failed task waits.
    pub BackoffMs = 1 ms to 24 h in milliseconds
);

/// `TYPE=WHAT`: what handles tasks of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route<T> {
    kind: Name,
    to: T,
}

impl<T: FromStr<Err = Invalid>> FromStr for Route<T> {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (kind, to) = text
            .split_once('=')
            .ok_or_else(|| Invalid::new(text, "TYPE=, then what handles tasks of that type"))?;
        Ok(Self { kind: kind.trim().parse()?, to: to.trim().parse()? })
    }
}

/// A host that may have a private address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateHost(String);

impl Allowed for PrivateHost {
    const ALLOWED: &'static str = "a host's name or address, without a port";
}

impl FromStr for PrivateHost {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:[]".contains(c);
        if text.is_empty() || !text.chars().all(is_plain) {
            return Err(Invalid::new(text, Self::ALLOWED));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for PrivateHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a worker works, and what does the work.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Worker")]
pub struct WorkerArgs {
    /// Tasks that a worker runs at a time
    #[arg(long, env = "QUEUE_CONCURRENCY", default_value = "5", value_name = Concurrency::ALLOWED)]
    pub concurrency: Concurrency,
    /// After this time without a sign of life, a worker's tasks are given to others
    #[arg(long, env = "QUEUE_LEASE_MS", default_value = "2000", value_name = LeaseMs::ALLOWED)]
    pub lease_ms: LeaseMs,
    /// How long a task waits after its first failure; doubled for each further one
    #[arg(long, env = "QUEUE_BACKOFF_MS", default_value = "1000", value_name = BackoffMs::ALLOWED)]
    pub backoff_ms: BackoffMs,
    /// The longest such wait
    #[arg(long, env = "QUEUE_BACKOFF_LIMIT_MS", default_value = "10m", value_name = BackoffMs::ALLOWED)]
    pub backoff_limit_ms: BackoffMs,
    /// Post tasks of a type to a server: TYPE=URL, several separated by commas
    #[arg(
        long,
        env = "QUEUE_HTTP",
        value_delimiter = ',',
        value_name = "TYPE=URL, several separated by commas"
    )]
    pub http: Vec<Route<HttpUrl>>,
    /// Hosts of --http that may have a private, link-local or loopback address, separated by commas
    #[arg(long, env = "QUEUE_HTTP_PRIVATE", value_delimiter = ',', value_name = PrivateHost::ALLOWED)]
    pub http_private: Vec<PrivateHost>,
    /// Run a command for tasks of a type, with the payload as its standard input: TYPE=COMMAND, each on a line or in a flag of its own
    #[arg(
        long,
        env = "QUEUE_EXEC",
        value_delimiter = '\n',
        value_name = "TYPE=COMMAND, each on a line of its own"
    )]
    pub exec: Vec<Route<Template>>,
    /// How long simulated work takes; tasks are simulated if neither --http nor --exec is set
    #[arg(long, env = "QUEUE_SIMULATE", default_value = "uniform:50,150", value_name = Profile::ALLOWED)]
    pub simulate: Profile,
    /// The share of simulated work that fails
    #[arg(long, env = "QUEUE_SIMULATE_ERROR_RATE", default_value = "0.05", value_name = Fraction::ALLOWED)]
    pub simulate_error_rate: Fraction,
}

impl WorkerArgs {
    /// Checks that the values do not conflict.
    ///
    /// # Errors
    /// The first value that conflicts with another.
    pub fn check(&self) -> Result<(), Misfit> {
        for Route { to, .. } in &self.http {
            let host = to.uri().host().unwrap_or_default().to_ascii_lowercase();
            let literal = host.trim_matches(['[', ']']).parse();
            if literal.is_ok_and(|ip| !Reach::Public.allows(ip)) && !self.may_be_private(to) {
                let allowed = "a server with a public address, or its host in QUEUE_HTTP_PRIVATE too";
                return Err(Misfit::new("QUEUE_HTTP", to, allowed));
            }
        }
        for Route { to, .. } in &self.exec {
            if to.fill("", |_| None).is_err() || to.takes_input() {
                let allowed = "a command without placeholders: the payload is its standard input";
                return Err(Misfit::new("QUEUE_EXEC", to.program(), allowed));
            }
        }
        Ok(())
    }

    /// Whether something other than a simulation does the work.
    pub fn has_handlers(&self) -> bool {
        !self.http.is_empty() || !self.exec.is_empty()
    }

    /// How long a worker's lease is, in milliseconds.
    pub fn lease_ms(&self) -> u64 {
        self.lease_ms.ms()
    }

    /// A worker on `broker` with these settings.
    ///
    /// # Errors
    /// When the guard of commands cannot be started, or this machine trusts no certificates.
    pub fn worker(
        &self,
        broker: Broker,
        instruments: &Instruments,
        tracing: Tracing,
    ) -> anyhow::Result<Worker> {
        let settings = WorkerSettings {
            concurrency: self.concurrency.get() as usize,
            lease: self.lease_ms.get(),
            retry: RetryPolicy {
                backoff_ms: self.backoff_ms.ms(),
                backoff_limit_ms: self.backoff_limit_ms.ms(),
            },
            poll: match broker {
                Broker::Redis(_) => Duration::from_millis(100),
                // Who enqueues is in this process, and rings.
                Broker::Sqlite(_) => Duration::from_secs(1),
            },
            ..WorkerSettings::default()
        };
        let kinds =
            self.http.iter().map(|route| &route.kind).chain(self.exec.iter().map(|route| &route.kind));
        let metrics = WorkerMetrics::new(instruments, kinds.cloned());
        let mut builder = Worker::builder(broker).settings(settings).seen(Arc::new(metrics), tracing);
        for Route { kind, to } in &self.http {
            let reach = if self.may_be_private(to) { Reach::Anywhere } else { Reach::Public };
            let handler = Http { url: to.clone(), client: Client::within(to, reach)? };
            builder = builder.with(kind.clone(), Arc::new(handler));
        }
        if !self.exec.is_empty() {
            let guard = Guard::start(&[Guard::COMMAND])?;
            for Route { kind, to } in &self.exec {
                let handler = Exec { command: to.clone(), guard: guard.clone() };
                builder = builder.with(kind.clone(), Arc::new(handler));
            }
        }
        if !self.has_handlers() {
            let (takes, error_rate) = (self.simulate.clone(), self.simulate_error_rate.get());
            builder = builder.otherwise(Arc::new(Simulate { takes, error_rate }));
        }
        Ok(builder.build())
    }

    fn may_be_private(&self, url: &HttpUrl) -> bool {
        let host = url.uri().host().unwrap_or_default();
        self.http_private.iter().any(|listed| listed.0.eq_ignore_ascii_case(host))
    }
}
