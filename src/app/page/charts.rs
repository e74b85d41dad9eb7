//! The last five minutes as strips, side by side and on shared axes, with the points that they are drawn from.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde::Serialize;

use super::expected::TheoryName;
use super::figures::lambda_w;
use super::last_run::LastRun;
use super::watch::{Mark, Recents, Watch};
use crate::choice;
use crate::document;
use crate::http_lab::EndpointStatus;
use crate::latency::{Known, Quantile, milliseconds};
use crate::web::charts::{ChartColumn, ChartLine, ChartRow, Reads};
use crate::web::strip::{Line, Role, Strip, round_top};

/// How far back they reach.
const SECONDS: u64 = 300;
/// The most seconds that a point covers.
const COVERED_S: u64 = 60;
/// Seconds that a mean covers.
const MEAN_S: u64 = 10;
/// A line of theory is drawn up to so many times what is measured.
const THEORY_ABOVE: f64 = 3.0;

choice! {
    /// A row of strips.
    pub(super) enum Row {
        /// Good answers, and offered requests.
        Good = "good",
        /// p50 and p95.
        Latency = "latency",
        /// Requests in flight.
        InFlight = "in_flight",
        /// Requests that wait for a limit.
        Waiting = "waiting",
    }
}

impl Row {
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Good => "answers a second",
            Self::Latency => "latency",
            Self::InFlight => "in the system",
            Self::Waiting => "waiting at the limit",
        }
    }

    /// The lines of theory that are drawn in it.
    const fn of_theory(self) -> &'static [TheoryName] {
        match self {
            Self::Good => &[],
            Self::Latency => &[TheoryName::P50, TheoryName::P95],
            Self::InFlight => &[TheoryName::InFlight, TheoryName::Stable, TheoryName::Tipping],
            Self::Waiting => &[TheoryName::Waiting],
        }
    }

    /// The lines that are read at a place.
    fn lines(self) -> Vec<ChartLine> {
        let line = |name, label, role, reads| ChartLine { name, label, role, reads };
        match self {
            Self::Good => vec![
                line("good", "good", Role::Good, Reads::PerSecond),
                line("offered", "of", Role::Offered, Reads::PerSecond),
            ],
            Self::Latency => vec![
                line("p50", "p50", Role::Second, Reads::Time),
                line("p95", "p95", Role::Plain, Reads::Time),
            ],
            Self::InFlight => vec![
                line("in_flight", "in flight", Role::Plain, Reads::Count),
                line("lambda_w", "λW", Role::Second, Reads::Mean),
            ],
            Self::Waiting => vec![line("waiting", "waiting", Role::Plain, Reads::Count)],
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::Good => "/s",
            Self::Latency => "ms",
            Self::InFlight | Self::Waiting => "",
        }
    }
}

/// The page's charts of the last five minutes, and the points they are drawn from.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Charts {
    /// The second after the last point, since the lab began.
    pub second: u64,
    /// The time between two points.
    pub seconds_a_point: u64,
    /// The rows, from above.
    pub rows: Vec<ChartRow>,
    /// A column for each strategy.
    pub columns: Vec<ChartColumn>,
    /// Where levers were moved.
    pub marks: Vec<Mark>,
    /// The last run of the built-in load; `null` before the first.
    #[schema(required)]
    pub run: Option<LastRun>,
}

document!(Charts as "lab/charts/1");

/// The values of a strategy, a point each; where there is none, nothing is known or nothing was offered.
#[derive(Debug, Clone, Default)]
struct Points {
    /// Requests offered a second.
    offered: Vec<Option<f64>>,
    /// Good answers a second.
    good: Vec<Option<f64>>,
    /// The p50 over all offered in milliseconds.
    p50: Vec<Option<f64>>,
    /// The p95 over all offered in milliseconds.
    p95: Vec<Option<f64>>,
    /// Requests in flight.
    in_flight: Vec<Option<f64>>,
    /// Arrivals a second times the mean time in the system.
    lambda_w: Vec<Option<f64>>,
    /// Requests that wait for a limit.
    waiting: Vec<Option<f64>>,
}

