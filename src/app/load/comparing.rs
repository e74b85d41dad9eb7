//! `lab load compare A B`: tells whether B is slower than A.

use std::fmt::Write as _;
use std::time::Duration;

use hyper::body::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::args::CompareArgs;
use super::page;
use super::run::usage;
use crate::app::Ending;
use crate::app::generator::Generator;
use crate::config::counted;
use crate::document;
use crate::load::compare::{CompareVerdict, Comparison, Figure, NoFigure, Question, a_first, compare};
use crate::load::http::Target;
use crate::load::{Pace, Plan};
use crate::shutdown::Shutdown;
use crate::web::chart::{Chart, Mark, Series, plain};
use crate::web::report::{Block, Card, HtmlReport, Mood, Section};

/// The result of `lab load compare`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = load::Compared)]
pub(in crate::app) struct CompareReport {
    /// The command that repeats this comparison.
    command: String,
    /// The compared figure.
    figure: Figure,
    /// The tolerated slowdown, as a share.
    margin: f64,
    /// The slowdown to detect, as a share.
    detect: f64,
    /// The confidence level of the interval, 0 to 1.
    confidence: f64,
    /// The comparison; `null` with fewer than two pairs.
    #[schema(required)]
    comparison: Option<Comparison>,
    /// Whether it was stopped before all pairs were measured.
    interrupted: bool,
    /// The pairs, in the order of measurement.
    pairs: Vec<Pair>,
}

document!(CompareReport as "lab/load-compare/1");

/// The figure of both targets.
#[derive(Debug, Serialize, ToSchema)]
struct Pair {
    a_ms: f64,
    b_ms: f64,
}

pub(super) async fn run_comparison(
    args: &CompareArgs,
    slo: Duration,
    generator: &Generator,
    shutdown: &Shutdown,
) -> anyhow::Result<Ending> {
    args.command_line.check_seed(args.arrivals.draws())?;
    let results = args.output.open()?;
    let figure = args.figure;
    if [&args.a, &args.b].into_iter().any(Target::is_weighted) {
        return Err(usage("WEIGHT*URL: a comparison of two targets has no weights"));
    }
    let mut pairs_ms = Vec::new();
    let body = args.request.body()?;
    'pairs: for pair in 0..args.pairs.get() as usize {
        let mut figures = [0.0; 2];
        let order = if a_first(pair) { [0, 1] } else { [1, 0] };
        for place in order {
            let target = [&args.a, &args.b][place];
            let name = ["A", "B"][place];
            let what = format!("pair {} of {}, {name} ", pair + 1, args.pairs);
            let Some(ms) = block(args, (target, &body), pair, slo, &what, generator).await? else {
                break 'pairs;
            };
            figures[place] = ms.map_err(|error| {
                anyhow::anyhow!("pair {}, {name} ({target}): {}: {error}", pair + 1, figure.label())
            })?;
        }
        pairs_ms.push((figures[0], figures[1]));
    }
    if pairs_ms.is_empty() {
        return Ending::without_result(shutdown);
    }
    let question =
        Question { margin: args.margin.get(), detect: args.detect.get(), confidence: args.confidence.get() };
    let outcome = CompareReport {
        command: args.command_line.command("lab load compare"),
        figure,
        margin: question.margin,
        detect: question.detect,
        confidence: question.confidence,
        comparison: compare(&pairs_ms, &question),
        interrupted: shutdown.is_stopping(),
        pairs: pairs_ms.into_iter().map(|(a_ms, b_ms)| Pair { a_ms, b_ms }).collect(),
    };
    let results = results.json(&outcome).csv(|| csv(&outcome)).html(|| html(&outcome));
    let printed = results.print_until_stopped(|| text(&outcome), shutdown).await;
    let ending = match outcome.comparison {
        None | Some(Comparison { answer: CompareVerdict::Regression, .. }) => Ending::Failed,
        Some(_) => Ending::Done,
    };
    ending.once_printed(printed, shutdown)
}

/// Measures one block of one target. Returns its figure, or `None` if it was stopped. Both blocks of a pair have the
/// same arrivals, and each pair has different ones.
async fn block(
    args: &CompareArgs,
    (target, body): (&Target, &Bytes),
    pair: usize,
    slo: Duration,
    what: &str,
    generator: &Generator,
) -> anyhow::Result<Option<Result<f64, NoFigure>>> {
    let mut arrivals = args.arrivals.clone();
    arrivals.seed = arrivals.seed.plus(pair as u64);
    let targets = args.request.targets(std::slice::from_ref(target), body)?;
    let transport = args.request.transport(&targets, args.request.max_in_flight())?;
    let plan = Plan {
        pace: Pace::Open { schedule: arrivals.schedule()?, max_in_flight: args.request.max_in_flight() },
        timeout: args.request.timeout.get(),
        slo,
    };
    let measured = generator.run(plan, transport, what).await?;
    Ok((!measured.interrupted).then(|| args.figure.of(&measured)))
}

