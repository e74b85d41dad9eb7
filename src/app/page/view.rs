//! The page's figures: each strategy's results, over windows that end now or with the last load.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::expected::Expected;
use super::figures::Figures;
use super::levers::Setting;
use super::load;
use super::watch::{Mark, Watch};
use crate::document;
use crate::http_lab::TriggerStatus;
use crate::latency::milliseconds;
use crate::web::Runnable as _;

/// What the first page shows.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct View {
    /// The second after the last that the figures cover, since the lab began.
    pub second: u64,
    /// Now, milliseconds since the lab began.
    pub at_ms: f64,
    /// The time since the end of that second: an unfinished request that the figures cover is at least this old.
    pub age_ms: f64,
    /// An answer of 200 within this is good.
    pub slo_ms: u64,
    /// Whether all strategies call the same services.
    pub shared_services: bool,
    /// Whether service A is a real one.
    pub real_a: bool,
    /// Whether service B is a real one.
    pub real_b: bool,
    /// The settings as the page shows them, by name.
    #[schema(inline)]
    pub levers: BTreeMap<&'static str, Setting>,
    /// The trigger that slows B down for a while.
    #[schema(inline)]
    pub trigger: TriggerStatus,
    /// The load that this server sends itself.
    pub load: load::Status,
    /// When a lever was moved last: windows begin after it; `null` until one is.
    #[schema(required)]
    pub moved: Option<Mark>,
    /// Whether the figures are those of a load that ended `age_ms` ago, and nothing has come since.
    pub ended: bool,
    /// A column for each strategy.
    pub columns: Vec<Column>,
}

document!(View as "lab/view/1");

/// One strategy.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = ViewColumn)]
pub struct Column {
    /// Its endpoint.
    pub path: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Requests in flight now.
    pub in_flight: u64,
    /// Its limit, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<ColumnLimit>,
    /// Calls that a service ended although their caller had gone, since the lab began; `null` where services are shared
    /// or run behind a URL.
    #[schema(required)]
    pub orphaned: Option<u64>,
    /// Why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphaned_why: Option<&'static str>,
    /// What theory predicts with the levers as they are.
    pub expected: Vec<Expected>,
    /// The figures, by the length of the window in seconds.
    pub windows: BTreeMap<String, Figures>,
}

/// The limit of a strategy.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
#[schema(as = ViewLimit)]
pub struct ColumnLimit {
    /// Calls to B that it lets through at a time.
    pub calls: u64,
    /// Requests that wait for it now.
    pub waiting: u64,
}

impl View {
    /// What the page shows now.
    pub fn of(watch: &Watch) -> Self {
        let (lab, load) = (watch.lab(), watch.load());
        let (now_end, age) = watch.end();
        let marks = watch.marks();
        let moved = marks.iter().rev().find(|mark| mark.restarts).cloned();
        // After a load its last figures stay until something else comes.
        let ended = marks
            .last()
            .filter(|mark| !mark.restarts && mark.second < now_end && watch.is_quiet_since(mark.second));
        // In its last second the load sent only for a part of the second, so that one is left out.
        let end = ended.map_or(now_end, |mark| watch.last_sent().unwrap_or(mark.second).min(mark.second));
        let age = age + Duration::from_secs(now_end - end);
        let begins = moved.as_ref().map_or(0, |mark| mark.second + 1);
        let [real_a, real_b] = lab.real_services();
        let expected = watch.expected();
        let columns = lab.endpoints_now().into_iter().enumerate().filter_map(|(place, status)| {
            let orphaned_why = match status.orphaned {
                Some(_) => None,
                None if lab.shares_services() => Some("shared"),
                None => Some("service_behind_url"),
            };
            Some(Column {
                path: status.path,
                about: status.about,
                in_flight: status.in_flight,
                limit: status
                    .limit
                    .map(|calls| ColumnLimit { calls: calls as u64, waiting: status.waiting as u64 }),
                orphaned: status.orphaned,
                orphaned_why,
                expected: expected.get(place).cloned().unwrap_or_default(),
                windows: watch.windows(place, begins..end, age)?,
            })
        });
        let columns = columns.collect();
        Self {
            second: end,
            at_ms: milliseconds(lab.flow().origin().elapsed()),
            age_ms: milliseconds(age),
            slo_ms: watch.slo().as_millis() as u64,
            shared_services: lab.shares_services(),
            real_a,
            real_b,
            levers: watch.settings(),
            trigger: lab.trigger_status(),
            load: load.status(),
            moved,
            ended: ended.is_some(),
            columns,
        }
    }
}
