//! The page of a system that starts, runs, drains and stops: its figures, its controls, its chart.
//!
//! The system's template extends `live.html` and fills its blocks; its struct has the fields `frame` and `live`.
//! `live.js` and the system's own script update the figures, which they find by their names.

use super::{
    Asset, LIVE_JS, RunState,
    chart::{Chart, Mark, Series, plain},
};

/// The data for `live.html`.
#[derive(Clone, Debug)]
pub struct LivePage {
    /// The system's own script.
    pub script: Asset,
    /// The state of its run.
    pub state: RunState,
    /// Its figures, the most important first.
    pub figures: Vec<Figure>,
    /// The chart of the run so far, as SVG.
    pub chart: String,
    /// The host in the page's request.
    pub host: String,
}

impl LivePage {
    /// The URLs of its scripts, in the order in which they run.
    pub fn scripts(&self) -> [String; 2] {
        [LIVE_JS.href(), self.script.href()]
    }

    /// Whether its run is in the state with this name.
    pub fn is(&self, state: &str) -> bool {
        self.state.label() == state
    }
}

/// One figure of a page.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The name by which the page's script finds it.
    pub name: &'static str,
    /// Its label on the page.
    pub label: &'static str,
    /// Its current value.
    pub value: String,
}

impl Figure {
    /// A figure with these fields.
    pub fn new(name: &'static str, label: &'static str, value: impl ToString) -> Self {
        Self { name, label, value: value.to_string() }
    }
}

/// Draws a run as SVG. Each line has a name and points of seconds since the start and a value.
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
