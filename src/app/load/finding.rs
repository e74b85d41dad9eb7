//! `lab load --find-max`: steps the rate until the interval is narrow enough.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::args::RunArgs;
use super::page;
use crate::app::Ending;
use crate::app::generator::Generator;
use crate::config::Rate;
use crate::load::check::Verdict;
use crate::load::find_max::{Found, Search, step_length};
use crate::load::{Checks, Measured, Pace, Plan, Schedule};
use crate::shutdown::Shutdown;
use crate::web::chart::{Chart, Mark, Series, plain};
use crate::web::report::{Block, Report, Section};

/// Below a request in a hundred seconds nothing is looked for.
const LOWEST_RATE: f64 = 0.01;

/// A step as it is shown.
#[derive(Debug, Serialize)]
struct Line {
    rate: f64,
    seconds: f64,
    verdict: Verdict,
    offered: u64,
    good_rate: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
    fell_behind: bool,
}

#[derive(Debug, Serialize)]
struct Outcome {
    schema: &'static str,
    command: String,
    checks: String,
    found: Found,
    stopped: bool,
    steps: Vec<Line>,
}

pub(super) async fn find(
    args: &RunArgs,
    checks: &Checks,
    slo: Duration,
    generator: &Generator,
    shutdown: &Shutdown,
) -> anyhow::Result<Ending> {
    let results = args.output.open()?;
    let find = &args.find;
    let targets = args.request.targets(&args.urls)?;
    let first = args.arrivals.rate();
    let lowest = Rate::try_from(LOWEST_RATE).unwrap_or(first);
    let mut search = Search::new(first, lowest, find.max_rate, find.precision.get());
    let mut steps = Vec::new();
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
        // Connections of its own: what an overloaded step leaves behind does not meet the next.
        let transport = args.request.transport(&targets, args.request.max_in_flight())?;
        let what = format!("step {}, {} /s ", steps.len() + 1, rate_text(rate.get()));
        let measured = generator.run(plan, transport, &what).await?;
        if measured.interrupted {
            break;
        }
        let verdict = checks.verdict(&measured);
        steps.push(line(rate, length, verdict, &measured));
        search.took(verdict);
    }
    let stopped = shutdown.is_stopping();
    let urls: Vec<String> = args.urls.iter().map(ToString::to_string).collect();
    let outcome = Outcome {
        schema: "lab-load-find-max/1",
        command: format!(
            "lab load {} --find-max '{checks}' {} --precision {}{}{}",
            urls.join(" "),
            args.arrivals.words(),
            find.precision,
            args.request.words(),
            args.objective_words()
        ),
        checks: checks.to_string(),
        found: search.found(),
        stopped,
        steps,
    };
    let results = results
        .json(|| Ok(serde_json::to_string_pretty(&outcome)?))
        .csv(|| csv(&outcome))
        .html(|| html(&outcome));
    let printed = results.print_until_stopped(|| text(&outcome), shutdown).await;
    let failed = stopped || outcome.found.holds.is_none();
    if failed { Ending::Failed } else { Ending::Done }.once_printed(printed, shutdown)
}

fn line(rate: Rate, length: Duration, verdict: Verdict, measured: &Measured) -> Line {
    let ms = |q| measured.recorder.headline().percentile(q).value().map(|value| value.as_secs_f64() * 1e3);
    Line {
        rate: rate.get(),
        seconds: length.as_secs_f64(),
        verdict,
        offered: measured.offered(),
        good_rate: measured.recorder.good(measured.series.slo()).fraction(),
        p95_ms: ms(0.95),
        p99_ms: ms(0.99),
        fell_behind: measured.fell_behind().is_some(),
    }
}

fn rate_text(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.2}") } else { format!("{rate:.1}") }
}

/// The answer in a sentence.
fn answer(outcome: &Outcome) -> String {
    let checks = &outcome.checks;
    let end = if outcome.stopped { " It was stopped before the interval was narrow enough." } else { "" };
    let sentence = match (outcome.found.holds, outcome.found.fails) {
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

fn cells(line: &Line) -> Vec<String> {
    let ms = |ms: Option<f64>| ms.map_or("not known".to_owned(), |ms| format!("{ms:.1} ms"));
    vec![
        rate_text(line.rate),
        format!("{:.0} s", line.seconds),
        line.verdict.to_string(),
        line.offered.to_string(),
        line.good_rate.map_or("none".to_owned(), |good| format!("{:.2} %", good * 100.0)),
        ms(line.p95_ms),
        ms(line.p99_ms),
        if line.fell_behind { "the generator fell behind" } else { "" }.to_owned(),
    ]
}

const HEAD: [&str; 8] = ["rate /s", "length", "verdict", "offered", "good", "p95", "p99", ""];

fn text(outcome: &Outcome) -> String {
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

fn csv(outcome: &Outcome) -> String {
    let mut text = "rate,seconds,verdict,offered,good_rate,p95_ms,p99_ms,fell_behind\n".to_owned();
    let cell = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    for step in &outcome.steps {
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{}",
            step.rate,
            step.seconds,
            step.verdict,
            step.offered,
            cell(step.good_rate),
            cell(step.p95_ms),
            cell(step.p99_ms),
            step.fell_behind
        );
    }
    text
}

fn html(outcome: &Outcome) -> anyhow::Result<String> {
    let mut report = Report::new("What rate can it take?", answer(outcome));
    let points = |read: fn(&Line) -> Option<f64>| {
        let mut points: Vec<(f64, f64)> =
            outcome.steps.iter().map(|step| (step.rate, read(step).unwrap_or(f64::NAN))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let chart = Chart {
        title: "Latency by rate".to_owned(),
        x_label: "arrivals a second".to_owned(),
        y_label: "ms".to_owned(),
        x_text: plain,
        series: vec![
            Series { name: "p95".to_owned(), mark: Mark::Dot, points: points(|step| step.p95_ms) },
            Series { name: "p99".to_owned(), mark: Mark::Dot, points: points(|step| step.p99_ms) },
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
