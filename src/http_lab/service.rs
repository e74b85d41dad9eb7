//! `lab service a|b`: a simulated service in its own process.
//!
//! It answers any method on `/`: 200 after the drawn time, 500 when the draw says that the call
//! fails, 503 when its queue is full. A caller that disconnects is noticed and treated as
//! `SERVICE_B_ON_CALLER_GONE` says, and the service keeps a ledger of its own at `/audit`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::any,
};
use tokio::time::Instant;

use super::{
    config::{ServiceA, ServiceB},
    ledger::ServiceAudit,
    metrics::{self, CallOutcome, ServiceMetrics},
    remote::KEY_HEADER,
    routes::CALLS,
};
use crate::{
    latency::milliseconds,
    sim::{Contention, Failure, Key, OnCallerGone, Service, Spec},
    telemetry::{Instruments, Tracing},
    web::{Kind, Problem, Sheet, System, traced},
};

/// Which service, with its settings.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Which {
    /// Service A: fast and stable
    A(ServiceA),
    /// Service B: slow, variable, failing
    B(ServiceB),
}

impl Which {
    /// `A` or `B`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::A(_) => "A",
            Self::B(_) => "B",
        }
    }

    fn spec(&self) -> Spec {
        match self {
            Self::A(a) => Spec {
                latency: a.service_a_latency.clone(),
                slower: 1.0,
                error_rate: a.service_a_error_rate,
                contention: Contention::Off,
                on_caller_gone: OnCallerGone::Abort,
            },
            Self::B(b) => Spec {
                latency: b.service_b_latency.clone(),
                slower: 1.0,
                error_rate: b.service_b_error_rate,
                contention: b.service_b_contention,
                on_caller_gone: b.service_b_on_caller_gone,
            },
        }
    }
}

/// A simulated service that answers HTTP. Cloning shares it.
#[derive(Debug, Clone)]
pub struct ServiceServer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: &'static str,
    seed: u64,
    calls: AtomicU64,
    service: Service,
    metrics: ServiceMetrics,
    instruments: Instruments,
    tracing: Tracing,
}

impl ServiceServer {
    /// Starts the service. Must be called inside a Tokio runtime.
    pub fn start(which: &Which, seed: u64, instruments: &Instruments, tracing: Tracing) -> Self {
        let name = which.name();
        let inner = Arc::new(Inner {
            name,
            seed,
            calls: AtomicU64::new(0),
            service: Service::start(which.spec()),
            metrics: ServiceMetrics::new(instruments, name),
            instruments: instruments.clone(),
            tracing,
        });
        let weak = Arc::downgrade(&inner);
        metrics::observe_calls(instruments, move || {
            Some(vec![([name, "/"], weak.upgrade()?.service.ledger().into())])
        });
        Self { inner }
    }

    /// The service as a system of a server: it answers at `/`.
    pub fn system(&self) -> System {
        let (audited, left) = (self.clone(), self.clone());
        System::new("service", "Service", "/", "a simulated service")
            .endpoints(traced(
                self.inner.tracing,
                Router::new().route("/", any(call)).with_state(self.clone()),
            ))
            .metrics(&self.inner.instruments)
            .problems(PROBLEMS)
            .sheet(Sheet::new("service", CALLS, move || audited.audit()))
            .stragglers(move || match left.audit().sum.in_flight {
                0 => Vec::new(),
                calls => vec![format!("{calls} calls")],
            })
    }

    /// The balance sheet now.
    fn audit(&self) -> ServiceAudit {
        let ledger = self.inner.service.ledger().into();
        ServiceAudit::of(BTreeMap::from([(self.inner.name.to_owned(), ledger)]))
    }

    /// The key of a call's random draws: the one that its caller sends, or else one from its number here.
    fn key(&self, headers: &HeaderMap) -> Key {
        let named = headers.get(KEY_HEADER).and_then(|value| value.to_str().ok()).and_then(|text| {
            let mut parts = text.split('-');
            let key = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            parts.next().is_none().then_some(key)
        });
        let number = self.inner.calls.fetch_add(1, Ordering::Relaxed);
        let (seed, request, attempt) = named.unwrap_or((self.inner.seed, number, 0));
        Key { seed, request, service: self.inner.name.chars().next().unwrap_or_default(), attempt }
    }
}

/// The kinds of problem that a service answers with beside the general ones.
pub static PROBLEMS: [&Kind; 3] = [&SIMULATED_FAILURE, &QUEUE_FULL, &STOPPED];

static SIMULATED_FAILURE: Kind = Kind::new(
    "/problems/simulated-failure",
    StatusCode::INTERNAL_SERVER_ERROR,
    "The simulated service failed",
    "It was drawn to fail: --error-rate says how many calls are. `ms` is how long it took to fail.",
);
static QUEUE_FULL: Kind = Kind::new(
    "/problems/queue-full",
    StatusCode::SERVICE_UNAVAILABLE,
    "The service's queue is full",
    "The queue of the contention pool:SERVERS,QUEUE is full. Call less often, or give it a longer queue.",
);
static STOPPED: Kind = Kind::new(
    "/problems/stopped",
    StatusCode::SERVICE_UNAVAILABLE,
    "The service was stopped",
    "It stopped during the call. Call it again when it runs.",
);

#[derive(Debug, serde::Serialize)]
struct Done {
    service: &'static str,
    ms: f64,
}

async fn call(State(server): State<ServiceServer>, headers: HeaderMap) -> Response {
    let key = server.key(&headers);
    let mut seen =
        CallGuard { metrics: &server.inner.metrics, since: Instant::now(), outcome: CallOutcome::Cancelled };
    let result = server.inner.service.call(key, None).await;
    let ms = milliseconds(seen.since.elapsed());
    let refused = |kind| Problem::new(kind).with("ms", ms).into_response();
    match result {
        Ok(()) => {
            seen.outcome = CallOutcome::Ok;
            axum::Json(Done { service: server.inner.name, ms }).into_response()
        }
        Err(failure) => {
            seen.outcome = CallOutcome::Error;
            match failure {
                Failure::Failed => refused(&SIMULATED_FAILURE),
                Failure::Refused => refused(&QUEUE_FULL),
                Failure::Stopped => refused(&STOPPED),
            }
        }
    }
}

/// Records the call when the handler ends, also when the caller disconnects.
struct CallGuard<'a> {
    metrics: &'a ServiceMetrics,
    since: Instant,
    outcome: CallOutcome,
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        self.metrics.record(self.outcome, self.since.elapsed());
    }
}
