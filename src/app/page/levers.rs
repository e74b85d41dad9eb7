//! The levers of the page: the settings, each with its range and its text from where the setting is defined.

use crate::config::Allowed;
use crate::config::Fraction;
use crate::http_lab::{AsyncLimit, DeadlineMs, LimitWaitMs, Settings};
use crate::sim::{Contention, OnCallerGone, Profile};

/// One lever.
#[derive(Debug, Clone)]
pub(super) struct Lever {
    /// The setting's name.
    pub(super) name: &'static str,
    /// Its label on the page.
    pub(super) label: &'static str,
    /// Its value.
    pub(super) value: String,
    /// What may be set.
    pub(super) allowed: &'static str,
    /// Its control.
    pub(super) kind: Kind,
    /// Why it changes nothing here.
    pub(super) idle: Option<&'static str>,
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
}

/// The levers by what they are on.
pub(super) fn of(settings: &Settings, [_, real_b]: [bool; 2]) -> Vec<(&'static str, Vec<Lever>)> {
    let real = real_b.then_some("service B is a real one (SERVICE_B_URL): what it does is not set here");
    let b =
        |name, label, value: String, allowed, kind| Lever { name, label, value, allowed, kind, idle: real };
    let own =
        |name, label, value: String, allowed, kind| Lever { name, label, value, allowed, kind, idle: None };
    let milliseconds = |min, max, slider_max, step| Kind::Number { min, max, slider_max, step, unit: "ms" };
    vec![
        (
            "Service B",
            vec![
                b(
                    "service_b_latency",
                    "how long it takes",
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
                    "share of calls that fail",
                    settings.service_b_error_rate.to_string(),
                    Fraction::ALLOWED,
                    Kind::Text(vec!["0%", "5%", "20%"]),
                ),
                b(
                    "service_b_contention",
                    "what it can do at a time",
                    settings.service_b_contention.to_string(),
                    Contention::ALLOWED,
                    Kind::Text(vec!["off", "pool:32", "pool:20,100", "usl:0.05,0.001"]),
                ),
                b(
                    "service_b_on_caller_gone",
                    "when its caller has left",
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
                    "calls to B at a time, /async-limited",
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
                    "longest wait for it; 0: no bound",
                    settings.async_limit_max_wait_ms.ms().to_string(),
                    LimitWaitMs::ALLOWED,
                    milliseconds(LimitWaitMs::MIN_MS, LimitWaitMs::MAX_MS, 5_000, 10),
                ),
                own(
                    "async_timeout_ms",
                    "deadline of /async-timeout",
                    settings.async_timeout_ms.ms().to_string(),
                    DeadlineMs::ALLOWED,
                    milliseconds(DeadlineMs::MIN_MS, DeadlineMs::MAX_MS, 5_000, 10),
                ),
            ],
        ),
    ]
}
