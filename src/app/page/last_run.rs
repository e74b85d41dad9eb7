//! The last run of the built-in load: what a page keeps of it to show it as a ghost behind the next one.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::figures::Figures;
use super::levers::Setting;
use super::load::Settings;
use super::watch::{Mark, Watch};
use crate::latency::milliseconds;

/// The last run of the built-in load. Its points are those of the charts, from `second` on.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = ChartsRun)]
pub struct LastRun {
    /// When it began, milliseconds since the lab began: no other run has the same.
    pub began_ms: f64,
    /// The second in which that was.
    pub second: u64,
    /// The second in which its last request ended; `null` while it runs.
    #[schema(required)]
    pub ended_second: Option<u64>,
    /// Why there is none: `running`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_second_why: Option<&'static str>,
    /// The load's settings at its start, by name.
    pub load: BTreeMap<String, String>,
    /// The settings at its start as the page shows them, by name.
    #[schema(inline)]
    pub levers: BTreeMap<&'static str, Setting>,
    /// What was moved while it ran.
    pub moved: Vec<Mark>,
    /// Its figures up to now, or at its end.
    pub columns: Vec<RunColumn>,
}

/// The figures of a run in one strategy.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = ChartsRunColumn)]
pub struct RunColumn {
    /// Its endpoint.
    pub path: &'static str,
    /// The figures, by the length of the window in seconds.
    pub windows: BTreeMap<String, Figures>,
}

impl LastRun {
    /// The last run, if there was one.
    pub(super) fn of(watch: &Watch) -> Option<Self> {
        let run = watch.run()?;
        let since_origin = run.began - watch.lab().flow().origin();
        let length = (!watch.load().is_active()).then(|| watch.load().elapsed());
        let ended_second = length.map(|length| (since_origin + length).as_secs());
        let marks = watch.marks();
        let (now_end, age) = watch.end();
        // In its last second it sent only for a part of the second, so that one is left out.
        let end = match ended_second {
            Some(ended) => watch.last_sent().unwrap_or(ended).min(now_end),
            None => now_end,
        };
        let age = age + Duration::from_secs(now_end - end);
        let begins = marks.iter().rev().find(|mark| mark.restarts && mark.second < end);
        let begins = begins.map_or(0, |mark| mark.second + 1);
        let columns = watch.lab().endpoints_now().into_iter().enumerate().filter_map(|(place, status)| {
            Some(RunColumn { path: status.path, windows: watch.windows(place, begins..end, age)? })
        });
        let columns = columns.collect();
        // The start of the run is noticed within a second, and is not a moved lever.
        let first = since_origin.as_secs() + 2;
        let during = |mark: &Mark| {
            mark.restarts && mark.second >= first && ended_second.is_none_or(|ended| mark.second <= ended)
        };
        Some(Self {
            began_ms: milliseconds(since_origin),
            second: since_origin.as_secs(),
            ended_second,
            ended_second_why: ended_second.is_none().then_some("running"),
            load: texts(&run.load),
            levers: run.levers,
            moved: marks.into_iter().filter(during).collect(),
            columns,
        })
    }
}

/// Each setting as a text: a seed has more digits than a number of JavaScript.
fn texts(settings: &Settings) -> BTreeMap<String, String> {
    let values = match serde_json::to_value(settings) {
        Ok(Value::Object(values)) => values,
        _ => serde_json::Map::new(),
    };
    let text = |value: Value| match value {
        Value::String(text) => text,
        Value::Array(parts) => parts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    values.into_iter().map(|(name, value)| (name, text(value))).collect()
}
