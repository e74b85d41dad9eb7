//! The HTTP lab: the same logical work under different strategies, side by side, measured.
//!
//! ```text
//!   GET /sync ...──> endpoint ──> strategy ──> Request::a(), ::b() ──> backend ──> sim::Service
//!                       │            └ limiter                            └──────> a real one (URL)
//!                       ├ slots: the process's safety stop
//!                       ├ ledger: started = completed + cancelled + in_flight
//!                       └ metrics, span
//! ```
//!
//! Each endpoint has services of its own, so that strategies can be compared, unless
//! `LAB_SHARED_BACKEND` makes them share one pair. All strategies do the same logical work: A and B
//! are both called whatever the other's outcome, and a failure of either makes the answer 502. A
//! client that leaves drops the strategy's future; what that does to the calls is the strategy's and
//! the service's affair, and is in the ledger.

mod answer;
mod backend;
mod endpoint;
mod ledger;
mod limiter;
mod metrics;
mod openapi;
mod remote;
mod request;
mod routes;
pub mod service;
mod settings;
mod slots;
mod strategies;

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use opentelemetry::{KeyValue, metrics::Meter};
use opentelemetry_sdk::trace::SdkTracer;
use tokio_util::task::TaskTracker;

use self::{
    backend::{Backend, Backends, spec_a, spec_b},
    endpoint::{Endpoint, Shared},
    metrics::LabMetrics,
    remote::Remote,
    slots::Slots,
};
use crate::{
    bounded,
    config::{Allowed, Fraction},
    load::http::tls::TrustError,
    sim::{Contention, OnCallerGone, Profile},
};

pub use ledger::{Audit, CallLedger, HttpAudit, RequestLedger, ServiceAudit};
pub use remote::{RequestSpec, ServiceUrl};
pub use settings::{AsyncLimit, DeadlineMs, LimitWaitMs, Overrides, Patch, Settings};

bounded!(
    /// How many requests' work may be in flight in the process.
    MaxInFlight: u64 = 1 to 1000000
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
    #[arg(long, env = "SERVICE_A_URL", value_name = ServiceUrl::ALLOWED, help_heading = "Real services")]
    pub service_a_url: Option<ServiceUrl>,
    /// How the real A is asked, and what counts as a failure
    #[arg(long, env = "SERVICE_A_REQUEST", default_value = "{}", value_name = RequestSpec::ALLOWED,
          help_heading = "Real services")]
    pub service_a_request: RequestSpec,
    /// Call a real service as B instead of simulating it
    #[arg(long, env = "SERVICE_B_URL", value_name = ServiceUrl::ALLOWED, help_heading = "Real services")]
    pub service_b_url: Option<ServiceUrl>,
    /// How the real B is asked, and what counts as a failure
    #[arg(long, env = "SERVICE_B_REQUEST", default_value = "{}", value_name = RequestSpec::ALLOWED,
          help_heading = "Real services")]
    pub service_b_request: RequestSpec,
    /// One pair of services for all endpoints instead of one each, to show a noisy neighbour
    #[arg(long = "shared-backend", env = "LAB_SHARED_BACKEND", default_value = "false",
          value_name = "true or false", action = clap::ArgAction::Set, help_heading = "HTTP lab")]
    pub shared_backend: bool,
    /// Calls to B at a time on /async-limited
    #[arg(long, env = "ASYNC_LIMIT", default_value = "32", value_name = AsyncLimit::ALLOWED,
          help_heading = "HTTP lab")]
    pub async_limit: AsyncLimit,
    /// The longest wait for that limit in milliseconds, after which a request is shed; 0: no bound
    #[arg(long, env = "ASYNC_LIMIT_MAX_WAIT_MS", default_value = "1000", value_name = LimitWaitMs::ALLOWED,
          help_heading = "HTTP lab")]
    pub async_limit_max_wait_ms: LimitWaitMs,
    /// The deadline of /async-timeout in milliseconds
    #[arg(long, env = "ASYNC_TIMEOUT_MS", default_value = "1000", value_name = DeadlineMs::ALLOWED,
          help_heading = "HTTP lab")]
    pub async_timeout_ms: DeadlineMs,
    /// Requests whose work may be in flight in the process, detached tasks included
    #[arg(long = "max-in-flight", env = "LAB_MAX_IN_FLIGHT", default_value = "50000", value_name = MaxInFlight::ALLOWED,
          help_heading = "HTTP lab")]
    pub max_in_flight: MaxInFlight,
    /// The seed of all draws
    #[arg(
        long = "seed",
        env = "LAB_SEED",
        default_value = "1",
        value_name = "a whole number from 0 to 18446744073709551615",
        help_heading = "HTTP lab"
    )]
    pub seed: u64,
}

