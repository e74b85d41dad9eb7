//! The generator's own instruments, so that what it sees stands beside what the server says.

use std::sync::Arc;
use std::time::Duration;

use crate::latency::Outcome;
use crate::telemetry::{Buckets, Durations, Instruments, UpDownCounter};

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
        let durations = instruments.durations(
            "load_request_duration_ms",
            "Milliseconds from a request's intended start to its end, by outcome",
            ["outcome"],
            Buckets::Percentile,
        );
        let send_lag = instruments.durations(
            "load_send_lag_ms",
            "Milliseconds from a request's intended start to its send",
            [],
            Buckets::Coarse,
        );
        let in_flight =
            instruments.up_down_counter("load_inflight", "Requests of the load generator that are in flight");
        Self(Arc::new(Recorded {
            in_flight,
            durations: Outcome::ALL.map(|outcome| durations.with([outcome.label()])),
            send_lag: send_lag.with::<&str>([]),
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
