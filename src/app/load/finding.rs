//! `lab load --find-max`: searches for the highest rate at which the checks hold.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::args::RunArgs;
use super::lost;
use super::page;
use crate::app::Ending;
use crate::app::generator::Generator;
use crate::config::Rate;
use crate::document;
use crate::latency::{Good, Percentiles, Quantile, milliseconds};
use crate::load::Verdict;
use crate::load::find_max::{Found, Search, step_length};
use crate::load::{Checks, Measured, Pace, Plan, Schedule};
use crate::shutdown::Shutdown;
use crate::web::chart::{Chart, Mark, Series, plain};
use crate::web::report::{Block, HtmlReport, Section};

/// The lowest rate to try: one request in a hundred seconds.
const LOWEST_RATE: f64 = 0.01;

/// The search ends after this many consecutive steps without a response.
const SILENT_STEPS_LIMIT: u32 = 3;

/// One step of the search.
#[derive(Debug, Serialize, ToSchema)]
struct Step {
    /// Arrivals per second.
    rate_per_second: f64,
    /// How long it took.
    length_ms: f64,
    /// Whether the checks hold.
    verdict: Verdict,
    offered: u64,
    #[serde(flatten)]
    good: Good,
    /// Latency of all offered requests, from the intended start.
    latency: Percentiles,
    /// Whether the generator itself was late.
    fell_behind: bool,
}

/// The interval in which the highest rate lies.
#[derive(Debug, Serialize, ToSchema)]
struct Interval {
    /// The highest rate at which the checks held.
    #[schema(required)]
    holds_per_second: Option<f64>,
    /// Why `holds_per_second` is `null`: `no_step_held`.
    #[serde(skip_serializing_if = "Option::is_none")]
    holds_why: Option<&'static str>,
    /// The lowest rate above it at which they failed.
    #[schema(required)]
    fails_per_second: Option<f64>,
    /// Why `fails_per_second` is `null`: `no_step_failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    fails_why: Option<&'static str>,
}

impl From<Found> for Interval {
    fn from(Found { holds, fails }: Found) -> Self {
        Self {
            holds_per_second: holds,
            holds_why: holds.is_none().then_some("no_step_held"),
            fails_per_second: fails,
            fails_why: fails.is_none().then_some("no_step_failed"),
        }
    }
}

/// The result of `lab load --find-max`: the highest rate at which the checks hold.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = load::Highest)]
pub(in crate::app) struct FindMaxReport {
    /// The command that repeats this search.
    command: String,
    /// The checks.
    find_max: String,
    found: Interval,
    /// Whether the search was stopped before the interval was narrow enough.
    interrupted: bool,
    /// Why the search gave up, if no other rate could succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    gave_up: Option<String>,
    steps: Vec<Step>,
}

document!(FindMaxReport as "lab/load-find-max/1");

pub(super) async fn find(
    args: &RunArgs,
    checks: &Checks,
    slo: Duration,
    generator: &Generator,
    shutdown: &Shutdown,
) -> anyhow::Result<Ending> {
    let results = args.output.open()?;
    let find = &args.find;
    let targets = args.request.targets(&args.urls, &args.request.body()?)?;
    let first = args.arrivals.rate();
    let lowest = Rate::try_from(LOWEST_RATE).unwrap_or(first);
    let mut search = Search::new(first, lowest, find.max_rate, find.precision.get());
    let mut steps = Vec::new();
    let (mut gave_up, mut silent_steps) = (None, 0);
    while let Some(rate) = search.next() {
        let length = step_length(checks, rate, slo, find.precision.get(), args.arrivals.length.get());
        let plan = Plan {
            pace: Pace::Open {
                schedule: Schedule::hold(rate, length, args.arrivals.spacing()),
                max_in_flight: args.request.max_in_flight(),
            },
            timeout: args.request.timeout.get(),
            slo,
        };
        // Each step has its own connections, so that an overloaded step does not slow down the next one.
        let transport = args.request.transport(&targets, args.request.max_in_flight())?;
        let what = format!("step {}, {} /s ", steps.len() + 1, rate_text(rate.get()));
        let measured = generator.run(plan, Arc::clone(&transport), &what).await?;
        if shutdown.is_stopping() {
            break;
        }
        let verdict = checks.verdict(&measured);
        steps.push(step(rate, length, verdict, &measured));
        silent_steps = if measured.answered() == 0 { silent_steps + 1 } else { 0 };
        if verdict != Verdict::Held && (lost::is_hopeless(&measured) || silent_steps == SILENT_STEPS_LIMIT) {
            gave_up = lost::nothing_good(&measured, &transport.reasons());
            break;
        }
        search.record(verdict);
    }
    let interrupted = shutdown.is_stopping();
    if interrupted && steps.is_empty() {
        return Ending::without_result(shutdown);
    }
    let outcome = FindMaxReport {
        command: args.command_line.command("lab load"),
        find_max: checks.to_string(),
        found: search.found().into(),
        interrupted,
        gave_up,
        steps,
    };
    let results = results.json(&outcome).csv(|| csv(&outcome)).html(|| html(&outcome));
    let printed = results.print_until_stopped(|| text(&outcome), shutdown).await;
    let failed = interrupted || outcome.gave_up.is_some() || outcome.found.holds_per_second.is_none();
    if failed { Ending::Failed } else { Ending::Done }.once_printed(printed, shutdown)
}