impl Config {
    fn settings(&self) -> Settings {
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

/// What the lab is given by the process it runs in.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// Where its instruments are made.
    pub meter: Meter,
    /// Where its spans go, if anywhere.
    pub tracer: Option<SdkTracer>,
    /// Where its detached tasks are counted, so that a drain waits for them.
    pub detached: TaskTracker,
    /// The service level objective, milliseconds: the histograms' edge.
    pub slo_ms: u64,
}

/// A running lab. Cloning shares it.
#[derive(Debug, Clone)]
pub struct HttpLab {
    shared: Arc<Shared>,
    endpoints: Arc<[Arc<Endpoint>]>,
    backends: Arc<[Arc<Backends>]>,
}

impl HttpLab {
    /// Starts the lab's services. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When a service is to be called over TLS and this machine trusts nobody.
    pub fn start(config: &Config, runtime: Runtime) -> Result<Self, TrustError> {
        let settings = config.settings();
        let metrics = LabMetrics::new(&runtime.meter, runtime.slo_ms);
        let shared = Arc::new(Shared {
            settings: ArcSwap::from_pointee(settings.clone()),
            seed: config.seed,
            slots: Slots::new(usize::try_from(config.max_in_flight.get()).unwrap_or(usize::MAX)),
            tracer: runtime.tracer,
            detached: runtime.detached,
        });
        let remote =
            |url: &Option<ServiceUrl>, spec| url.as_ref().map(|url| Remote::new(url, spec)).transpose();
        let remote_a = remote(&config.service_a_url, &config.service_a_request)?;
        let remote_b = remote(&config.service_b_url, &config.service_b_request)?;
        let make_backends = |owner| {
            Arc::new(Backends {
                owner,
                a: Backend::new("A", spec_a(&settings), remote_a.clone(), &metrics),
                b: Backend::new("B", spec_b(&settings), remote_b.clone(), &metrics),
            })
        };
        // A real service is one for all endpoints whatever the settings say.
        let all_remote = remote_a.is_some() && remote_b.is_some();
        let common = (config.shared_backend || all_remote).then(|| make_backends("shared"));
        let mut backends: Vec<Arc<Backends>> = common.iter().cloned().collect();
        let endpoints: Arc<[Arc<Endpoint>]> = strategies::all(&settings, &metrics)
            .into_iter()
            .map(|strategy| {
                let path = strategy.path();
                let own = match &common {
                    Some(common) => common.clone(),
                    None => {
                        let own = make_backends(path);
                        backends.push(own.clone());
                        own
                    }
                };
                Arc::new(Endpoint {
                    metrics: metrics.endpoint(path),
                    requests: ledger::Requests::default(),
                    backends: own,
                    strategy,
                    shared: shared.clone(),
                })
            })
            .collect();
        let lab = Self { shared, endpoints, backends: backends.into() };
        lab.observe(metrics.meter());
        Ok(lab)
    }

    /// The endpoints, each with what it does.
    pub fn strategies(&self) -> Vec<(&'static str, &'static str)> {
        self.endpoints.iter().map(|endpoint| (endpoint.strategy.path(), endpoint.strategy.about())).collect()
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.shared.settings.load_full()
    }

    /// Changes the settings. Requests in progress keep theirs; services and limits change at once.
    pub fn change(&self, patch: Patch) -> Arc<Settings> {
        let settings = Arc::new(self.settings().patched(patch));
        self.shared.settings.store(settings.clone());
        self.backends.iter().for_each(|backends| backends.apply(&settings));
        self.endpoints.iter().for_each(|endpoint| endpoint.strategy.apply(&settings));
        settings
    }

