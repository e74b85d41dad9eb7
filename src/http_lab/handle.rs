//! The lab's handle: its endpoints, their services, the settings in force.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use tokio_util::task::TaskTracker;

use super::{
    backend::{Backend, Backends, spec_a, spec_b},
    config::Config,
    endpoint::Endpoint,
    ledger::{HttpAudit, Requests, ServiceAudit},
    limiter::Limiter,
    metrics::{self, EndpointMetrics, EndpointNow, Now},
    remote::Remote,
    request::Shared,
    settings::{Patch, Settings},
    slots::Slots,
    strategies::{self, Strategy},
};
use crate::{
    client::tls::TrustError,
    config::HttpUrl,
    telemetry::{Instruments, Tracing},
};

/// What the lab is given by the process it runs in.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// What its instruments are made from.
    pub instruments: Instruments,
    /// How it begins its spans.
    pub tracing: Tracing,
    /// Where its detached tasks are counted, so that a drain waits for them.
    pub detached: TaskTracker,
}

/// A running lab. Cloning shares it.
#[derive(Debug, Clone)]
pub struct HttpLab {
    shared: Arc<Shared>,
    endpoints: Arc<[Arc<Endpoint>]>,
    backends: Arc<[Arc<Backends>]>,
    /// What its instruments were made from.
    pub(super) instruments: Instruments,
}

impl HttpLab {
    /// Starts the lab's services. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When a service is to be called over TLS and this machine trusts nobody.
    pub fn start(config: &Config, runtime: Runtime) -> Result<Self, TrustError> {
        let settings = config.settings();
        let instruments = runtime.instruments;
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
                a: Backend::new("A", spec_a(&settings), remote_a.clone(), &instruments),
                b: Backend::new("B", spec_b(&settings), remote_b.clone(), &instruments),
            })
        };
        // A real service is one for all endpoints whatever the settings say.
        let all_remote = remote_a.is_some() && remote_b.is_some();
        let common = (config.shared_backend || all_remote).then(|| make_backends("shared"));
        let mut backends: Vec<Arc<Backends>> = common.iter().cloned().collect();
        let endpoints: Arc<[Arc<Endpoint>]> = strategies::all(&settings, &instruments)
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
                    metrics: EndpointMetrics::new(&instruments, path),
                    requests: Requests::default(),
                    backends: own,
                    strategy,
                    shared: shared.clone(),
                })
            })
            .collect();
        let lab = Self { shared, endpoints, backends: backends.into(), instruments };
        lab.observe();
        Ok(lab)
    }

    /// The endpoints themselves.
    pub(super) fn each(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// The strategies, each behind an endpoint.
    pub(super) fn strategies(&self) -> impl Iterator<Item = &dyn Strategy> {
        self.endpoints.iter().map(|endpoint| &*endpoint.strategy)
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

    /// The balance sheet of the requests.
    pub fn requests(&self) -> HttpAudit {
        let ledger =
            |endpoint: &Arc<Endpoint>| (endpoint.strategy.path().to_owned(), endpoint.requests.look());
        HttpAudit::of(self.endpoints.iter().map(ledger).collect())
    }

    /// The balance sheet of the calls to services.
    pub fn calls(&self) -> ServiceAudit {
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

    fn observe(&self) {
        let (shared, endpoints) = (Arc::downgrade(&self.shared), Arc::downgrade(&self.endpoints));
        metrics::observe_endpoints(&self.instruments, move || {
            let look = |endpoint: &Arc<Endpoint>| EndpointNow {
                path: endpoint.strategy.path(),
                in_flight: endpoint.requests.look().in_flight,
                limit: endpoint.strategy.limiter().map(Limiter::look),
            };
            Some(Now {
                work_in_flight: shared.upgrade()?.slots.in_use(),
                endpoints: endpoints.upgrade()?.iter().map(look).collect(),
            })
        });
        let backends = Arc::downgrade(&self.backends);
        let calls = metrics::observe_calls(&self.instruments, move || {
            let backends = backends.upgrade()?;
            let each = backends.iter().flat_map(|pair| {
                pair.each().map(|(service, backend)| ([service, pair.owner], backend.ledger()))
            });
            Some(each.collect())
        });
        metrics::observe_orphans(&calls);
    }
}
