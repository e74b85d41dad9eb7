//! A benchmark's report: figures with their spread and their aims.

use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

use super::stats::Spread;

/// A unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    Ratio,
    PerSecond,
    Microseconds,
    Milliseconds,
    Bytes,
}

/// The aim for the median.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

/// A measured quantity: its name in JSON and in text, its unit, its aim.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct Quantity {
    pub(super) key: &'static str,
    #[serde(skip)]
    pub(super) text: &'static str,
    /// The unit of `median`, `min`, `max` and the aim.
    pub(super) unit: Unit,
    /// The aim for the median; `null` if there is none.
    #[schema(required)]
    pub(super) aim: Option<Aim>,
}

/// A measured quantity of one subject.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Figure {
    pub(super) subject: &'static str,
    #[serde(flatten)]
    pub(super) quantity: Quantity,
    #[serde(flatten)]
    pub(super) spread: Spread,
    /// Whether the median meets the aim; `null` if there is none.
    #[schema(required)]
    met: Option<bool>,
}

/// The result of a benchmark (`lab bench`).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::app) struct BenchReport<S> {
    /// The command that prints it, with its options.
    pub(super) command: String,
    /// The other settings.
    #[schema(inline)]
    pub(super) setting: S,
    pub(super) figures: Vec<Figure>,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{value:.3}"),
            Self::PerSecond => format!("{value:.0} /s"),
            Self::Microseconds => format!("{value:.2} µs"),
            Self::Milliseconds => format!("{value:.1} ms"),
            Self::Bytes if value.abs() >= 1e6 => format!("{:.1} MB", value / 1e6),
            Self::Bytes => format!("{:.2} KB", value / 1e3),
        }
    }
}

impl Aim {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(aim) => value >= aim,
            Self::AtMost(aim) => value <= aim,
        }
    }

    fn show(self, unit: Unit, value: f64) -> String {
        let (sign, aim) = match self {
            Self::AtLeast(aim) => (">=", aim),
            Self::AtMost(aim) => ("<=", aim),
        };
        let verdict = if self.is_met_by(value) { "met" } else { "not met" };
        format!("{sign} {}: {verdict}", unit.show(aim))
    }
}

impl Figure {
    /// The figure of these readings; `None` if there are none.
    pub(super) fn of(
        subject: &'static str,
        quantity: Quantity,
        readings: impl IntoIterator<Item = f64>,
    ) -> Option<Self> {
        let spread = Spread::of(readings)?;
        let met = quantity.aim.map(|aim| aim.is_met_by(spread.median));
        Some(Self { subject, quantity, spread, met })
    }

    fn row(&self) -> [String; 7] {
        let Self { subject, quantity, spread, .. } = self;
        let show = |value| quantity.unit.show(value);
        [
            (*subject).to_owned(),
            quantity.text.to_owned(),
            show(spread.median),
            spread
                .interval
                .map(|interval| format!("{} .. {}", show(interval.low), show(interval.high)))
                .unwrap_or_default(),
            format!("{} .. {}", show(spread.min), show(spread.max)),
            spread.n.to_string(),
            quantity.aim.map(|aim| aim.show(quantity.unit, spread.median)).unwrap_or_default(),
        ]
    }
}

impl<S: fmt::Display> fmt::Display for BenchReport<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEAD: [&str; 7] = ["what", "figure", "median", "95 % interval", "range", "n", "aim"];
        let mut rows = vec![HEAD.map(str::to_owned)];
        rows.extend(self.figures.iter().map(Figure::row));
        let mut widths = [0; HEAD.len()];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        writeln!(f, "$ {}", self.command)?;
        writeln!(f, "{}", self.setting)?;
        for row in rows {
            let [what, figure, median, interval, range, n, aim] = &row;
            let [w0, w1, w2, w3, w4, w5, _] = widths;
            let line = format!(
                "{what:w0$}  {figure:w1$}  {median:>w2$}  {interval:>w3$}  {range:>w4$}  {n:>w5$}  {aim}"
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> BenchReport<&'static str> {
        let quantity = |key, text, unit, aim| Quantity { key, text, unit, aim };
        let ratio = quantity("ratio", "lab / bare", Unit::Ratio, Some(Aim::AtLeast(0.85)));
        let memory = quantity("memory", "a request", Unit::Bytes, Some(Aim::AtMost(14e3)));
        let cpu = quantity("cpu", "CPU", Unit::Microseconds, None);
        BenchReport {
            command: "lab bench test".to_owned(),
            setting: "2 cores",
            figures: [
                Figure::of("/sync", ratio, [0.9, 0.8, 0.95]),
                Figure::of("/async-limited", memory, [15_210.0]),
                Figure::of("bare", cpu, [10.0, 12.5]),
                Figure::of("none", cpu, []),
            ]
            .into_iter()
            .flatten()
            .collect(),
        }
    }

    #[test]
    fn the_text_is_a_table() {
        insta::assert_snapshot!(report(), @r"
        $ lab bench test
        2 cores
        what            figure        median  95 % interval                 range  n  aim
        /sync           lab / bare     0.900                       0.800 .. 0.950  3  >= 0.850: met
        /async-limited  a request   15.21 KB                 15.21 KB .. 15.21 KB  1  <= 14.00 KB: not met
        bare            CPU         11.25 µs                 10.00 µs .. 12.50 µs  2
        ");
    }

    #[test]
    fn the_json_has_the_same_figures() {
        let json = serde_json::to_value(report()).unwrap();
        let first = &json["figures"][0];
        assert_eq!(first["median"], 0.9);
        assert_eq!(first["aim"]["at_least"], 0.85);
        assert_eq!(first["met"], true);
        assert_eq!(json["figures"][1]["met"], false);
        assert!(json["figures"][2]["met"].is_null());
    }
}
