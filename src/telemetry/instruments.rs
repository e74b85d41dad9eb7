//! The kit from which every room makes its instruments. The room's `metrics.rs` begins with their table,
//! [`metrics!`](crate::metrics).
//!
//! - A name is the one that Prometheus shows, with the `_total` of a counter.
//! - Instruments are bound to their labels at start: recording looks nothing up and allocates nothing.
//! - Counters start at 0. Durations are recorded as [`Duration`] and shown in milliseconds.
//! - A series of durations costs as many lines as it has buckets, so those of a rare outcome may appear with
//!   their first value ([`DurationsBy::rare`]), provided that each value is also counted by a counter that starts
//!   at 0. What an idle server is expected to answer, and whatever no counter counts, is shown from the start
//!   ([`DurationsBy::with`]). An outcome that never comes is then never shown.
//! - A value that a room holds anyway is read when metrics are collected ([`Instruments::observe`]).
//!
//! Each instrument is also described in a catalogue: [`Instruments::described`].

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use opentelemetry::{
    KeyValue, Value,
    metrics::{
        BoundCounter, BoundHistogram, BoundUpDownCounter, Callback, Histogram, Meter, MeterProvider as _,
        NoopMeterProvider,
    },
};
use parking_lot::Mutex;

use super::{buckets::Buckets, metric::Metric};
use crate::labelled;

/// Counts what happens: `add(1)`.
pub type Counter = BoundCounter<u64>;
/// Counts what is there: `add(1)` when it comes, `add(-1)` when it goes.
pub type UpDownCounter = BoundUpDownCounter<i64>;

labelled! {
    /// What kind of metric a name stands for, in the words of Prometheus' `# TYPE`.
    pub enum Kind {
        /// A sum that only grows; its name ends in `_total`.
        Counter = "counter",
        /// A value now.
        Gauge = "gauge",
        /// Durations in milliseconds, in buckets.
        Histogram = "histogram",
    }
}

/// A metric, as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The name that Prometheus shows.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: Vec<&'static str>,
    /// What it is, in one phrase.
    pub about: &'static str,
}

/// Makes the instruments of one system and keeps the catalogue of them. Cloning shares both.
#[derive(Debug, Clone)]
pub struct Instruments {
    meter: Meter,
    /// Edges that every histogram has besides those of its [`Buckets`].
    edges_ms: Vec<u64>,
    catalogue: Arc<Mutex<Vec<Described>>>,
}

impl Instruments {
    pub(super) fn new(meter: Meter) -> Self {
        Self { meter, edges_ms: Vec::new(), catalogue: Arc::default() }
    }

    /// Instruments that record nothing, for runs in virtual time. They are in the catalogue all the same.
    pub fn silent() -> Self {
        Self::new(NoopMeterProvider::new().meter("silent"))
    }

    /// The same kit, whose histograms from here on have an edge at `edge_ms` too: at an objective, so that
    /// the share of durations within it is exact.
    #[must_use]
    pub fn with_edge_ms(&self, edge_ms: u64) -> Self {
        let edges_ms = self.edges_ms.iter().copied().chain([edge_ms]).collect();
        Self { edges_ms, ..self.clone() }
    }

    /// The metrics made so far, in the order in which they were made.
    pub fn described(&self) -> Vec<Described> {
        self.catalogue.lock().clone()
    }

    /// A counter.
    pub fn counter<const L: usize>(&self, metric: Metric<L>) -> CounterBy<L> {
        let name = self.describe(metric, Kind::Counter);
        let counter = self.meter.u64_counter(name).with_description(metric.about).build();
        CounterBy { counter, labels: metric.labels }
    }

    /// A count of what is there, at 0.
    pub fn up_down_counter(&self, metric: Metric<0>) -> UpDownCounter {
        let name = self.describe(metric, Kind::Gauge);
        let counter = self.meter.i64_up_down_counter(name).with_description(metric.about).build().bind(&[]);
        counter.add(0);
        counter
    }

    /// A histogram of durations. Without labels, the SDK shows it from its first value on.
    pub fn durations<const L: usize>(&self, metric: Metric<L>, buckets: Buckets) -> DurationsBy<L> {
        let name = self.describe(metric, Kind::Histogram);
        let edges = buckets.edges_ms(&self.edges_ms);
        let builder = self.meter.f64_histogram(name).with_description(metric.about).with_boundaries(edges);
        DurationsBy { histogram: builder.build(), labels: metric.labels }
    }