    /// The balance sheets now.
    pub fn audit(&self) -> Audit {
        let endpoints = self
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.strategy.path().to_owned(), endpoint.requests.look()))
            .collect();
        Audit { http: Some(HttpAudit::of(endpoints)), service: service_audit(&self.backends) }
    }

    /// Requests in progress by endpoint, those without any left out: a drain's stragglers.
    pub fn in_flight(&self) -> BTreeMap<&'static str, u64> {
        self.endpoints
            .iter()
            .map(|endpoint| (endpoint.strategy.path(), endpoint.requests.look().in_flight))
            .filter(|(_, in_flight)| *in_flight > 0)
            .collect()
    }

    fn observe(&self, meter: &Meter) {
        // The meter's provider keeps the callbacks: weak, so that it does not keep the lab.
        let endpoints = Arc::downgrade(&self.endpoints);
        meter
            .u64_observable_gauge("http_inflight")
            .with_description("Requests in progress")
            .with_callback(move |observer| {
                for endpoint in endpoints.upgrade().iter().flat_map(|endpoints| endpoints.iter()) {
                    let label = KeyValue::new("endpoint", endpoint.strategy.path());
                    observer.observe(endpoint.requests.look().in_flight, &[label]);
                }
            })
            .build();
        let shared = Arc::downgrade(&self.shared);
        meter
            .u64_observable_gauge("http_work_inflight")
            .with_description(
                "Requests whose work has not ended, detached tasks included (the safety stop's measure)",
            )
            .with_callback(move |observer| {
                if let Some(shared) = shared.upgrade() {
                    observer.observe(shared.slots.in_use() as u64, &[]);
                }
            })
            .build();
        type Look = fn(&limiter::Limiter) -> usize;
        let gauges: [(&str, &str, Look); 3] = [
            (
                "serviceB_semaphore_limit",
                "Calls to B that are let through at a time",
                limiter::Limiter::limit,
            ),
            (
                "serviceB_semaphore_waiters",
                "Requests that wait for leave to call B",
                limiter::Limiter::waiters,
            ),
            (
                "serviceB_semaphore_in_use",
                "Calls to B that have been let through and have not ended",
                limiter::Limiter::in_use,
            ),
        ];
        for (name, about, look) in gauges {
            let endpoints = Arc::downgrade(&self.endpoints);
            meter
                .u64_observable_gauge(name)
                .with_description(about)
                .with_callback(move |observer| {
                    for endpoint in endpoints.upgrade().iter().flat_map(|endpoints| endpoints.iter()) {
                        if let Some(limiter) = endpoint.strategy.limiter() {
                            let label = KeyValue::new("endpoint", endpoint.strategy.path());
                            observer.observe(look(limiter) as u64, &[label]);
                        }
                    }
                })
                .build();
        }
        observe_services(meter, &self.backends);
    }
}

/// Shows the services' ledgers. Terms that are unknown are absent, never 0.
fn observe_services(meter: &Meter, backends: &Arc<[Arc<Backends>]>) {
    let look = |backends: &Arc<[Arc<Backends>]>| {
        let backends = Arc::downgrade(backends);
        move || -> Vec<([KeyValue; 2], CallLedger)> {
            let Some(backends) = backends.upgrade() else {
                return Vec::new();
            };
            let each = backends.iter().flat_map(|pair| {
                pair.each().map(|(service, backend)| {
                    let labels = [KeyValue::new("service", service), KeyValue::new("endpoint", pair.owner)];
                    (labels, backend.ledger())
                })
            });
            each.collect()
        }
    };
    let ledgers = look(backends);
    meter
        .u64_observable_gauge("service_inflight")
        .with_description("Calls that a service has and has not ended")
        .with_callback(move |observer| {
            for (labels, ledger) in ledgers() {
                observer.observe(ledger.in_flight, &labels);
            }
        })
        .build();
    let ledgers = look(backends);
    meter
        .u64_observable_counter("service_orphaned")
        .with_description("Calls that a service ended although their caller had gone")
        .with_callback(move |observer| {
            for (labels, ledger) in ledgers() {
                if let Some(orphaned) = ledger.orphaned {
                    observer.observe(orphaned, &labels);
                }
            }
        })
        .build();
    let ledgers = look(backends);
    meter
        .f64_observable_counter("service_orphaned_ms")
        .with_description("Milliseconds that a service worked on calls whose caller had gone")
        .with_callback(move |observer| {
            for (labels, ledger) in ledgers() {
                if let Some(orphaned_ms) = ledger.orphaned_ms {
                    observer.observe(orphaned_ms, &labels);
                }
            }
        })
        .build();
}

fn service_audit(backends: &[Arc<Backends>]) -> ServiceAudit {
    let services = backends.iter().flat_map(|pair| {
        pair.each().map(|(service, backend)| (format!("{} {service}", pair.owner), backend.ledger()))
    });
    ServiceAudit::of(services.collect())
}