fn step(rate: Rate, length: Duration, verdict: Verdict, measured: &Measured) -> Step {
    Step {
        rate_per_second: rate.get(),
        length_ms: milliseconds(length),
        verdict,
        offered: measured.offered(),
        good: measured.recorder.good(measured.series.slo()).into(),
        latency: measured.recorder.headline().into(),
        fell_behind: measured.fell_behind().is_some(),
    }
}

fn rate_text(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.2}") } else { format!("{rate:.1}") }
}

/// The result in a sentence.
fn answer(outcome: &FindMaxReport) -> String {
    if let Some(reason) = &outcome.gave_up {
        return format!("No rate was found. {reason}");
    }
    let checks = &outcome.find_max;
    let end = if outcome.interrupted {
        " The search was stopped before the interval was narrow enough."
    } else {
        ""
    };
    let sentence = match (outcome.found.holds_per_second, outcome.found.fails_per_second) {
        (Some(holds), Some(fails)) => format!(
            "The highest rate at which {checks} holds is between {} /s (holds) and {} /s (fails).",
            rate_text(holds),
            rate_text(fails)
        ),
        (Some(holds), None) => {
            format!("{checks} holds at {} /s, the highest rate that was tried.", rate_text(holds))
        }
        (None, Some(fails)) => {
            format!("{checks} fails even at {} /s, the lowest rate that was tried.", rate_text(fails))
        }
        (None, None) => format!("No step decided whether {checks} holds."),
    };
    sentence + end
}

fn cells(step: &Step) -> Vec<String> {
    let ms = |quantile: Quantile| match quantile.ms() {
        Some(ms) => format!("{ms:.1} ms"),
        None => quantile.to_string(),
    };
    vec![
        rate_text(step.rate_per_second),
        format!("{:.0} s", step.length_ms / 1e3),
        step.verdict.to_string(),
        step.offered.to_string(),
        step.good.good_rate.map_or("none".to_owned(), |good| format!("{:.2} %", good * 100.0)),
        ms(step.latency.p95),
        ms(step.latency.p99),
        if step.fell_behind { "the generator fell behind" } else { "" }.to_owned(),
    ]
}

const HEAD: [&str; 8] = ["rate /s", "length", "verdict", "offered", "good", "p95", "p99", ""];

fn text(outcome: &FindMaxReport) -> String {
    let mut text = format!("$ {}\n{}\n\n", outcome.command, answer(outcome));
    let rows = std::iter::once(HEAD.map(str::to_owned).to_vec()).chain(outcome.steps.iter().map(cells));
    for row in rows {
        let [rate, length, verdict, offered, good, p95, p99, note] = row.as_slice() else { continue };
        let line = format!(
            "{rate:>10}  {length:>7}  {verdict:<9}  {offered:>9}  {good:>9}  {p95:>10}  {p99:>10}  {note}"
        );
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn csv(outcome: &FindMaxReport) -> String {
    let mut text =
        "rate_per_second,length_ms,verdict,offered,good_rate,p95_ms,p99_ms,fell_behind\n".to_owned();
    let cell = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    for step in &outcome.steps {
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{}",
            step.rate_per_second,
            step.length_ms,
            step.verdict,
            step.offered,
            cell(step.good.good_rate),
            cell(step.latency.p95.ms()),
            cell(step.latency.p99.ms()),
            step.fell_behind
        );
    }
    text
}

fn html(outcome: &FindMaxReport) -> anyhow::Result<String> {
    let mut report = HtmlReport::new("What rate can it take?", answer(outcome));
    let points = |read: fn(&Percentiles) -> Quantile| {
        let mut points: Vec<(f64, f64)> = outcome
            .steps
            .iter()
            .map(|step| (step.rate_per_second, read(&step.latency).ms().unwrap_or(f64::NAN)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let chart = Chart {
        title: "Latency by rate".to_owned(),
        x_label: "arrivals per second".to_owned(),
        y_label: "ms".to_owned(),
        x_text: plain,
        series: vec![
            Series { name: "p95".to_owned(), mark: Mark::Dot, points: points(|latency| latency.p95) },
            Series { name: "p99".to_owned(), mark: Mark::Dot, points: points(|latency| latency.p99) },
        ],
        threshold: None,
    };
    let rows = outcome.steps.iter().map(cells).collect();
    let blocks = vec![
        Block::Code(outcome.command.clone()),
        Block::Chart(chart),
        page::table("Steps, in order", &HEAD, rows),
    ];
    report.sections.push(Section { title: "The search".to_owned(), blocks });
    Ok(report.html()?)
}
