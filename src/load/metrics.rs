//! The generator's own metrics, to compare with those of the server.

use std::sync::Arc;
use std::time::Duration;

use crate::latency::Outcome;
use crate::metrics;
use crate::telemetry::{Buckets, Durations, Instruments, UpDownCounter};

metrics! {
    /// Requests of `lab load` in flight; its metrics are pushed only
    IN_FLIGHT: "load_inflight";
    /// Milliseconds from a request's intended start to its end, by outcome
    REQUEST_DURATION: "load_request_duration_ms" by "outcome";
    /// Milliseconds from a request's intended start to its send
    SEND_LAG: "load_send_lag_ms";
}

/// What is recorded while requests are offered. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LoadMetrics(Arc<Recorded>);

#[derive(Debug)]
struct Recorded {
    in_flight: UpDownCounter,
    durations: [Durations; Outcome::ALL.len()],
    send_lag: Durations,
}

impl LoadMetrics {
    /// Makes the instruments.
    #[must_use]
    pub fn new(instruments: &Instruments) -> Self {
        let durations = instruments.durations(REQUEST_DURATION, Buckets::Percentile);
        Self(Arc::new(Recorded {
            in_flight: instruments.up_down_counter(IN_FLIGHT),
            durations: Outcome::ALL.map(|outcome| durations.with([outcome.label()])),
            send_lag: instruments.durations(SEND_LAG, Buckets::Coarse).with([]),
        }))
    }

    pub(super) fn begins(&self) {
        self.0.in_flight.add(1);
    }

    pub(super) fn ends(&self, outcome: Outcome, took: Duration, send_lag: Option<Duration>) {
        self.0.in_flight.add(-1);
        self.0.durations[outcome as usize].record(took);
        if let Some(lag) = send_lag {
            self.0.send_lag.record(lag);
        }
    }
}
