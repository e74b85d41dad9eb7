//! The lab's instruments.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use opentelemetry::Value;

use super::{
    answer::{CLIENT_GONE, RequestOutcome},
    ledger::CallLedger,
};
use crate::{
    labelled, metrics,
    telemetry::{Buckets, Counter, Durations, Instruments, Number, Observed},
};

metrics! {
    /// Requests of the lab's endpoints that ended, by status (499: the client left)
    REQUESTS: "http_requests_total" by "endpoint", "method", "status";
    /// Milliseconds from a request's arrival to its end, by outcome (ok, service_error, shed, deadline, cancelled)
    REQUEST_DURATION: "http_request_duration_ms" by "endpoint", "outcome";
    /// Requests refused, by reason (limit_wait: no permit in time; safety_stop: too much work in flight)
    SHED: "http_shed_total" by "endpoint", "reason";
    /// Requests in progress
    REQUESTS_IN_FLIGHT: "http_inflight" by "endpoint";
    /// Requests whose work has not ended, detached tasks included: what LAB_MAX_IN_FLIGHT bounds
    WORK_IN_FLIGHT: "http_work_inflight";
    /// Milliseconds waited for a permit to call B, by outcome (acquired, shed, cancelled)
    SEMAPHORE_WAIT: "serviceB_semaphore_wait_ms" by "outcome";
    /// Permits: calls to B that may be in progress at a time
    SEMAPHORE_LIMIT: "serviceB_semaphore_limit" by "endpoint";
    /// Requests that wait for a permit to call B
    SEMAPHORE_WAITERS: "serviceB_semaphore_waiters" by "endpoint";
    /// Calls to B that hold a permit
    SEMAPHORE_IN_USE: "serviceB_semaphore_in_use" by "endpoint";
    /// Milliseconds of calls to a service as their caller saw them, by outcome (ok, error, cancelled)
    CALL_DURATION: "service_duration_ms" by "service", "outcome";
    /// Calls to a service that failed
    CALL_ERRORS: "service_errors_total" by "service";
    /// Calls that a service has not ended yet
    CALLS_IN_FLIGHT: "service_inflight" by "service", "endpoint";
    /// Calls that a service ended although their caller had gone
    ORPHANED: "service_orphaned_total" by "service", "endpoint";
    /// Milliseconds that a service worked on calls whose caller had gone
    ORPHANED_TIME: "service_orphaned_ms_total" by "service", "endpoint";
}

/// The statuses that a strategy's endpoint can answer.
const STATUSES: [u16; 6] = [200, 400, CLIENT_GONE, 502, 503, 504];
const METHODS: [Method; 2] = [Method::GET, Method::HEAD];

/// One endpoint's instruments.
#[derive(Debug)]
pub(super) struct EndpointMetrics {
    requests: [[Counter; STATUSES.len()]; METHODS.len()],
    durations: [Durations; RequestOutcome::ALL.len()],
    pub(super) shed_by_wait: Counter,
    pub(super) shed_by_safety_stop: Counter,
}

impl EndpointMetrics {
    pub(super) fn new(instruments: &Instruments, path: &'static str) -> Self {
        let requests = instruments.counter(REQUESTS);
        let durations = instruments.durations(REQUEST_DURATION, Buckets::Percentile);
        let shed = instruments.counter(SHED);
        let request = |method: &Method, status: u16| {
            requests.with_values([path.into(), method.to_string().into(), Value::from(i64::from(status))])
        };
        Self {
            requests: METHODS.map(|method| STATUSES.map(|status| request(&method, status))),
            durations: RequestOutcome::ALL.map(|outcome| match outcome {
                RequestOutcome::Ok => durations.with([path, outcome.label()]),
                // Counted by their status.
                _ => durations.rare([path, outcome.label()]),
            }),
            shed_by_wait: shed.with([path, "limit_wait"]),
            shed_by_safety_stop: shed.with([path, "safety_stop"]),
        }
    }

    /// Counts a request that ended.
    pub(super) fn count(&self, is_head: bool, status: StatusCode) {
        let method = usize::from(is_head);
        if let Some(place) = STATUSES.iter().position(|known| *known == status.as_u16()) {
            self.requests[method][place].add(1);
        }
    }

    /// Records how long it took to end so.
    pub(super) fn record(&self, outcome: RequestOutcome, took: Duration) {
        self.durations[outcome as usize].record(took);
    }
}

labelled! {
    /// How a call ended, as its caller saw it.
    pub(super) enum CallOutcome {
        Ok = "ok",
        Error = "error",
        Cancelled = "cancelled",
    }
}

/// One service's instruments, shared by all endpoints.
#[derive(Debug)]
pub(super) struct ServiceMetrics {
    durations: [Durations; CallOutcome::ALL.len()],
    errors: Counter,
}

