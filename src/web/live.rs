//! The page of a system that starts, runs, drains and stops: its figures, its controls, its chart.
//!
//! A template extends `live.html` and fills its blocks; its struct has the fields `frame` and `live`. The figures
//! are kept current by `live.js` and a script of the system's own, which finds them by their names.

use super::{
    Asset, LIVE_JS, RunState,
    chart::{Chart, Mark, Series, plain},
};

/// What a page gives to `live.html`.
#[derive(Clone, Debug)]
pub struct LivePage {
    /// The system's own script.
    pub script: Asset,
    /// Where its run is.
    pub state: RunState,
    /// What it shows, most important first.
    pub figures: Vec<Figure>,
    /// The run so far, as SVG.
    pub chart: String,
    /// The host that the page was asked from.
    pub host: String,
}

impl LivePage {
    /// The addresses of its scripts, in the order in which they run.
    pub fn scripts(&self) -> [String; 2] {
        [LIVE_JS.href(), self.script.href()]
    }

    /// Whether its run is in the state of that name.
    pub fn is(&self, state: &str) -> bool {
        self.state.label() == state
    }
}

/// One figure of a page.
#[derive(Clone, Debug)]
pub struct Figure {
    /// How the page's script finds it.
    pub name: &'static str,
    /// What it is.
    pub label: &'static str,
    /// What it is now.
    pub value: String,
}

impl Figure {
    /// The figure `name`.
    pub fn new(name: &'static str, label: &'static str, value: impl ToString) -> Self {
        Self { name, label, value: value.to_string() }
    }
}

/// A run as SVG: lines by their names, each a value at so many seconds since the start.
pub fn run_chart<const N: usize>(title: &str, y_label: &str, lines: [(&str, Vec<(f64, f64)>); N]) -> String {
    let line = |(name, points): (&str, _)| Series { name: name.to_owned(), mark: Mark::Step, points };
    let chart = Chart {
        title: title.to_owned(),
        x_label: "seconds since the start".to_owned(),
        y_label: y_label.to_owned(),
        x_text: plain,
        series: lines.map(line).into(),
        threshold: None,
    };
    chart.svg()
}
