//! The levers of the page: the settings, each with its range and its text from where the setting is defined. Their labels
//! are those of every text that names a setting.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::Allowed;
use crate::config::Fraction;
use crate::http_lab::{AsyncLimit, DeadlineMs, LimitWaitMs, Settings};
use crate::sim::{Contention, OnCallerGone, Profile};
use crate::web::reading::count;

/// One lever.
#[derive(Debug, Clone)]
pub(super) struct Lever {
    /// The setting's name.
    pub(super) name: &'static str,
    /// What every text calls it.
    pub(super) label: &'static str,
    /// What it does, in a sentence.
    pub(super) about: &'static str,
    /// Its value.
    pub(super) value: String,
    /// What may be set.
    pub(super) allowed: &'static str,
    /// Its control.
    pub(super) kind: Kind,
    /// Why it changes nothing here.
    pub(super) idle: Option<&'static str>,
}

/// A setting as the page shows it.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = ViewSetting)]
pub struct Setting {
    /// What the page calls it.
    pub label: &'static str,
    /// Its value as its field takes it.
    pub value: String,
    /// Its value as it is read, with its unit.
    pub text: String,
}

/// The control of a lever.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// A number with this unit, and a slider.
    Number { min: u64, max: u64, slider_max: u64, step: u64, unit: &'static str },
    /// A choice of these.
    Choice(Vec<&'static str>),
    /// A text, with these as examples.
    Text(Vec<&'static str>),
}

impl Lever {
    /// What a field's `list` names.
    pub(super) fn list(&self) -> String {
        format!("{}-examples", self.name)
    }

    /// Whether the curve of B's service time belongs to it.
    pub(super) fn has_curve(&self) -> bool {
        self.name == "service_b_latency"
    }

    /// Its value as it is read, with its unit.
    pub(super) fn text(&self) -> String {
        match (&self.kind, self.value.parse()) {
            // Here no time is no bound.
            (Kind::Number { min: 0, unit: "ms", .. }, Ok(0)) => "no bound".to_owned(),
            (Kind::Number { unit: "", .. }, Ok(number)) => count(number),
            (Kind::Number { unit, .. }, Ok(number)) => format!("{} {unit}", count(number)),
            _ => self.value.clone(),
        }
    }
}

/// The levers by what they are on.
pub(super) fn of(settings: &Settings, [_, real_b]: [bool; 2]) -> Vec<(&'static str, Vec<Lever>)> {
    let real = real_b.then_some("Service B is a real one (SERVICE_B_URL): what it does is not set here.");
    let b = |name, label, about, value: String, allowed, kind| Lever {
        name,
        label,
        about,
        value,
        allowed,
        kind,
        idle: real,
    };
    let own = |name, label, about, value: String, allowed, kind| Lever {
        name,
        label,
        about,
        value,
        allowed,
        kind,
        idle: None,
    };
    let milliseconds = |min, max, slider_max, step| Kind::Number { min, max, slider_max, step, unit: "ms" };
    vec![
        (
            "Service B",
            vec![
                b(
                    "service_b_latency",
                    "B's service time",
                    "The time that a call takes when B is not slowed down: a distribution.",
                    settings.service_b_latency.to_string(),
                    Profile::ALLOWED,
                    Kind::Text(vec![
                        "uniform:300,1200",
                        "constant:750",
                        "exponential:750",
                        "lognormal:650,0.5",
                        "bimodal:300,3000,0.1",
                    ]),
                ),
                b(
                    "service_b_error_rate",
                    "B's error rate",
                    "The share of calls that fail.",
                    settings.service_b_error_rate.to_string(),
                    Fraction::ALLOWED,
                    Kind::Text(vec!["0%", "5%", "20%"]),
                ),
                b(
                    "service_b_contention",
                    "B's contention",
                    "What B's calls share: nothing, so many servers, or what makes each call slower with the others.",
                    settings.service_b_contention.to_string(),
                    Contention::ALLOWED,
                    Kind::Text(vec!["off", "pool:32", "pool:20,100", "usl:0.05,0.001"]),
                ),
                b(
                    "service_b_on_caller_gone",
                    "B, when the caller has left",
                    "What B does with a call that nobody waits for any more.",
                    settings.service_b_on_caller_gone.to_string(),
                    OnCallerGone::ALLOWED,
                    Kind::Choice(OnCallerGone::ALL.map(OnCallerGone::label).to_vec()),
                ),
            ],
        ),
        (
            "Strategies",
            vec![
                own(
                    "async_limit",
                    "limit of /async-limited",
                    "The calls to B that it has in progress at most.",
                    settings.async_limit.to_string(),
                    AsyncLimit::ALLOWED,
                    Kind::Number {
                        min: AsyncLimit::MIN.into(),
                        max: AsyncLimit::MAX.into(),
                        slider_max: 100,
                        step: 1,
                        unit: "",
                    },
                ),
                own(
                    "async_limit_max_wait_ms",
                    "longest wait for the limit",
                    "A request that has waited longer is shed; with 0 it waits without a bound.",
                    settings.async_limit_max_wait_ms.ms().to_string(),
                    LimitWaitMs::ALLOWED,
                    milliseconds(LimitWaitMs::MIN_MS, LimitWaitMs::MAX_MS, 5_000, 10),
                ),
                own(
                    "async_timeout_ms",
                    "deadline of /async-timeout",
                    "A request that has taken longer is answered with 504.",
                    settings.async_timeout_ms.ms().to_string(),
                    DeadlineMs::ALLOWED,
                    milliseconds(DeadlineMs::MIN_MS, DeadlineMs::MAX_MS, 5_000, 10),
                ),
            ],
        ),
    ]
}

/// All settings by name, also those of service A, which have no lever.
pub(super) fn settings(settings: &Settings) -> BTreeMap<&'static str, Setting> {
    let levers = of(settings, [false; 2]).into_iter().flat_map(|(_, levers)| levers);
    let shown = levers
        .map(|lever| (lever.name, Setting { label: lever.label, text: lever.text(), value: lever.value }));
    let of_a = [
        ("service_a_latency", "A's service time", settings.service_a_latency.to_string()),
        ("service_a_error_rate", "A's error rate", settings.service_a_error_rate.to_string()),
    ];
    let of_a = of_a.map(|(name, label, value)| (name, Setting { label, text: value.clone(), value }));
    shown.chain(of_a).collect()
}
