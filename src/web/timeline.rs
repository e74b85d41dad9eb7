//! A run's points at their seconds, and the panels that are drawn of them.
//!
//! Time runs from the run's start. A young run is drawn from the left edge of half a minute; a long one shows its last
//! five; one that has ended fills the width, and its end is the right edge.

use serde::Serialize;

use super::charts::{ChartColumn, ChartLine, ChartRow};
use super::field::Field;
use super::history::Point;
use super::lifecycle::RunChange;
use super::strip::{Line, Role, Strip, round_top};
use crate::document;

/// A young run is drawn on an axis of this length.
const SECONDS_MIN: u64 = 30;
/// Of a long run, the last seconds are shown: so many.
const SECONDS_MAX: u64 = 300;

/// The seconds of a run that are shown, with what was seen in each.
#[derive(Debug, Clone)]
pub struct Timeline<T> {
    first: u64,
    ended: bool,
    places: Vec<Option<Point<T>>>,
}

impl<T: Clone> Timeline<T> {
    /// The timeline of these points, oldest first, of a run that goes on or has `ended`.
    pub fn of(points: &[Point<T>], ended: bool) -> Self {
        let last = points.last().map_or(0, |point| point.at.as_secs());
        let first = last.saturating_sub(SECONDS_MAX);
        let end = if ended { last.max(first + 1) } else { last.max(SECONDS_MIN) };
        let mut places = vec![None; usize::try_from(end - first).unwrap_or_default() + 1];
        for point in points {
            let place = point.at.as_secs().checked_sub(first).and_then(|place| usize::try_from(place).ok());
            // The last of a second counts: the end of a run falls into one that has a point.
            if let Some(place) = place.and_then(|place| places.get_mut(place)) {
                *place = Some(point.clone());
            }
        }
        Self { first, ended, places }
    }

    /// The second of the first place, since the run's start.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// What was seen, a value for each place.
    pub fn values(&self, value: impl Fn(&T) -> Option<f64>) -> Vec<Option<f64>> {
        self.places.iter().map(|point| value(&point.as_ref()?.seen)).collect()
    }

    /// How much a counter rose a second, from place to place.
    pub fn rates(&self, counter: impl Fn(&T) -> u64) -> Vec<Option<f64>> {
        let rate = |pair: &[Option<Point<T>>]| {
            let (before, after) = (pair[0].as_ref()?, pair[1].as_ref()?);
            let rise = counter(&after.seen).saturating_sub(counter(&before.seen)) as f64;
            let seconds = (after.at - before.at).as_secs_f64();
            (seconds > 0.0).then(|| rise / seconds)
        };
        std::iter::once(None).chain(self.places.windows(2).map(rate)).collect()
    }

    /// A value for each second of which something was seen, by its number since the run's start.
    pub fn by_second(&self, value: impl Fn(u64) -> Option<f64>) -> Vec<Option<f64>> {
        let seconds = self.first..;
        self.places.iter().zip(seconds).map(|(point, second)| point.as_ref().and(value(second))).collect()
    }
}

/// Lines on one axis.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Its name.
    pub name: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// The unit of its axis.
    pub unit: &'static str,
    /// Its lines, in the order in which they are read.
    pub series: Vec<Series>,
}

/// A line with its values.
#[derive(Debug, Clone)]
pub struct Series {
    /// What it is.
    pub line: ChartLine,
    /// A value for each place.
    pub values: Vec<Option<f64>>,
}

/// The charts of a run from its start, and the points they are drawn from.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RunCharts {
    /// The second after the last place, since the run's start.
    pub second: u64,
    /// The time between two places.
    pub seconds_a_point: u64,
    /// Whether the run has ended: then the last place is its end.
    pub ended: bool,
    /// The rows, from above.
    pub rows: Vec<ChartRow>,
    /// One column: the run.
    pub columns: Vec<ChartColumn>,
    /// Where settings were changed.
    pub marks: Vec<RunMark>,
}

document!(RunCharts as "lab/run-charts/1");

/// Settings were changed during a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RunMark {
    /// In which second since the run's start.
    pub second: u64,
    /// What was set, to what, in the words of the page.
    pub text: String,
}

impl RunMark {
    fn of(RunChange { second, set }: RunChange, fields: &[Field]) -> Self {
        let said =
            set.into_iter().map(|(name, value)| match fields.iter().find(|field| field.name == name) {
                Some(field) => {
                    let set = Field { value, ..field.clone() };
                    format!("{}: {}", set.label, set.text())
                }
                None => format!("{name}: {value}"),
            });
        Self { second, text: said.collect::<Vec<_>>().join(", ") }
    }
}

impl RunCharts {
    /// The charts of the run of the system at `path`.
    pub fn of<T>(path: &'static str, timeline: &Timeline<T>, panels: Vec<Panel>) -> Self {
        let mut column = ChartColumn { path, points: [].into(), strips: [].into() };
        let rows = panels.into_iter().map(|panel| panel.row(&mut column)).collect();
        Self {
            second: timeline.first + timeline.places.len() as u64,
            seconds_a_point: 1,
            ended: timeline.ended,
            rows,
            columns: vec![column],
            marks: Vec::new(),
        }
    }

