//! Five stories: each sets the levers and sends a load, asks for a prediction first, and says afterwards what was
//! measured.
//!
//! A story is a list of scenes: settings, and a load that is sent to its end. The answer to its question is decided by what
//! was measured, never by what was expected.

use std::time::Duration;

use serde_json::{Value, json};

use super::figures::Figures;
use crate::choice;
use crate::config::Invalid;

choice! {
    /// The name of a story.
    pub enum StoryName {
        /// In sequence or in parallel.
        Parallel = "parallel",
        /// Unbounded against a B with a capacity.
        Unbounded = "unbounded",
        /// What a limit carries.
        Limit = "limit",
        /// A deadline, and what goes on when nothing is cancelled.
        Deadline = "deadline",
        /// A bound on the wait that is too long.
        Wait = "wait",
    }
}

/// A story: its text, its question and its scenes.
#[derive(Debug, Clone)]
pub(super) struct Story {
    pub(super) name: StoryName,
    pub(super) title: &'static str,
    /// Three sentences.
    pub(super) text: [&'static str; 3],
    pub(super) question: &'static str,
    pub(super) choices: &'static [&'static str],
    pub(super) scenes: Vec<Scene>,
    /// The choice that the measurement makes right, and a sentence about it; `None` where too little was measured.
    pub(super) answer: fn(&[Measured]) -> Option<(usize, String)>,
}

/// A part of a story.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    /// Settings, as `PATCH /settings` takes them.
    pub(super) settings: Value,
    /// The load, as `POST /load/start` takes it.
    pub(super) load: Value,
}

/// What was measured in a scene, of one strategy.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    pub(super) scene: usize,
    pub(super) path: &'static str,
    /// Over the whole scene.
    pub(super) all: Figures,
    /// Over its last ten seconds.
    pub(super) last: Figures,
    /// Requests that were offered, including those of the first and the last second.
    pub(super) offered: u64,
    /// Their calls that a service finished after the caller had gone.
    pub(super) orphaned: Option<u64>,
}

impl Story {
    /// How long it takes at least, in whole seconds.
    pub(super) fn seconds(&self) -> u64 {
        self.length().unwrap_or_default().as_secs()
    }

    /// How long it takes at least.
    ///
    /// # Errors
    /// When a scene's load has no length, which a test would notice.
    pub(super) fn length(&self) -> Result<Duration, Invalid> {
        let lengths = self.scenes.iter().map(|scene| {
            let ms = scene.load["length_ms"].as_u64();
            ms.map(Duration::from_millis).ok_or_else(|| Invalid::new(&scene.load, "a load with length_ms"))
        });
        lengths.sum()
    }
}

/// B as the lab's documents describe it, without failures and with nothing that its calls share.
fn at_rest() -> Value {
    json!({
        "service_a_latency": "uniform:50,150", "service_a_error_rate": 0,
        "service_b_latency": "uniform:300,1200", "service_b_error_rate": 0,
        "service_b_contention": "off", "service_b_on_caller_gone": "abort",
        "async_limit": 32, "async_limit_max_wait_ms": 1000, "async_timeout_ms": 1000
    })
}

fn scene(settings: Value, load: Value) -> Scene {
    let mut all = at_rest();
    if let (Some(all), Some(settings)) = (all.as_object_mut(), settings.as_object()) {
        all.extend(settings.clone());
    }
    Scene { settings: all, load }
}

