//! The lab's instruments, bound to their labels once, at start: series exist from 0 on, and a request
//! looks nothing up.

use std::{sync::Arc, time::Duration};

use axum::http::{Method, StatusCode};
use opentelemetry::{
    KeyValue,
    metrics::{BoundCounter, BoundHistogram, Counter, Histogram, Meter},
};

use super::{
    answer::{CLIENT_GONE, Outcome},
    limiter::WaitOutcome,
};
use crate::telemetry::latency_buckets_ms;

/// The statuses that a strategy's endpoint can answer.
const STATUSES: [u16; 6] = [200, 400, CLIENT_GONE, 502, 503, 504];
const METHODS: [Method; 2] = [Method::GET, Method::HEAD];

/// Makes the instruments; the rooms' parts hold bound ones.
#[derive(Debug)]
pub(super) struct LabMetrics {
    meter: Meter,
    slo_ms: u64,
    requests: Counter<u64>,
    durations: Histogram<f64>,
    shed: Counter<u64>,
    service_durations: Histogram<f64>,
    service_errors: Counter<u64>,
}

impl LabMetrics {
    pub(super) fn new(meter: &Meter, slo_ms: u64) -> Self {
        let buckets = latency_buckets_ms(slo_ms);
        Self {
            meter: meter.clone(),
            slo_ms,
            requests: meter
                .u64_counter("http_requests")
                .with_description(
                    "Requests of the lab's endpoints that ended, by status (499: the client left)",
                )
                .build(),
            durations: meter
                .f64_histogram("http_request_duration_ms")
                .with_description("Milliseconds from a request's arrival to its end, by outcome")
                .with_boundaries(buckets.clone())
                .build(),
            shed: meter
                .u64_counter("http_shed")
                .with_description(
                    "Requests refused, by reason: the wait for the limit, or the process's safety stop",
                )
                .build(),
            service_durations: meter
                .f64_histogram("service_duration_ms")
                .with_description("Milliseconds of calls to a service as their caller saw them, by outcome")
                .with_boundaries(buckets)
                .build(),
            service_errors: meter
                .u64_counter("service_errors")
                .with_description("Calls to a service that failed")
                .build(),
        }
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(super) fn endpoint(&self, path: &'static str) -> EndpointMetrics {
        let endpoint = || KeyValue::new("endpoint", path);
        let request = |method: &Method, status: u16| {
            let counter = self.requests.bind(&[
                endpoint(),
                KeyValue::new("method", method.to_string()),
                KeyValue::new("status", i64::from(status)),
            ]);
            counter.add(0);
            counter
        };
        let shed = |reason| {
            let counter = self.shed.bind(&[endpoint(), KeyValue::new("reason", reason)]);
            counter.add(0);
            counter
        };
        EndpointMetrics {
            requests: METHODS.map(|method| STATUSES.map(|status| request(&method, status))),
            durations: Outcome::ALL
                .map(|outcome| self.durations.bind(&[endpoint(), KeyValue::new("outcome", outcome.label())])),
            shed_by_wait: shed("limit_wait"),
            shed_by_safety_stop: shed("safety_stop"),
        }
    }

    pub(super) fn service(&self, name: &'static str) -> Arc<ServiceMetrics> {
        let service = || KeyValue::new("service", name);
        let errors = self.service_errors.bind(&[service()]);
        errors.add(0);
        Arc::new(ServiceMetrics {
            durations: CallOutcome::ALL.map(|outcome| {
                self.service_durations.bind(&[service(), KeyValue::new("outcome", outcome.label())])
            }),
            errors,
        })
    }

    pub(super) fn semaphore_wait(&self) -> WaitMetrics {
        WaitMetrics::new(&self.meter, self.slo_ms)
    }
}

/// One endpoint's instruments.
#[derive(Debug)]
pub(super) struct EndpointMetrics {
    requests: [[BoundCounter<u64>; STATUSES.len()]; METHODS.len()],
    durations: [BoundHistogram<f64>; Outcome::ALL.len()],
    pub(super) shed_by_wait: BoundCounter<u64>,
    pub(super) shed_by_safety_stop: BoundCounter<u64>,
}

impl EndpointMetrics {
    /// Counts a request that ended.
    pub(super) fn count(&self, is_head: bool, status: StatusCode) {
        let method = usize::from(is_head);
        if let Some(place) = STATUSES.iter().position(|known| *known == status.as_u16()) {
            self.requests[method][place].add(1);
        }
    }

    /// Records how long it took to end so.
    pub(super) fn record(&self, outcome: Outcome, took: Duration) {
        self.durations[outcome as usize].record(took.as_secs_f64() * 1e3);
    }
}

/// How a call ended, as its caller saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallOutcome {
    Ok,
    Error,
    Cancelled,
}

impl CallOutcome {
    const ALL: [Self; 3] = [Self::Ok, Self::Error, Self::Cancelled];

    const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One service's instruments, shared by all endpoints.
#[derive(Debug)]
pub(super) struct ServiceMetrics {
    durations: [BoundHistogram<f64>; CallOutcome::ALL.len()],
    errors: BoundCounter<u64>,
}

impl ServiceMetrics {
    pub(super) fn record(&self, outcome: CallOutcome, took: Duration) {
        self.durations[outcome as usize].record(took.as_secs_f64() * 1e3);
        if outcome == CallOutcome::Error {
            self.errors.add(1);
        }
    }
}

/// The waits for service B's semaphore.
#[derive(Debug)]
pub(super) struct WaitMetrics {
    waits: [BoundHistogram<f64>; WaitOutcome::ALL.len()],
}

impl WaitMetrics {
    pub(super) fn new(meter: &Meter, slo_ms: u64) -> Self {
        let waits = meter
            .f64_histogram("serviceB_semaphore_wait_ms")
            .with_description("Milliseconds waited for leave to call B, by how the wait ended")
            .with_boundaries(latency_buckets_ms(slo_ms))
            .build();
        Self {
            waits: WaitOutcome::ALL.map(|outcome| waits.bind(&[KeyValue::new("outcome", outcome.label())])),
        }
    }

    pub(super) fn record(&self, outcome: WaitOutcome, waited: Duration) {
        self.waits[outcome as usize].record(waited.as_secs_f64() * 1e3);
    }
}