    /// The same with the changes of the run that lie within it, in the words of these fields.
    pub(super) fn marked(mut self, changes: Vec<RunChange>, fields: &[Field]) -> Self {
        let places = self.columns.iter().flat_map(|column| column.points.values()).map(Vec::len).max();
        let first = self.second.saturating_sub(places.unwrap_or(0) as u64);
        let shown = changes.into_iter().filter(|change| change.second >= first);
        self.marks = shown.map(|change| RunMark::of(change, fields)).collect();
        self
    }
}

impl RunCharts {
    /// Whether nothing has run yet.
    pub(super) fn is_empty(&self) -> bool {
        self.columns.iter().flat_map(|column| column.points.values()).flatten().all(Option::is_none)
    }
}

impl Panel {
    /// Draws it into `column`.
    fn row(self, column: &mut ChartColumn) -> ChartRow {
        let Self { name, title, unit, series } = self;
        let top = round_top(series.iter().flat_map(|series| series.values.iter().flatten().copied()));
        // Levels lie behind what is measured.
        let is_level = |series: &&Series| series.line.role == Role::Level;
        let (levels, measured): (Vec<&Series>, Vec<&Series>) = series.iter().partition(is_level);
        let line = |series: &Series| Line { role: series.line.role, values: series.values.clone() };
        let lines = levels.into_iter().chain(measured).map(line).collect();
        let title_of_picture = format!("{title}, from the start of the run");
        column.strips.insert(name, Strip { title: title_of_picture, top, lines }.svg());
        let lines = series.iter().map(|series| series.line).collect();
        column.points.extend(series.into_iter().map(|series| (series.line.name, series.values)));
        ChartRow { name, title, unit, top, lines }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::web::charts::Reads;
    use crate::web::{Control, field::Unit};

    /// A run that was looked at each second until `end_ms`, when it had counted a hundred a second.
    fn run(end_ms: u64, ended: bool) -> Timeline<u64> {
        let at_ms = (0..end_ms).step_by(1_000).chain([end_ms]);
        let points: Vec<_> = at_ms.map(|ms| Point { at: Duration::from_millis(ms), seen: ms / 10 }).collect();
        Timeline::of(&points, ended)
    }

    #[test]
    fn a_run_is_drawn_from_its_start_to_its_end() {
        for (end_ms, ended, first, places) in [
            (12_400, false, 0, 31),
            (75_400, false, 0, 76),
            (12_400, true, 0, 13),
            (400, true, 0, 2),
            (400_000, false, 100, 301),
            (400_000, true, 100, 301),
        ] {
            let timeline = run(end_ms, ended);
            assert_eq!((timeline.first(), timeline.places.len()), (first, places), "{end_ms} {ended}");
        }
        let timeline = run(12_400, true);
        assert_eq!(timeline.values(|count| Some(*count as f64)).last(), Some(&Some(1_240.0)), "its end");
        let rates = timeline.rates(|count| *count);
        assert_eq!((rates[0], rates[1]), (None, Some(100.0)));
        assert!((rates[12].expect("a rate") - 100.0).abs() < 1e-9, "over 1.4 s");
        let young = run(12_400, false).by_second(|second| Some(second as f64));
        assert_eq!((young[12], young[13]), (Some(12.0), None));
    }

    #[test]
    fn a_panel_has_its_levels_in_sight_and_reads_its_lines() {
        let timeline = run(12_400, true);
        let line = |name, role| ChartLine { name, label: name, role, reads: Reads::Count };
        let series = |name, role, value: f64| Series {
            line: line(name, role),
            values: timeline.values(|_| Some(value)),
        };
        let panel = Panel {
            name: "buffer",
            title: "buffer",
            unit: "chunks",
            series: vec![series("queued", Role::Plain, 3.0), series("capacity", Role::Level, 450.0)],
        };
        let charts = RunCharts::of("/streams", &timeline, vec![panel]);
        assert_eq!((charts.second, charts.rows[0].top), (13, 500.0));
        let column = &charts.columns[0];
        assert_eq!(column.points["capacity"].len(), 13);
        let fields = [Field {
            name: "rate",
            label: "Load",
            value: "generator".to_owned(),
            control: Control::Measure(vec![Unit {
                suffix: "/s",
                label: "jobs a second",
                range: Some((1.0, 9.0)),
            }]),
            while_running: true,
        }];
        let change = |second, name: &str, value: &str| RunChange {
            second,
            set: vec![(name.to_owned(), value.to_owned())],
        };
        let marks =
            charts.clone().marked(vec![change(3, "rate", "7/s"), change(5, "other", "1")], &fields).marks;
        assert_eq!(
            marks.iter().map(|mark| &*mark.text).collect::<Vec<_>>(),
            ["Load: 7 jobs a second", "other: 1"]
        );
        let svg = &column.strips["buffer"];
        assert!(svg.find("line level") < svg.find("line plain"), "{svg}");
    }
}