fn percent(share: f64) -> String {
    format!("{:+.2} %", share * 100.0)
}

/// The result in a sentence or two.
fn answer(outcome: &CompareReport) -> String {
    let Some(found) = outcome.comparison else {
        return "Fewer than two pairs were measured, so there is no result.".to_owned();
    };
    let margin = outcome.margin * 100.0;
    let verdict = match found.answer {
        CompareVerdict::Regression if outcome.margin > 0.0 => {
            format!("Regression: B is slower by more than {margin} %.")
        }
        CompareVerdict::Regression => "Regression: B is slower.".to_owned(),
        CompareVerdict::Slower => format!("B is slower, but not shown to be slower by more than {margin} %."),
        CompareVerdict::Faster => "B is faster.".to_owned(),
        CompareVerdict::WithinMargin => format!("No difference beyond {margin} %."),
        CompareVerdict::Undecided => "Undecided: the measurement shows no difference.".to_owned(),
    };
    let needed = match found.pairs_needed {
        Some(needed) => {
            format!(
                " With this spread, detecting a slowdown of {} % takes {}.",
                outcome.detect * 100.0,
                counted(needed as u64, "pair", "pairs")
            )
        }
        None => {
            " A slowdown within the margin cannot be detected (--detect is not above --margin).".to_owned()
        }
    };
    format!(
        "{verdict} {} of B against A: {}, {} % interval {} to {}, {}.{needed}{}",
        outcome.figure,
        percent(found.difference),
        outcome.confidence * 100.0,
        percent(found.low),
        percent(found.high),
        counted(found.n as u64, "pair", "pairs"),
        if outcome.interrupted { " The comparison was stopped before all pairs were measured." } else { "" },
    )
}

fn cells((pair, Pair { a_ms: a, b_ms: b }): (usize, &Pair)) -> Vec<String> {
    vec![(pair + 1).to_string(), format!("{a:.3} ms"), format!("{b:.3} ms"), percent(b / a - 1.0)]
}

const HEAD: [&str; 4] = ["pair", "A", "B", "B against A"];

fn text(outcome: &CompareReport) -> String {
    let mut text = format!("$ {}\n{}\n\n", outcome.command, answer(outcome));
    let rows =
        std::iter::once(HEAD.map(str::to_owned).to_vec()).chain(outcome.pairs.iter().enumerate().map(cells));
    for row in rows {
        let [pair, a, b, ratio] = row.as_slice() else { continue };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{pair:>4}  {a:>12}  {b:>12}  {ratio:>11}");
    }
    text
}

fn csv(outcome: &CompareReport) -> String {
    let mut text = "pair,a_ms,b_ms\n".to_owned();
    for (pair, Pair { a_ms: a, b_ms: b }) in outcome.pairs.iter().enumerate() {
        let _ = writeln!(text, "{},{a},{b}", pair + 1);
    }
    text
}

fn html(outcome: &CompareReport) -> anyhow::Result<String> {
    let mut report = HtmlReport::new("Did it get slower?", answer(outcome));
    if let Some(found) = outcome.comparison {
        let mood = match found.answer {
            CompareVerdict::Regression => Mood::Bad,
            CompareVerdict::Faster | CompareVerdict::WithinMargin => Mood::Good,
            CompareVerdict::Slower | CompareVerdict::Undecided => Mood::Plain,
        };
        report.cards = vec![
            Card {
                label: format!("{}, B against A", outcome.figure),
                value: percent(found.difference),
                mood,
            },
            Card {
                label: format!("{} % interval", outcome.confidence * 100.0),
                value: format!("{} to {}", percent(found.low), percent(found.high)),
                mood: Mood::Plain,
            },
        ];
    }
    let points = |read: fn(&Pair) -> f64| {
        outcome.pairs.iter().enumerate().map(|(n, pair)| ((n + 1) as f64, read(pair))).collect()
    };
    let chart = Chart {
        title: format!("{} of each pair", outcome.figure),
        x_label: "pair".to_owned(),
        y_label: "ms".to_owned(),
        x_text: plain,
        series: vec![
            Series { name: "A".to_owned(), mark: Mark::Line, points: points(|pair| pair.a_ms) },
            Series { name: "B".to_owned(), mark: Mark::Line, points: points(|pair| pair.b_ms) },
        ],
        threshold: None,
    };
    let rows = outcome.pairs.iter().enumerate().map(cells).collect();
    let blocks =
        vec![Block::Code(outcome.command.clone()), Block::Chart(chart), page::table("Pairs", &HEAD, rows)];
    report.sections.push(Section { title: "The pairs".to_owned(), blocks });
    Ok(report.html()?)
}