fn of<'a>(measured: &'a [Measured], scene: usize, path: &str) -> Option<&'a Measured> {
    measured.iter().find(|one| one.scene == scene && one.path == path)
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// All stories, in the page's order.
pub(super) fn all() -> Vec<Story> {
    vec![
        Story {
            name: StoryName::Parallel,
            title: "In sequence or in parallel",
            text: [
                "/sync calls A and then B; /async calls both at once and waits for the slower.",
                "Both are sent the same 30 requests a second, which A and B serve with ease.",
                "A request takes 0.85 s in sequence and 0.75 s in parallel, on average.",
            ],
            question: "Which of them has more requests in flight on average?",
            choices: &["/sync", "/async, as it makes two calls at a time", "both the same, within 3 %"],
            scenes: vec![scene(
                json!({}),
                json!({"strategies": ["/sync", "/async"], "rate": "30/s", "arrivals": "poisson", "burst": 0, "length_ms": 20_000}),
            )],
            answer: |measured| {
                let sync = of(measured, 0, "/sync")?.all.lambda_w?;
                let parallel = of(measured, 0, "/async")?.all.lambda_w?;
                let place = if (sync / parallel - 1.0).abs() < 0.03 { 2 } else { usize::from(sync < parallel) };
                let text = format!(
                    "/sync held {sync:.1} requests on average and /async {parallel:.1}, at the same 30 requests a second: a \
                     request that takes longer stays longer (Little's law, L = λW)."
                );
                Some((place, text))
            },
        },
        Story {
            name: StoryName::Unbounded,
            title: "Without a bound, and after a burst",
            text: [
                "B serves 32 calls at a time now, so it carries 42.7 requests a second, and 38 a second come.",
                "After 20 seconds 150 more come at once.",
                "/async lets all of them wait inside B; /async-limited refuses a request that has waited 300 ms.",
            ],
            question: "From 10 to 20 seconds after the burst: how many of /async's requests are good?",
            choices: &["nine of ten or more, as before", "more than half", "less than half"],
            scenes: vec![scene(
                json!({"service_b_contention": "pool:32", "async_limit_max_wait_ms": 300}),
                json!({
                    "strategies": ["/async", "/async-limited"], "rate": "38/s", "arrivals": "poisson",
                    "burst": 150, "burst_every_ms": 20_000, "length_ms": 40_000
                }),
            )],
            answer: |measured| {
                let unbounded = of(measured, 0, "/async")?.last.good.good_rate?;
                let limited = of(measured, 0, "/async-limited")?.last.good.good_rate?;
                let place = if unbounded >= 0.9 { 0 } else { usize::from(unbounded < 0.5) + 1 };
                let text = format!(
                    "In the last ten seconds {} of /async's requests were good and {} of /async-limited's: B has 4.7 calls a \
                     second to spare, so a backlog of 150 lasts half a minute, and until then every request waits behind it.",
                    percent(unbounded),
                    percent(limited)
                );
                Some((place, text))
            },
        },
        Story {
            name: StoryName::Limit,
            title: "A limit is a rate",
            text: [
                "/async-limited lets 20 calls to B through at a time, and B takes 750 ms on average.",
                "30 requests a second come, and each waits one second at most.",
                "A request that has waited longer is refused.",
            ],
            question: "How many of the requests are refused?",
            choices: &["next to none", "about one of ten", "one of five or more"],
            scenes: vec![scene(
                json!({"async_limit": 20}),
                json!({"strategies": ["/async-limited"], "rate": "30/s", "arrivals": "poisson", "burst": 0, "length_ms": 30_000}),
            )],
            answer: |measured| {
                let limited = of(measured, 0, "/async-limited")?;
                let (all, good) = (&limited.all, limited.all.good.good_rate?);
                let shed = all.shed as f64 / all.offered as f64;
                let place = if shed < 0.03 { 0 } else { usize::from(shed > 0.2) + 1 };
                let text = format!(
                    "{} of the requests were refused and {} were good: a limit of 20 carries \
                     20 / 0.75 s = 26.7 a second, so at 30 a second a queue builds up: some are refused after a second, and many of the others \
                     have waited so long that their answer comes too late to be good.",
                    percent(shed),
                    percent(good)
                );
                Some((place, text))
            },
        },
        Story {
            name: StoryName::Deadline,
            title: "A deadline makes nothing faster",
            text: [
                "/async-timeout gives up after 600 ms, and B takes 300 to 1200 ms.",
                "B does not notice that its caller has gone: it works on.",
                "30 requests a second come.",
            ],
            question: "How many of B's calls end with nobody waiting for them?",
            choices: &["fewer than one of seven", "about a third", "more than half"],
            scenes: vec![scene(
                json!({"async_timeout_ms": 600, "service_b_on_caller_gone": "continue"}),
                json!({"strategies": ["/async-timeout"], "rate": "30/s", "arrivals": "poisson", "burst": 0, "length_ms": 20_000}),
            )],
            answer: |measured| {
                let timed = of(measured, 0, "/async-timeout")?;
                let share = timed.orphaned? as f64 / timed.offered as f64;
                let late = timed.all.deadline as f64 / timed.all.offered as f64;
                let place = if share < 0.15 { 0 } else { usize::from(share > 0.5) + 1 };
                let text = format!(
                    "{} of the requests were given up after 600 ms, and B finished {} of its calls with nobody waiting for \
                     them: the deadline ended the waiting, not the work.",
                    percent(late),
                    percent(share)
                );
                Some((place, text))
            },
        },
        Story {
            name: StoryName::Wait,
            title: "Waiting too long helps nobody",
            text: [
                "48 requests a second come to /async-limited, whose limit of 32 carries 42.7.",
                "For 25 seconds each may wait one second for its turn, then for 25 seconds only 350 ms.",
                "B takes up to 1.2 s, and an answer is good within 1.5 s (unless LAB_SLO_MS is set).",
            ],
            question: "With the shorter wait more are refused. What becomes of the share of all requests that is good?",
            choices: &["it falls", "it stays the same, within a quarter", "it rises by more than a quarter"],
            scenes: ["1s", "350ms"]
                .map(|wait| {
                    scene(
                        json!({"async_limit_max_wait_ms": wait}),
                        json!({"strategies": ["/async-limited"], "rate": "48/s", "arrivals": "poisson", "burst": 0, "length_ms": 25_000}),
                    )
                })
                .into(),
            answer: |measured| {
                let long = of(measured, 0, "/async-limited")?.last.good.good_rate?;
                let short = of(measured, 1, "/async-limited")?.last.good.good_rate?;
                let place = if short < long * 0.75 { 0 } else { usize::from(short > long * 1.25) + 1 };
                let text = format!(
                    "In the last ten seconds of each half {} of all requests were good with a wait of up to 1 s, and {} with \
                     350 ms: a request that has waited long is answered too late, and holds a permit that another could \
                     have used in time.",
                    percent(long),
                    percent(short)
                );
                Some((place, text))
            },
        },
    ]
}
