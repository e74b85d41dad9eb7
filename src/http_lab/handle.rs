//! The lab's handle: its endpoints, their services, the settings in force.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use opentelemetry::{KeyValue, metrics::Meter};
use tokio_util::task::TaskTracker;

use super::{
    backend::{Backend, Backends, spec_a, spec_b},
    config::Config,
    endpoint::{Endpoint, Shared},
    ledger::{Audit, CallLedger, HttpAudit, Requests, ServiceAudit},
    limiter::Limiter,
    metrics::LabMetrics,
    remote::Remote,
    settings::{Patch, Settings},
    slots::Slots,
    strategies,
};
use crate::{client::tls::TrustError, config::HttpUrl, telemetry::Tracing};

/// What the lab is given by the process it runs in.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// Where its instruments are made.
    pub meter: Meter,
    /// How it begins its spans.
    pub tracing: Tracing,
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
            seed: config.seed.get(),
            slots: Slots::new(usize::try_from(config.max_in_flight.get()).unwrap_or(usize::MAX)),
            tracing: runtime.tracing,
            detached: runtime.detached,
        });
        let remote = |url: &Option<HttpUrl>, spec| url.as_ref().map(|url| Remote::new(url, spec)).transpose();
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
                    requests: Requests::default(),
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

    /// The endpoints themselves.
    pub(super) fn each(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
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
        Audit { http: Some(self.requests()), service: self.calls() }
    }

    /// The balance sheet of the requests.
    pub(super) fn requests(&self) -> HttpAudit {
        let ledger =
            |endpoint: &Arc<Endpoint>| (endpoint.strategy.path().to_owned(), endpoint.requests.look());
        HttpAudit::of(self.endpoints.iter().map(ledger).collect())
    }

    /// The balance sheet of the calls to services.
    pub(super) fn calls(&self) -> ServiceAudit {
        let services = self.backends.iter().flat_map(|pair| {
            pair.each().map(|(service, backend)| (format!("{} {service}", pair.owner), backend.ledger()))
        });
        ServiceAudit::of(services.collect())
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
        type Look = fn(&Limiter) -> usize;
        let gauges: [(&str, &str, Look); 3] = [
            ("serviceB_semaphore_limit", "Calls to B that are let through at a time", Limiter::limit),
            ("serviceB_semaphore_waiters", "Requests that wait for leave to call B", Limiter::waiters),
            (
                "serviceB_semaphore_in_use",
                "Calls to B that have been let through and have not ended",
                Limiter::in_use,
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
