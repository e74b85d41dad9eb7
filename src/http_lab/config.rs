//! The lab's settings at start: flags, variables, defaults.

use super::{
    remote::RequestSpec,
    settings::{AsyncLimit, DeadlineMs, LimitWaitMs, Settings},
};
use crate::{
    bounded,
    config::{Allowed, Fraction, HttpUrl, SeedArg},
    sim::{Contention, OnCallerGone, Profile},
};

bounded!(
    /// Limit of requests in flight in the process, with their detached tasks.
    pub MaxInFlight: u64 = 1 to 1000000
);

/// Service A as it is at start.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Service A")]
pub struct ServiceA {
    /// How long service A works
    #[arg(long, env = "SERVICE_A_LATENCY", default_value = "uniform:50,150", value_name = Profile::ALLOWED)]
    pub service_a_latency: Profile,
    /// The share of service A's calls that fail
    #[arg(long, env = "SERVICE_A_ERROR_RATE", default_value = "0", value_name = Fraction::ALLOWED)]
    pub service_a_error_rate: Fraction,
}

/// Service B as it is at start.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Service B")]
pub struct ServiceB {
    /// How long service B works
    #[arg(long, env = "SERVICE_B_LATENCY", default_value = "uniform:300,1200", value_name = Profile::ALLOWED)]
    pub service_b_latency: Profile,
    /// The share of service B's calls that fail
    #[arg(long, env = "SERVICE_B_ERROR_RATE", default_value = "0.05", value_name = Fraction::ALLOWED)]
    pub service_b_error_rate: Fraction,
    /// How calls in progress share service B
    #[arg(long, env = "SERVICE_B_CONTENTION", default_value = "off", value_name = Contention::ALLOWED)]
    pub service_b_contention: Contention,
    /// What service B does with a call whose caller has left: abort it, dequeue it if it waits, or
    /// continue
    #[arg(long, env = "SERVICE_B_ON_CALLER_GONE", default_value = "abort", value_name = OnCallerGone::ALLOWED)]
    pub service_b_on_caller_gone: OnCallerGone,
}

/// The lab's configuration.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "HTTP lab")]
pub struct Config {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub a: ServiceA,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub b: ServiceB,
    /// Call a real service as A instead of simulating it
    #[arg(long, env = "SERVICE_A_URL", value_name = HttpUrl::ALLOWED, help_heading = "Real services")]
    pub service_a_url: Option<HttpUrl>,
    /// How the real A is asked, and what counts as a failure
    #[arg(long, env = "SERVICE_A_REQUEST", default_value = "{}", value_name = RequestSpec::ALLOWED,
          help_heading = "Real services")]
    pub service_a_request: RequestSpec,
    /// Call a real service as B instead of simulating it
    #[arg(long, env = "SERVICE_B_URL", value_name = HttpUrl::ALLOWED, help_heading = "Real services")]
    pub service_b_url: Option<HttpUrl>,
    /// How the real B is asked, and what counts as a failure
    #[arg(long, env = "SERVICE_B_REQUEST", default_value = "{}", value_name = RequestSpec::ALLOWED,
          help_heading = "Real services")]
    pub service_b_request: RequestSpec,
    /// One pair of services for all endpoints instead of one each, to show a noisy neighbour
    #[arg(
        long = "shared-backend",
        env = "LAB_SHARED_BACKEND",
        default_value = "false",
        value_name = "true or false",
        help_heading = "HTTP lab"
    )]
    pub shared_backend: bool,
    /// Calls to B at a time on /async-limited
    #[arg(long, env = "ASYNC_LIMIT", default_value = "32", value_name = AsyncLimit::ALLOWED,
          help_heading = "HTTP lab")]
    pub async_limit: AsyncLimit,
    /// The longest wait for that limit, after which a request is shed; 0: no limit
    #[arg(long, env = "ASYNC_LIMIT_MAX_WAIT_MS", default_value = "1000", value_name = LimitWaitMs::ALLOWED,
          help_heading = "HTTP lab")]
    pub async_limit_max_wait_ms: LimitWaitMs,
    /// The deadline of /async-timeout
    #[arg(long, env = "ASYNC_TIMEOUT_MS", default_value = "1000", value_name = DeadlineMs::ALLOWED,
          help_heading = "HTTP lab")]
    pub async_timeout_ms: DeadlineMs,
    /// Limit of requests in flight in the process, with their detached tasks
    #[arg(long = "max-in-flight", env = "LAB_MAX_IN_FLIGHT", default_value = "50000", value_name = MaxInFlight::ALLOWED,
          help_heading = "HTTP lab")]
    pub max_in_flight: MaxInFlight,
    #[command(flatten, next_help_heading = "HTTP lab")]
    #[allow(missing_docs)]
    pub seed: SeedArg,
}

impl Config {
    /// The settings at start.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            service_a_latency: self.a.service_a_latency.clone(),
            service_a_error_rate: self.a.service_a_error_rate,
            service_b_latency: self.b.service_b_latency.clone(),
            service_b_error_rate: self.b.service_b_error_rate,
            service_b_contention: self.b.service_b_contention,
            service_b_on_caller_gone: self.b.service_b_on_caller_gone,
            async_limit: self.async_limit,
            async_limit_max_wait_ms: self.async_limit_max_wait_ms,
            async_timeout_ms: self.async_timeout_ms,
        }
    }
}
