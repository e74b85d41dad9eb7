//! The lab's handle: its endpoints, their services, the current settings.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

use super::{
    backend::{Backend, Backends, spec_a, spec_b},
    config::Config,
    endpoint::{Endpoint, EndpointStatus},
    flow::Flow,
    ledger::{HttpAudit, Requests, ServiceAudit},
    limiter::Limiter,
    metrics::{self, EndpointMetrics, EndpointNow, Now},
    remote::Remote,
    request::Shared,
    settings::{Patch, Settings},
    slots::Slots,
    strategies::{self, Strategy},
    trigger::{Acting, Trigger, TriggerStatus},
};
use crate::{
    client::tls::TrustError,
    config::HttpUrl,
    latency::Recent,
    telemetry::{Instruments, Tracing},
};

/// What the process provides to the lab.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// The factory of its instruments.
    pub instruments: Instruments,
    /// How it begins its spans.
    pub tracing: Tracing,
    /// An answer within this is good.
    pub slo: Duration,
    /// Where its detached tasks are counted, so that a drain waits for them.
    pub detached: TaskTracker,
}

/// A running lab. Cloning shares it.
#[derive(Debug, Clone)]
pub struct HttpLab {
    shared: Arc<Shared>,
    endpoints: Arc<[Arc<Endpoint>]>,
    backends: Arc<[Arc<Backends>]>,
    /// The factory of its instruments.
    pub(super) instruments: Instruments,
}

impl HttpLab {
    /// Starts the lab's services. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When a service is called over TLS and this machine has no trusted certificates.
    pub fn start(config: &Config, runtime: Runtime) -> Result<Self, TrustError> {
        let settings = config.settings();
        let instruments = runtime.instruments;
        let strategies = strategies::all(&settings, &instruments);
        let flow = Flow::new(strategies.iter().map(|strategy| strategy.path()), Instant::now());
        let shared = Arc::new(Shared {
            flow,
            acting: Acting::default(),
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
        // A real service is shared by all endpoints, whatever the settings say.
        let all_remote = remote_a.is_some() && remote_b.is_some();
        let common = (config.shared_backend || all_remote).then(|| make_backends("shared"));
        let mut backends: Vec<Arc<Backends>> = common.iter().cloned().collect();
        let endpoints: Arc<[Arc<Endpoint>]> = strategies
            .into_iter()
            .enumerate()
            .map(|(place, strategy)| {
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
                    place,
                    requests: Requests::new(runtime.slo),
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

    /// The current settings.
    pub fn settings(&self) -> Arc<Settings> {
        self.shared.settings.load_full()
    }

    /// Changes the settings. Requests in progress keep theirs; services and limits change at once.
    pub fn change(&self, patch: Patch) -> Arc<Settings> {
        let settings = Arc::new(self.settings().patched(patch));
        self.shared.settings.store(settings.clone());
        self.apply(&settings);
        self.endpoints.iter().for_each(|endpoint| endpoint.strategy.apply(&settings));
        settings
    }

    /// Makes B slower for a while; another trigger takes the place of one that acts. Must be called inside a Tokio
    /// runtime.
    pub fn trigger(&self, trigger: Trigger) -> TriggerStatus {
        let until = self.shared.acting.set(trigger);
        self.apply(&self.settings());
        if let Some(until) = until {
            let lab = self.clone();
            tokio::spawn(async move {
                sleep_until(until.end).await;
                if lab.shared.acting.end(&until) {
                    lab.apply(&lab.settings());
                }
            });
        }
        self.shared.acting.status()
    }

    /// The trigger that makes B slower for a limited time.
    pub fn trigger_status(&self) -> TriggerStatus {
        self.shared.acting.status()
    }

    fn apply(&self, settings: &Settings) {
        let slower = self.shared.acting.slower();
        self.backends.iter().for_each(|backends| backends.apply(settings, slower));
    }

    /// Its requests as they move.
    pub fn flow(&self) -> &Flow {
        &self.shared.flow
    }

    /// What each endpoint holds now, in the order of the strategies.
    pub fn endpoints_now(&self) -> Vec<EndpointStatus> {
        self.endpoints.iter().map(|endpoint| endpoint.status()).collect()
    }

    /// Reads the last minutes of the endpoint at this place in the list of strategies; seconds count from the
    /// [`Flow::origin`]. Its requests wait meanwhile: be brief.
    pub fn recent<T>(&self, place: usize, read: impl FnOnce(&Recent) -> T) -> Option<T> {
        Some(self.endpoints.get(place)?.requests.recent(read))
    }

    /// Whether several endpoints call the same services.
    pub fn shares_services(&self) -> bool {
        self.backends.len() < self.endpoints.len()
    }

    /// Whether service A is a real one, and whether B is: their settings change nothing.
    pub fn real_services(&self) -> [bool; 2] {
        let backends = self.backends.first();
        [backends.is_some_and(|pair| pair.a.is_remote()), backends.is_some_and(|pair| pair.b.is_remote())]
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