impl Charts {
    /// The charts now.
    pub(super) fn of(watch: &Watch) -> Self {
        let (end, age) = watch.end();
        let seconds = end.saturating_sub(SECONDS)..end;
        // The axis has its full length even before the lab has run for so long.
        let missing = usize::try_from(SECONDS - (seconds.end - seconds.start)).unwrap_or_default();
        let marks = watch.marks();
        let expected = watch.expected();
        let begins = marks.iter().rev().find(|mark| mark.restarts).map_or(0, |mark| mark.second + 1);
        let columns: Vec<(&'static str, usize, Points)> = watch
            .lab()
            .endpoints_now()
            .iter()
            .enumerate()
            .filter_map(|(place, status)| {
                let recents = watch.recents(place)?;
                let samples = watch.samples(place, seconds.clone());
                let points = Points::of(&recents, &samples, seconds.clone(), age, &marks);
                Some((status.path, place, points.after(missing)))
            })
            .collect();
        let slo_ms = milliseconds(watch.slo());
        let rows: Vec<ChartRow> = Row::ALL
            .into_iter()
            .map(|row| {
                let values =
                    columns.iter().flat_map(|(.., points)| points.lines(row)).flat_map(|line| line.values);
                let level = (row == Row::Latency).then_some(slo_ms);
                let seen = values.flatten().chain(level).fold(0.0, f64::max);
                // A line of theory far above the measured values would flatten them, so it is left out.
                let theory = expected.iter().flatten().filter(|line| row.of_theory().contains(&line.name));
                let theory =
                    theory.filter_map(|line| line.value).filter(|value| *value <= seen * THEORY_ABOVE);
                let top = round_top(theory.chain([seen]));
                ChartRow { name: row.label(), title: row.title(), unit: row.unit(), top, lines: row.lines() }
            })
            .collect();
        let columns = columns
            .into_iter()
            .map(|(path, place, points)| {
                let theory = expected.get(place).map_or(&[][..], Vec::as_slice);
                // Drawn over the seconds to which it applies.
                let length = points.offered.len();
                let about = usize::try_from(end.saturating_sub(begins)).unwrap_or_default().min(length);
                let level = |value: f64| {
                    std::iter::repeat_n(None, length - about)
                        .chain(std::iter::repeat_n(Some(value), about))
                        .collect()
                };
                let strips = Row::ALL
                    .into_iter()
                    .zip(&rows)
                    .map(|(name, row)| {
                        let mut lines = points.lines(name);
                        if name == Row::Latency {
                            let level = vec![Some(slo_ms); points.offered.len()];
                            lines.push(Line { role: Role::Level, values: level });
                        }
                        let told = theory.iter().filter(|line| name.of_theory().contains(&line.name));
                        let on_it = told.filter_map(|line| line.value).filter(|value| *value <= row.top);
                        lines.extend(on_it.map(|value| Line { role: Role::Theory, values: level(value) }));
                        let title = format!("{} of {path}, the last five minutes", row.title);
                        (name.label(), Strip { title, top: row.top, lines }.svg())
                    })
                    .collect();
                ChartColumn { path, points: points.named(), strips }
            })
            .collect();
        let shown = |mark: &Mark| mark.second >= seconds.start;
        let marks = marks.into_iter().filter(shown).collect();
        Self { second: end, seconds_a_point: 1, rows, columns, marks, run: LastRun::of(watch) }
    }
}

impl Points {
    fn of(
        recents: &Recents,
        samples: &[Option<EndpointStatus>],
        seconds: Range<u64>,
        age: Duration,
        marks: &[Mark],
    ) -> Self {
        let mut points = Self::default();
        for (second, sample) in seconds.clone().zip(samples) {
            let one = second..second + 1;
            let (recent, _) = recents.counting(one.clone());
            let age = age + Duration::from_secs(seconds.end - one.end);
            let window = recent.window(one.clone(), age);
            let known = window.offered() > 0;
            // A window does not extend across a mark: samples from before a change say nothing about those after it.
            let restarts = marks.iter().rev().filter(|mark| mark.restarts);
            let begins =
                restarts.into_iter().find(|mark| mark.second < second).map_or(0, |mark| mark.second + 1);
            let percentile = |q: f64| {
                let start = recent.start_for(q, one.end, one.end.saturating_sub(COVERED_S).max(begins));
                match recent.window(start..one.end, age).percentile(q) {
                    Known::Settled(Quantile::Value(time)) if known => Some(milliseconds(time)),
                    _ => None,
                }
            };
            points.offered.push(Some(window.offered() as f64));
            points.good.push(Some(window.good().part as f64));
            points.p50.push(percentile(0.5));
            points.p95.push(percentile(0.95));
            points.in_flight.push(sample.map(|sample| sample.in_flight as f64));
            points.waiting.push(sample.and_then(|sample| sample.limit.map(|_| sample.waiting as f64)));
            let mean = one.end.saturating_sub(MEAN_S).max(begins)..one.end;
            let length = mean.end - mean.start;
            points.lambda_w.push(lambda_w(&recent.window(mean, age), length).ok());
        }
        points
    }

    /// The same after so many points without a value.
    fn after(mut self, missing: usize) -> Self {
        let series = [
            &mut self.offered,
            &mut self.good,
            &mut self.p50,
            &mut self.p95,
            &mut self.in_flight,
            &mut self.lambda_w,
            &mut self.waiting,
        ];
        for values in series {
            values.splice(0..0, std::iter::repeat_n(None, missing));
        }
        self
    }

    /// The values by the names of their lines.
    fn named(self) -> BTreeMap<&'static str, Vec<Option<f64>>> {
        let Self { offered, good, p50, p95, in_flight, lambda_w, waiting } = self;
        [
            ("offered", offered),
            ("good", good),
            ("p50", p50),
            ("p95", p95),
            ("in_flight", in_flight),
            ("lambda_w", lambda_w),
            ("waiting", waiting),
        ]
        .into()
    }

    fn lines(&self, row: Row) -> Vec<Line> {
        let line = |role, values: &Vec<Option<f64>>| Line { role, values: values.clone() };
        match row {
            Row::Good => vec![line(Role::Offered, &self.offered), line(Role::Good, &self.good)],
            Row::Latency => vec![line(Role::Second, &self.p50), line(Role::Plain, &self.p95)],
            Row::InFlight => vec![line(Role::Plain, &self.in_flight), line(Role::Second, &self.lambda_w)],
            Row::Waiting => vec![line(Role::Plain, &self.waiting)],
        }
    }
}