    /// A source of metrics that `look` reads each time metrics are collected.
    ///
    /// The meter's provider keeps `look` for as long as it lives: hold what it looks at by a weak reference,
    /// and answer `None` once that is gone. It runs on the exporter's thread and must not panic.
    pub fn observe<S: 'static>(&self, look: impl Fn() -> Option<S> + Send + Sync + 'static) -> Observed<S> {
        Observed { instruments: self.clone(), look: Arc::new(look) }
    }

    /// Puts a metric into the catalogue and returns its name as OpenTelemetry has it: without `_total`, which
    /// both ways out append.
    fn describe<const L: usize>(&self, metric: Metric<L>, kind: Kind) -> &'static str {
        let Metric { name, labels, about } = metric;
        let described = Described { name, kind, about, labels: labels.to_vec() };
        let mut catalogue = self.catalogue.lock();
        // Parts of a system may share a metric, each with label values of its own.
        if !catalogue.contains(&described) {
            catalogue.push(described);
        }
        name.strip_suffix("_total").unwrap_or(name)
    }
}

fn pairs<const L: usize, V: Into<Value>>(labels: [&'static str; L], values: [V; L]) -> Vec<KeyValue> {
    labels.into_iter().zip(values).map(|(label, value)| KeyValue::new(label, value)).collect()
}

/// A counter by labels. The values of labels stand in the order of their names.
#[derive(Debug, Clone)]
pub struct CounterBy<const L: usize> {
    counter: opentelemetry::metrics::Counter<u64>,
    labels: [&'static str; L],
}

impl<const L: usize> CounterBy<L> {
    /// The counter of these values, at 0.
    pub fn with(&self, values: [&'static str; L]) -> Counter {
        self.with_values(values.map(Value::from))
    }

    /// The same where values are not all names.
    pub fn with_values(&self, values: [Value; L]) -> Counter {
        let counter = self.counter.bind(&pairs(self.labels, values));
        counter.add(0);
        counter
    }

    /// Counts one for values that are not known at start; they must be of a bounded set. Looks them up.
    pub fn count(&self, values: [Value; L]) {
        self.counter.add(1, &pairs(self.labels, values));
    }
}

/// A histogram of durations by labels. The values of labels stand in the order of their names.
#[derive(Debug)]
pub struct DurationsBy<const L: usize> {
    histogram: Histogram<f64>,
    labels: [&'static str; L],
}

impl<const L: usize> DurationsBy<L> {
    /// The durations of these values, shown from the start.
    pub fn with(&self, values: [&'static str; L]) -> Durations {
        let durations = self.rare(values);
        durations.bound();
        durations
    }

    /// The durations of these values, shown from the first one on. A counter that starts at 0 must count them
    /// too: Prometheus' `rate` does not see the value with which a series appears.
    pub fn rare(&self, values: [&'static str; L]) -> Durations {
        let (histogram, labels) = (self.histogram.clone(), pairs(self.labels, values));
        Durations { histogram, labels, bound: OnceLock::new() }
    }
}

/// Durations with certain labels.
#[derive(Debug)]
pub struct Durations {
    histogram: Histogram<f64>,
    labels: Vec<KeyValue>,
    bound: OnceLock<BoundHistogram<f64>>,
}

impl Durations {
    /// Records one.
    pub fn record(&self, took: Duration) {
        self.bound().record(took.as_secs_f64() * 1e3);
    }

    fn bound(&self) -> &BoundHistogram<f64> {
        self.bound.get_or_init(|| self.histogram.bind(&self.labels))
    }
}

/// A source of metrics; each method adds one, with what it reads of the source: a counter if its name ends in
/// `_total`, else a gauge.
pub struct Observed<S> {
    instruments: Instruments,
    look: Arc<dyn Fn() -> Option<S> + Send + Sync>,
}

impl<S: 'static> Observed<S> {
    /// Shows a number.
    pub fn show<N: Number>(
        &self,
        metric: Metric<0>,
        read: impl Fn(&S) -> N + Send + Sync + 'static,
    ) -> &Self {
        self.show_by(metric, move |now| [([], read(now))])
    }

    /// Shows numbers, each with the values of its labels.
    pub fn show_by<N: Number, const L: usize, I: IntoIterator<Item = ([&'static str; L], N)>>(
        &self,
        metric: Metric<L>,
        read: impl Fn(&S) -> I + Send + Sync + 'static,
    ) -> &Self {
        let Self { instruments, look } = self;
        let look = look.clone();
        let callback: Callback<N> = Box::new(move |observer| {
            for (values, number) in look().iter().flat_map(&read) {
                observer.observe(number, &pairs(metric.labels, values));
            }
        });
        let is_counter = metric.name.ends_with("_total");
        let kind = if is_counter { Kind::Counter } else { Kind::Gauge };
        let name = instruments.describe(metric, kind);
        let register = if is_counter { N::counter } else { N::gauge };
        register(&instruments.meter, name, metric.about, callback);
        self
    }
}

/// What can be observed: `u64` and `f64`.
pub trait Number: Copy + 'static {
    /// Registers a callback as a counter.
    fn counter(meter: &Meter, name: &'static str, about: &'static str, callback: Callback<Self>);
    /// Registers a callback as a gauge.
    fn gauge(meter: &Meter, name: &'static str, about: &'static str, callback: Callback<Self>);
}

macro_rules! number {
    ($type:ty: $($kind:ident = $build:ident),+) => {
        impl Number for $type {
            $(fn $kind(meter: &Meter, name: &'static str, about: &'static str, callback: Callback<Self>) {
                meter.$build(name).with_description(about).with_callback(callback).build();
            })+
        }
    };
}

number!(u64: counter = u64_observable_counter, gauge = u64_observable_gauge);
number!(f64: counter = f64_observable_counter, gauge = f64_observable_gauge);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{metrics, telemetry::Telemetry};

    metrics! {
        /// Jobs
        JOBS: "test_jobs_total" by "kind", "size";
        /// Waits
        WAITS: "test_wait_ms" by "end";
        /// Depth
        DEPTH: "test_depth";
        /// Spent
        SPENT: "test_spent_total" by "by";
        /// Durations
        FINE: "test_fine_ms" by "end";
        /// Durations
        COARSE: "test_coarse_ms" by "end";
    }

    #[test]
    fn what_is_made_is_shown_from_0_and_stands_in_the_catalogue() {
        let telemetry = Telemetry::scraped(1_500).expect("telemetry");
        let instruments = telemetry.instruments();
        let jobs = instruments.counter(JOBS);
        let waits = instruments.durations(WAITS, Buckets::Coarse);
        let (long, _ok, rare) = (jobs.with(["a", "long"]), waits.with(["ok"]), waits.rare(["shed"]));
        let system = Arc::new(7_u64);
        let weak = Arc::downgrade(&system);
        instruments
            .observe(move || weak.upgrade())
            .show(DEPTH, |depth| **depth)
            .show_by(SPENT, |depth| [(["x"], **depth as f64 / 2.0)]);
        let shown = |line: &str| {
            let text = telemetry.render().expect("metrics");
            text.lines().any(|shown| shown == line)
        };
        assert!(shown("# HELP test_jobs_total Jobs") && shown("# TYPE test_jobs_total counter"));
        assert!(shown("test_jobs_total{kind=\"a\",size=\"long\"} 0"));
        assert!(shown("test_wait_ms_count{end=\"ok\"} 0"));
        assert!(!telemetry.render().expect("metrics").contains("end=\"shed\""), "rare, and not yet seen");
        assert!(shown("test_depth 7") && shown("test_spent_total{by=\"x\"} 3.5"));

        long.add(2);
        rare.record(Duration::from_micros(2_500));
        drop(system);
        assert!(shown("test_jobs_total{kind=\"a\",size=\"long\"} 2"));
        assert!(shown("test_wait_ms_sum{end=\"shed\"} 2.5"));
        assert!(!telemetry.render().expect("metrics").contains("test_depth 7"), "the system is gone");

        instruments.clone().counter(JOBS).count(["b".into(), "short".into()]);
        let described = instruments.described();
        let of = |described: &Described| (described.name, described.kind, described.labels.join(","));
        let expected = [
            ("test_jobs_total", Kind::Counter, "kind,size".to_owned()),
            ("test_wait_ms", Kind::Histogram, "end".to_owned()),
            ("test_depth", Kind::Gauge, String::new()),
            ("test_spent_total", Kind::Counter, "by".to_owned()),
        ];
        assert_eq!(described.iter().map(of).collect::<Vec<_>>(), expected);
        assert!(telemetry.instruments().described().is_empty(), "each kit has a catalogue of its own");
    }

    #[test]
    fn every_histogram_has_an_edge_at_each_objective() {
        let telemetry = Telemetry::scraped(1_234).expect("telemetry");
        let instruments = telemetry.instruments().with_edge_ms(777);
        for (metric, buckets) in [(FINE, Buckets::Percentile), (COARSE, Buckets::Coarse)] {
            let _shown = instruments.durations(metric, buckets).with(["ok"]);
            let name = metric.name;
            let text = telemetry.render().expect("metrics");
            for edge in [777, 1_234] {
                assert!(
                    text.contains(&format!("{name}_bucket{{end=\"ok\",le=\"{edge}\"}} 0")),
                    "{name} {edge}"
                );
            }
        }
    }
}
