//! Declares metrics in tables.

/// A metric's name, its description and the names of its `L` labels.
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

/// Declares a room's metrics. Each row has the metric's description in one phrase, its constant, its name in
/// Prometheus (which ends in `_total` for a counter), and its labels.
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
