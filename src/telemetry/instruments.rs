//! Creates the metric instruments of every room. A room declares its metrics in a table at the top of its
//! `metrics.rs`, with [`metrics!`](crate::metrics).
//!
//! - Names are those in Prometheus, so a counter's name ends in `_total`.
//! - Instruments are bound to their labels when they are created: recording needs no lookup and no allocation.
//! - Counters start at 0. Durations are recorded as [`Duration`] and exported in milliseconds.
//! - A histogram series costs one line per bucket. A series for a rare outcome may therefore appear only with its
//!   first value ([`DurationsBy::rare`]), provided that a counter that starts at 0 counts its values too. All
//!   others are exported from the start ([`DurationsBy::with`]).
//! - A value that a room holds anyway is read when metrics are collected ([`Instruments::observe`]).
//!
//! A catalogue describes each instrument: [`Instruments::described`].

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

/// Counts events: `add(1)`.
pub type Counter = BoundCounter<u64>;
/// Counts present items: `add(1)` when one appears, `add(-1)` when one goes.
pub type UpDownCounter = BoundUpDownCounter<i64>;

labelled! {
    /// The type of a metric, in the words of Prometheus' `# TYPE`.
    pub enum Kind {
        /// A sum that only grows; its name ends in `_total`.
        Counter = "counter",
        /// A current value.
        Gauge = "gauge",
        /// Durations in milliseconds, in buckets.
        Histogram = "histogram",
    }
}

/// A metric in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name in Prometheus.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: Vec<&'static str>,
    /// Its description, in one phrase.
    pub about: &'static str,
}

/// Creates the instruments of one system and keeps a catalogue of them. Clones share both.
#[derive(Debug, Clone)]
pub struct Instruments {
    meter: Meter,
    /// Boundaries that every histogram has in addition to those of its [`Buckets`].
    edges_ms: Vec<u64>,
    catalogue: Arc<Mutex<Vec<Described>>>,
}

impl Instruments {
    pub(super) fn new(meter: Meter) -> Self {
        Self { meter, edges_ms: Vec::new(), catalogue: Arc::default() }
    }

    /// Instruments that record nothing, for runs in virtual time. The catalogue describes them all the same.
    pub fn silent() -> Self {
        Self::new(NoopMeterProvider::new().meter("silent"))
    }

    /// Instruments whose later histograms also have a boundary at `edge_ms`. With a boundary at an objective, the
    /// share of durations within the objective is exact.
    #[must_use]
    pub fn with_edge_ms(&self, edge_ms: u64) -> Self {
        let edges_ms = self.edges_ms.iter().copied().chain([edge_ms]).collect();
        Self { edges_ms, ..self.clone() }
    }

    /// The metrics created so far, in the order of creation.
    pub fn described(&self) -> Vec<Described> {
        self.catalogue.lock().clone()
    }

    /// A counter.
    pub fn counter<const L: usize>(&self, metric: Metric<L>) -> CounterBy<L> {
        let name = self.describe(metric, Kind::Counter);
        let counter = self.meter.u64_counter(name).with_description(metric.about).build();
        CounterBy { counter, labels: metric.labels }
    }

    /// A count of present items, which starts at 0.
    pub fn up_down_counter(&self, metric: Metric<0>) -> UpDownCounter {
        let name = self.describe(metric, Kind::Gauge);
        let counter = self.meter.i64_up_down_counter(name).with_description(metric.about).build().bind(&[]);
        counter.add(0);
        counter
    }

    /// A histogram of durations. Without labels, the SDK exports it from its first value on.
    pub fn durations<const L: usize>(&self, metric: Metric<L>, buckets: Buckets) -> DurationsBy<L> {
        let name = self.describe(metric, Kind::Histogram);
        let edges = buckets.edges_ms(&self.edges_ms);
        let builder = self.meter.f64_histogram(name).with_description(metric.about).with_boundaries(edges);
        DurationsBy { histogram: builder.build(), labels: metric.labels }
    }

