//! The service that a call goes to: a simulated one, or a real one at a URL.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    flow::Held,
    ledger::CallLedger,
    metrics::ServiceMetrics,
    remote::{Remote, RemoteCall},
    settings::Settings,
};
use crate::{
    sim::{self, CallHandle, Contention, Failure, Key, OnCallerGone, Profile, Service, Spec},
    telemetry::{Instruments, Trace},
};

/// The two services of an endpoint.
#[derive(Debug)]
pub(super) struct Backends {
    /// The endpoint they belong to, or `shared`.
    pub(super) owner: &'static str,
    pub(super) a: Backend,
    pub(super) b: Backend,
}

impl Backends {
    pub(super) fn each(&self) -> [(&'static str, &Backend); 2] {
        [("A", &self.a), ("B", &self.b)]
    }

    /// The settings have changed, or how much slower than they say B is.
    pub(super) fn apply(&self, settings: &Settings, slower: f64) {
        self.a.change(spec_a(settings));
        self.b.change(Spec { slower, ..spec_b(settings) });
    }
}

/// Service A as the settings describe it. It has no contention, and stops when its caller leaves.
pub(super) fn spec_a(settings: &Settings) -> Spec {
    Spec {
        latency: settings.service_a_latency.clone(),
        slower: 1.0,
        error_rate: settings.service_a_error_rate,
        contention: Contention::Off,
        on_caller_gone: OnCallerGone::Abort,
    }
}

/// Service B as the settings describe it.
pub(super) fn spec_b(settings: &Settings) -> Spec {
    Spec {
        latency: settings.service_b_latency.clone(),
        slower: 1.0,
        error_rate: settings.service_b_error_rate,
        contention: settings.service_b_contention,
        on_caller_gone: settings.service_b_on_caller_gone,
    }
}

/// One service.
#[derive(Debug)]
pub(super) struct Backend {
    kind: Kind,
    metrics: Arc<ServiceMetrics>,
}

#[derive(Debug)]
enum Kind {
    Simulated(Service),
    Remote(Box<Remote>),
}

impl Backend {
    /// A service that follows `spec`, or the real one if there is one.
    pub(super) fn new(
        name: &'static str,
        spec: Spec,
        remote: Option<Remote>,
        instruments: &Instruments,
    ) -> Self {
        Self {
            kind: match remote {
                Some(remote) => Kind::Remote(Box::new(remote)),
                None => Kind::Simulated(Service::start(spec)),
            },
            metrics: Arc::new(ServiceMetrics::new(instruments, name)),
        }
    }

    pub(super) fn metrics(&self) -> &Arc<ServiceMetrics> {
        &self.metrics
    }

    pub(super) fn is_remote(&self) -> bool {
        matches!(self.kind, Kind::Remote(_))
    }

    /// Sends a call; `latency` replaces a simulated service's profile for it.
    /// `held` is kept for as long as the service has the call.
    pub(super) fn call(
        &self,
        key: Key,
        latency: Option<&Profile>,
        trace: &Trace,
        held: Option<Held>,
    ) -> BackendCall {
        match &self.kind {
            Kind::Simulated(service) => {
                let held = held.map(|held| Box::new(held) as sim::Held);
                BackendCall::Simulated(service.call_holding(key, latency, held))
            }
            Kind::Remote(remote) => BackendCall::Remote(remote.call(key, trace, held)),
        }
    }

    pub(super) fn ledger(&self) -> CallLedger {
        match &self.kind {
            Kind::Simulated(service) => service.ledger().into(),
            Kind::Remote(remote) => remote.ledger(),
        }
    }

    fn change(&self, spec: Spec) {
        if let Kind::Simulated(service) = &self.kind
            && *service.spec() != spec
        {
            service.change(spec);
        }
    }
}

/// A call in progress; dropping it cancels it.
pub(super) enum BackendCall {
    Simulated(sim::Call),
    Remote(RemoteCall),
}

impl BackendCall {
    /// Ready with the reason why it failed, if it did.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<&'static str>> {
        match self {
            Self::Simulated(call) => {
                Pin::new(call).poll(cx).map(|finished| finished.err().map(Failure::label))
            }
            Self::Remote(call) => Pin::new(call).poll(cx),
        }
    }

    /// A handle on a simulated call, to tell its service that the caller no longer wants the answer.
    pub(super) fn handle(&self) -> Option<CallHandle> {
        match self {
            Self::Simulated(call) => call.handle(),
            Self::Remote(_) => None,
        }
    }
}
