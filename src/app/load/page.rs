//! The HTML report of a run.

use super::document::Document;
use super::lost;
use super::table::{self, Row};
use crate::latency::{DurationText, Histogram, Quantile};
use crate::load::{Measured, Second, Verdict};
use crate::web::chart::{Chart, Mark, Series, Threshold, plain};
use crate::web::report::{Block, Card, HtmlReport, Mood, Section, Table};

/// The report of one run.
pub(super) fn html(document: &Document) -> anyhow::Result<String> {
    let measured = &document.measured;
    let mut report = HtmlReport::new("Load", table::offered(measured));
    report.cards = cards(document);
    let mut summary = vec![Block::Code(document.command.clone())];
    summary.extend(document.notes.iter().map(|note| Block::Text(note.clone())));
    if !document.checks.is_empty() {
        let row = |finding: &crate::load::Finding| {
            vec![finding.check.clone(), finding.verdict.to_string(), finding.found.clone()]
        };
        summary.push(table(
            "Checks",
            &["check", "verdict", "found"],
            document.checks.iter().map(row).collect(),
        ));
    }
    report.sections = vec![
        Section { title: "The run".to_owned(), blocks: summary },
        Section { title: "Second by second".to_owned(), blocks: over_time(measured) },
        Section { title: "Latency".to_owned(), blocks: latency(measured) },
        Section { title: "Outcomes of the requests".to_owned(), blocks: outcomes(document) },
    ];
    Ok(report.html()?)
}

/// A table with constant column names.
pub(super) fn table(caption: &str, head: &[&str], rows: Vec<Vec<String>>) -> Block {
    let head = head.iter().map(ToString::to_string).collect();
    Block::Table(Table { caption: caption.to_owned(), head, rows })
}

fn cards(document: &Document) -> Vec<Card> {
    let measured = &document.measured;
    let slo = measured.series.slo();
    let good = measured.recorder.good(slo).fraction();
    let card = |label: String, value: String, mood| Card { label, value, mood };
    let percent =
        good.map_or("none offered".to_owned(), |good| format!("{:.2} %", (good * 1e4).floor() / 1e2));
    let mood = match document.checks.is_empty() {
        true => Mood::Plain,
        false if document.checks.iter().all(|finding| finding.verdict == Verdict::Held) => Mood::Good,
        false => Mood::Bad,
    };
    let headline = measured.recorder.headline();
    let quantile = |q: f64, name: &str| {
        card(format!("{name} of all offered"), headline.percentile(q).to_string(), Mood::Plain)
    };
    vec![
        card(format!("good, within {}", DurationText(slo)), percent, mood),
        card("sent".to_owned(), format!("{:.1} /s", measured.sent_per_second()), Mood::Plain),
        quantile(0.5, "p50"),
        quantile(0.95, "p95"),
        quantile(0.99, "p99"),
    ]
}

fn over_time(measured: &Measured) -> Vec<Block> {
    let points = |read: &dyn Fn(&Second) -> Option<f64>| -> Vec<(f64, f64)> {
        let value = |second: &Second| read(second).unwrap_or(f64::NAN);
        measured.series.seconds().map(|(at, second)| (at as f64, value(second))).collect()
    };
    let series = |name: &str, mark, read: &dyn Fn(&Second) -> Option<f64>| Series {
        name: name.to_owned(),
        mark,
        points: points(read),
    };
    let count = |read: fn(&Second) -> u64| move |second: &Second| Some(read(second) as f64);
    let rates = Chart {
        title: "Requests by the second of their intended start".to_owned(),
        x_label: "seconds".to_owned(),
        y_label: "requests".to_owned(),
        x_text: plain,
        series: vec![
            series("offered", Mark::Step, &count(|second| second.offered)),
            series("good", Mark::Step, &count(|second| second.good)),
            series("shed", Mark::Step, &count(|second| second.shed)),
            series("failed", Mark::Step, &count(|second| second.failed + second.service_error)),
            series("not sent", Mark::Step, &count(|second| second.not_sent)),
        ],
        threshold: None,
    };
    let slo_ms = measured.series.slo().as_secs_f64() * 1e3;
    let highest_ms =
        measured.series.seconds().filter_map(|(_, second)| second.latency?.p99.ms()).fold(0.0, f64::max);
    let latencies = Chart {
        title: "Latency from the intended start; at a gap, the percentile was not reached, or too few requests were beyond it".to_owned(),
        x_label: "seconds".to_owned(),
        y_label: "ms".to_owned(),
        x_text: plain,
        series: vec![
            series("p50", Mark::Line, &|second| second.latency?.p50.ms()),
            series("p95", Mark::Line, &|second| second.latency?.p95.ms()),
            series("p99", Mark::Line, &|second| second.latency?.p99.ms()),
        ],
        // Not if it is far above the lines, because they would look flat.
        threshold: Some(Threshold { name: "objective".to_owned(), y: slo_ms })
            .filter(|_| highest_ms * 4.0 > slo_ms),
    };
    vec![Block::Chart(rates), Block::Chart(latencies)]
}

fn latency(measured: &Measured) -> Vec<Block> {
    let whole = |rows: Vec<Row>, caption: &str| {
        let head = std::iter::once(String::new()).chain(table::head()).collect();
        let rows = rows.into_iter().map(|(name, cells)| std::iter::once(name).chain(cells).collect());
        Block::Table(Table { caption: caption.to_owned(), head, rows: rows.collect() })
    };
    let recorder = &measured.recorder;
    let curves = Chart {
        title: "Latency by percentile".to_owned(),
        x_label: "percentile".to_owned(),
        y_label: "ms".to_owned(),
        x_text: percentile_text,
        series: vec![
            curve("from the intended start", recorder.headline()),
            curve("from the send", recorder.since_sent()),
        ],
        threshold: None,
    };
    vec![
        Block::Chart(curves),
        whole(table::latency_rows(measured), "Over all offered, and by outcome"),
        whole(table::timing_rows(measured), "Steps of a request"),
    ]
}

/// A latency curve whose x axis counts nines, so that the tail takes as much space as the rest.
fn curve(name: &str, histogram: &Histogram) -> Series {
    let points = (0..=160).map(f64::from).map_while(|step| {
        let nines = step / 40.0;
        match histogram.percentile(1.0 - 10_f64.powf(-nines)) {
            Quantile::Value(value) => Some((nines, value.as_secs_f64() * 1e3)),
            Quantile::NotReached | Quantile::TooFew { .. } => None,
        }
    });
    Series { name: name.to_owned(), mark: Mark::Line, points: points.collect() }
}

/// The label at this number of nines; empty unless it is whole.
fn percentile_text(nines: f64) -> String {
    if (nines - nines.round()).abs() > 1e-6 {
        return String::new();
    }
    format!("p{}", plain(((1.0 - 10_f64.powf(-nines)) * 1e5).round() / 1e3))
}

fn outcomes(document: &Document) -> Vec<Block> {
    let measured = &document.measured;
    let statuses =
        measured.statuses.iter().map(|(status, count)| vec![status.to_string(), count.to_string()]);
    let mut blocks = vec![table("Responses by status", &["status", "responses"], statuses.collect())];
    let targets = table::target_rows(measured);
    if !targets.is_empty() {
        blocks.push(table("By URL", &table::TARGET_HEAD, targets));
    }
    let causes = lost::rows(measured, &document.reasons);
    if !causes.is_empty() {
        let rows = causes.into_iter().map(|(meaning, count)| vec![meaning.to_owned(), count.to_string()]);
        blocks.push(table("Requests without a complete response", &["cause", "requests"], rows.collect()));
    }
    blocks
}