    /// A source of metrics. `look` is called each time metrics are collected.
    ///
    /// The meter's provider never drops `look`. So `look` should hold its source by a weak reference and return
    /// `None` once the source is dropped. It runs on the exporter's thread and must not panic.
    pub fn observe<S: 'static>(&self, look: impl Fn() -> Option<S> + Send + Sync + 'static) -> Observed<S> {
        Observed { instruments: self.clone(), look: Arc::new(look) }
    }

    /// Adds a metric to the catalogue and returns its OpenTelemetry name: without `_total`, which both exporters
    /// append.
    fn describe<const L: usize>(&self, metric: Metric<L>, kind: Kind) -> &'static str {
        let Metric { name, labels, about } = metric;
        let described = Described { name, kind, about, labels: labels.to_vec() };
        let mut catalogue = self.catalogue.lock();
        // Parts of a system may share a metric, with different label values.
        if !catalogue.contains(&described) {
            catalogue.push(described);
        }
        name.strip_suffix("_total").unwrap_or(name)
    }
}

fn pairs<const L: usize, V: Into<Value>>(labels: [&'static str; L], values: [V; L]) -> Vec<KeyValue> {
    labels.into_iter().zip(values).map(|(label, value)| KeyValue::new(label, value)).collect()
}

/// A counter with labels. Label values are passed in the order of the label names.
#[derive(Debug, Clone)]
pub struct CounterBy<const L: usize> {
    counter: opentelemetry::metrics::Counter<u64>,
    labels: [&'static str; L],
}

impl<const L: usize> CounterBy<L> {
    /// The counter for these label values, which starts at 0.
    pub fn with(&self, values: [&'static str; L]) -> Counter {
        self.with_values(values.map(Value::from))
    }

    /// As [`with`](Self::with), for label values that are not string constants.
    pub fn with_values(&self, values: [Value; L]) -> Counter {
        let counter = self.counter.bind(&pairs(self.labels, values));
        counter.add(0);
        counter
    }

    /// Counts one event with label values that are not known at the start. The set of values must be bounded. This
    /// looks the series up each time.
    pub fn count(&self, values: [Value; L]) {
        self.counter.add(1, &pairs(self.labels, values));
    }
}

/// A histogram of durations with labels. Label values are passed in the order of the label names.
#[derive(Debug)]
pub struct DurationsBy<const L: usize> {
    histogram: Histogram<f64>,
    labels: [&'static str; L],
}

impl<const L: usize> DurationsBy<L> {
    /// The series for these label values, exported from the start.
    pub fn with(&self, values: [&'static str; L]) -> Durations {
        let durations = self.rare(values);
        durations.bound();
        durations
    }

    /// The series for these label values, exported from its first duration on. A counter that starts at 0 must
    /// count them too, because Prometheus' `rate` ignores the first value of a new series.
    pub fn rare(&self, values: [&'static str; L]) -> Durations {
        self.rare_values(values.map(Value::from))
    }

    /// As [`rare`](Self::rare), for label values that are not string constants. The set of values must be bounded.
    pub fn rare_values(&self, values: [Value; L]) -> Durations {
        let (histogram, labels) = (self.histogram.clone(), pairs(self.labels, values));
        Durations { histogram, labels, bound: OnceLock::new() }
    }
}

/// One series of a histogram of durations.
#[derive(Debug)]
pub struct Durations {
    histogram: Histogram<f64>,
    labels: Vec<KeyValue>,
    bound: OnceLock<BoundHistogram<f64>>,
}

impl Durations {
    /// Records one duration.
    pub fn record(&self, took: Duration) {
        self.bound().record(took.as_secs_f64() * 1e3);
    }

    fn bound(&self) -> &BoundHistogram<f64> {
        self.bound.get_or_init(|| self.histogram.bind(&self.labels))
    }
}

/// A source of metrics. Each method adds a metric and the function that reads it from the source. The metric is a
/// counter if its name ends in `_total`, and a gauge otherwise.
pub struct Observed<S> {
    instruments: Instruments,
    look: Arc<dyn Fn() -> Option<S> + Send + Sync>,
}

impl<S: 'static> Observed<S> {
    /// Adds a metric without labels.
    pub fn show<N: Number>(
        &self,
        metric: Metric<0>,
        read: impl Fn(&S) -> N + Send + Sync + 'static,
    ) -> &Self {
        self.show_by(metric, move |now| [([], read(now))])
    }

    /// Adds a metric with labels: `read` returns the label values with each number.
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

/// A number that can be observed: `u64` or `f64`.
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
    fn instruments_are_exported_from_0_and_described_in_the_catalogue() {
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
    fn every_histogram_has_a_boundary_at_each_objective() {
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