impl ServiceMetrics {
    pub(super) fn new(instruments: &Instruments, service: &'static str) -> Self {
        let durations = instruments.durations(CALL_DURATION, Buckets::Percentile);
        let errors = instruments.counter(CALL_ERRORS);
        Self {
            durations: CallOutcome::ALL.map(|outcome| match outcome {
                // Counted as errors.
                CallOutcome::Error => durations.rare([service, outcome.label()]),
                _ => durations.with([service, outcome.label()]),
            }),
            errors: errors.with([service]),
        }
    }

    pub(super) fn record(&self, outcome: CallOutcome, took: Duration) {
        self.durations[outcome as usize].record(took);
        if outcome == CallOutcome::Error {
            self.errors.add(1);
        }
    }
}

labelled! {
    /// How a wait ended.
    pub(super) enum WaitOutcome {
        Acquired = "acquired",
        Shed = "shed",
        Cancelled = "cancelled",
    }
}

/// The waits for service B's semaphore.
#[derive(Debug)]
pub(super) struct WaitMetrics([Durations; WaitOutcome::ALL.len()]);

impl WaitMetrics {
    pub(super) fn new(instruments: &Instruments) -> Self {
        let waits = instruments.durations(SEMAPHORE_WAIT, Buckets::Percentile);
        Self(WaitOutcome::ALL.map(|outcome| match outcome {
            WaitOutcome::Acquired => waits.with([outcome.label()]),
            // A request that ended so, and is counted as one.
            WaitOutcome::Shed | WaitOutcome::Cancelled => waits.rare([outcome.label()]),
        }))
    }

    pub(super) fn record(&self, outcome: WaitOutcome, waited: Duration) {
        self.0[outcome as usize].record(waited);
    }
}

/// The lab's gauges when metrics are collected.
#[derive(Debug)]
pub(super) struct Now {
    pub(super) work_in_flight: usize,
    pub(super) endpoints: Vec<EndpointNow>,
}

/// One endpoint's gauges.
#[derive(Debug)]
pub(super) struct EndpointNow {
    pub(super) path: &'static str,
    pub(super) in_flight: u64,
    pub(super) limit: Option<LimitNow>,
}

/// The gauges of a limit on calls to B.
#[derive(Debug, Clone, Copy)]
pub(super) struct LimitNow {
    pub(super) limit: usize,
    pub(super) waiters: usize,
    pub(super) in_use: usize,
}

pub(super) fn observe_endpoints(
    instruments: &Instruments,
    look: impl Fn() -> Option<Now> + Send + Sync + 'static,
) {
    let limits = |read: fn(LimitNow) -> usize| {
        move |now: &Now| {
            let limited = now.endpoints.iter().filter_map(|endpoint| Some((endpoint.path, endpoint.limit?)));
            limited.map(|(path, limit)| ([path], read(limit) as u64)).collect::<Vec<_>>()
        }
    };
    instruments
        .observe(look)
        .show_by(REQUESTS_IN_FLIGHT, |now| {
            now.endpoints.iter().map(|endpoint| ([endpoint.path], endpoint.in_flight)).collect::<Vec<_>>()
        })
        .show(WORK_IN_FLIGHT, |now| now.work_in_flight as u64)
        .show_by(SEMAPHORE_LIMIT, limits(|now| now.limit))
        .show_by(SEMAPHORE_WAITERS, limits(|now| now.waiters))
        .show_by(SEMAPHORE_IN_USE, limits(|now| now.in_use));
}

/// A service's ledger, with the service's name and the endpoint that calls it.
pub(super) type Calls = ([&'static str; 2], CallLedger);

/// A term of each ledger. What is unknown is absent, never 0.
fn term<N: Number>(
    read: impl Fn(&CallLedger) -> Option<N>,
) -> impl Fn(&Vec<Calls>) -> Vec<([&'static str; 2], N)> {
    move |calls| calls.iter().filter_map(|(labels, ledger)| Some((*labels, read(ledger)?))).collect()
}

/// Calls in progress.
pub(super) fn observe_calls(
    instruments: &Instruments,
    look: impl Fn() -> Option<Vec<Calls>> + Send + Sync + 'static,
) -> Observed<Vec<Calls>> {
    let calls = instruments.observe(look);
    calls.show_by(CALLS_IN_FLIGHT, term(|ledger| Some(ledger.in_flight)));
    calls
}

/// Work whose caller has gone.
pub(super) fn observe_orphans(calls: &Observed<Vec<Calls>>) {
    calls
        .show_by(ORPHANED, term(|ledger| ledger.orphaned))
        .show_by(ORPHANED_TIME, term(|ledger| ledger.orphaned_ms));
}
