//! The last five minutes as strips, side by side and on shared axes, with the points that they are drawn from.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde::Serialize;

use super::expected::Name;
use super::figures::lambda_w;
use super::watch::{Mark, Recents, Watch};
use crate::choice;
use crate::document;
use crate::http_lab::EndpointStatus;
use crate::latency::{Known, Quantile, milliseconds};
use crate::web::strip::{Line, Role, Strip, round_top};

/// How far back they reach.
const SECONDS: u64 = 300;
/// The most seconds that a point covers.
const COVERED_S: u64 = 60;
/// Seconds that a mean covers.
const MEAN_S: u64 = 10;

choice! {
    /// A row of strips.
    pub enum Row {
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
    const fn of_theory(self) -> &'static [Name] {
        match self {
            Self::Good => &[],
            Self::Latency => &[Name::P50, Name::P95],
            Self::InFlight => &[Name::InFlight],
            Self::Waiting => &[Name::Waiting],
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
    pub rows: Vec<RowShown>,
    /// A column for each strategy.
    pub columns: Vec<ColumnShown>,
    /// Where levers were moved.
    pub marks: Vec<Mark>,
}

document!(Charts as "lab/charts/1");

/// A row of strips, on the same axis.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = ChartsRow)]
pub struct RowShown {
    /// Its name.
    pub name: Row,
    /// What it shows.
    pub title: &'static str,
    /// The unit of its axis.
    pub unit: &'static str,
    /// The value at the upper edge; the lower one is 0.
    pub top: f64,
}

/// The strips of a strategy.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = ChartsColumn)]
pub struct ColumnShown {
    /// Its endpoint.
    pub path: &'static str,
    /// The values, from the left edge to the right one.
    pub points: Points,
    /// The strips as SVG, by row.
    pub strips: BTreeMap<&'static str, String>,
}

/// The values of a strategy, a point each; where there is none, nothing is known or nothing was offered.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
#[schema(as = ChartsPoints)]
pub struct Points {
    /// Requests offered a second.
    pub offered: Vec<Option<f64>>,
    /// Good answers a second.
    pub good: Vec<Option<f64>>,
    /// The p50 over all offered in milliseconds.
    pub p50: Vec<Option<f64>>,
    /// The p95 over all offered in milliseconds.
    pub p95: Vec<Option<f64>>,
    /// Requests in flight.
    pub in_flight: Vec<Option<f64>>,
    /// Arrivals a second times the mean time in the system.
    pub lambda_w: Vec<Option<f64>>,
    /// Requests that wait for a limit.
    pub waiting: Vec<Option<f64>>,
}

impl Charts {
    /// The charts now.
    pub(super) fn of(watch: &Watch) -> Self {
        let (end, age) = watch.end();
        let seconds = end.saturating_sub(SECONDS)..end;
        // Before the lab began nothing was: the axis is as long all the same.
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
        let rows: Vec<RowShown> = Row::ALL
            .into_iter()
            .map(|row| {
                let values =
                    columns.iter().flat_map(|(.., points)| points.lines(row)).flat_map(|line| line.values);
                let level = (row == Row::Latency).then_some(slo_ms);
                let top = round_top(values.flatten().chain(level));
                RowShown { name: row, title: row.title(), unit: row.unit(), top }
            })
            .collect();
        let columns = columns
            .into_iter()
            .map(|(path, place, points)| {
                let theory = expected.get(place).map_or(&[][..], Vec::as_slice);
                // Drawn over the seconds that it is about.
                let length = points.offered.len();
                let about = usize::try_from(end.saturating_sub(begins)).unwrap_or_default().min(length);
                let level = |value: f64| {
                    std::iter::repeat_n(None, length - about)
                        .chain(std::iter::repeat_n(Some(value), about))
                        .collect()
                };
                let strips = rows
                    .iter()
                    .map(|row| {
                        let mut lines = points.lines(row.name);
                        if row.name == Row::Latency {
                            let level = vec![Some(slo_ms); points.offered.len()];
                            lines.push(Line { role: Role::Level, values: level });
                        }
                        let told = theory.iter().filter(|line| row.name.of_theory().contains(&line.name));
                        lines.extend(told.filter_map(|line| {
                            Some(Line { role: Role::Theory, values: level(line.value?) })
                        }));
                        let title = format!("{} of {path}, the last five minutes", row.title);
                        (row.name.label(), Strip { title, top: row.top, lines }.svg())
                    })
                    .collect();
                ColumnShown { path, points, strips }
            })
            .collect();
        let shown = |mark: &Mark| mark.second >= seconds.start;
        let marks = marks.into_iter().filter(shown).collect();
        Self { second: end, seconds_a_point: 1, rows, columns, marks }
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
            // A window reaches over no mark: what was before a lever was moved says nothing of what is after.
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
