//! The generator's own instruments, so that what it sees stands beside what the server says.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, BoundUpDownCounter, Meter};

use crate::latency::Outcome;
use crate::telemetry::latency_buckets_ms;

/// Bound once, at the start: every series exists from 0 on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LoadMetrics(Arc<Instruments>);

#[derive(Debug)]
struct Instruments {
    in_flight: BoundUpDownCounter<i64>,
    durations: [BoundHistogram<f64>; Outcome::ALL.len()],
    send_lag: BoundHistogram<f64>,
}

impl LoadMetrics {
    /// Makes the instruments; `slo_ms` becomes an edge of the histograms.
    #[must_use]
    pub fn new(meter: &Meter, slo_ms: u64) -> Self {
        let in_flight = meter
            .i64_up_down_counter("load_inflight")
            .with_description("Requests of the load generator that are in flight")
            .build();
        in_flight.add(0, &[]);
        let durations = meter
            .f64_histogram("load_request_duration_ms")
            .with_description("Milliseconds from a request's intended start to its end, by outcome")
            .with_boundaries(latency_buckets_ms(slo_ms))
            .build();
        let send_lag = meter
            .f64_histogram("load_send_lag_ms")
            .with_description("Milliseconds from a request's intended start to its send")
            .with_boundaries(latency_buckets_ms(slo_ms))
            .build();
        Self(Arc::new(Instruments {
            in_flight: in_flight.bind(&[]),
            durations: Outcome::ALL
                .map(|outcome| durations.bind(&[KeyValue::new("outcome", outcome.label())])),
            send_lag: send_lag.bind(&[]),
        }))
    }

    pub(super) fn begins(&self) {
        self.0.in_flight.add(1);
    }

    pub(super) fn ends(&self, outcome: Outcome, took: Duration, send_lag: Option<Duration>) {
        self.0.in_flight.add(-1);
        self.0.durations[outcome as usize].record(took.as_secs_f64() * 1e3);
        if let Some(lag) = send_lag {
            self.0.send_lag.record(lag.as_secs_f64() * 1e3);
        }
    }
}
