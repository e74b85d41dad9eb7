//! The tables of metrics.

/// A metric by its name: what it is, and the names of its `L` labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric<const L: usize> {
    pub(super) name: &'static str,
    pub(super) labels: [&'static str; L],
    pub(super) about: &'static str,
}

impl<const L: usize> Metric<L> {
    /// A row of [`metrics!`](crate::metrics).
    #[must_use]
    pub const fn new(name: &'static str, labels: [&'static str; L], about: &'static str) -> Self {
        Self { name, labels, about: about.trim_ascii() }
    }
}

/// Makes a room's table of metrics. A row is what the metric is, in one phrase; the constant that stands for it;
/// the name that Prometheus shows, which ends in `_total` if it is a sum that only grows; and its labels.
#[macro_export]
macro_rules! metrics {
    ($(#[doc = $about:literal] $constant:ident: $name:literal $(by $($label:literal),+)?;)+) => {
        $(
            #[doc = $about]
            const $constant: $crate::telemetry::Metric<{ <[&str]>::len(&[$($($label),+)?]) }> =
                $crate::telemetry::Metric::new($name, [$($($label),+)?], $about);
        )+
    };
}
