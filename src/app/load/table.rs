//! A result as text for a terminal.

use std::fmt::Write as _;

use super::document::Document;
use super::lost;
use crate::config::counted;
use crate::latency::{DurationText, Histogram, Outcome, Quantile, Rate};
use crate::load::{Measured, Part, Verdict};

/// The percentiles of a row.
const COLUMNS: [(f64, &str); 6] =
    [(0.5, "p50"), (0.9, "p90"), (0.95, "p95"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99")];

/// The name and the figures of a histogram.
pub(super) type Row = (String, Vec<String>);

/// The column names.
pub(super) fn head() -> Vec<String> {
    COLUMNS.iter().map(|(_, name)| (*name).to_owned()).chain(["max".to_owned(), "n".to_owned()]).collect()
}

fn quantile(histogram: &Histogram, q: f64) -> String {
    match histogram.percentile(q) {
        Quantile::TooFew { .. } => "too few".to_owned(),
        other => other.to_string(),
    }
}

fn max(histogram: &Histogram) -> String {
    match histogram.max() {
        Some(max) if histogram.answered() == histogram.offered() => DurationText(max).to_string(),
        Some(_) => "not reached".to_owned(),
        None => "none".to_owned(),
    }
}

fn row(name: &str, histogram: &Histogram) -> Row {
    let quantiles = COLUMNS.iter().map(|(q, _)| quantile(histogram, *q));
    (name.to_owned(), quantiles.chain([max(histogram), histogram.offered().to_string()]).collect())
}

/// A line with minimum, mean and maximum if there are too few responses for a median.
fn few(latency: &Histogram) -> Option<String> {
    let is_few = matches!(latency.percentile(0.5), Quantile::TooFew { .. });
    let (min, max) = (latency.min().filter(|_| is_few)?, latency.max()?);
    let mean = latency.mean()?.clamp(min, max);
    let [min, mean, max] = [min, mean, max].map(DurationText);
    Some(format!("few     min {min}, mean {mean}, max {max} of {} answered", latency.answered()))
}

/// Every view of latency: over all offered, from the send, and by outcome.
pub(super) fn latency_rows(measured: &Measured) -> Vec<Row> {
    let recorder = &measured.recorder;
    let mut rows = vec![
        row("from the intended start", recorder.headline()),
        row("from the send", recorder.since_sent()),
    ];
    for outcome in Outcome::ALL {
        if let Some(histogram) = recorder.of(outcome) {
            rows.push(row(&format!("  {}", outcome.label()), histogram));
        }
    }
    rows
}

/// The time that steps of a request took.
pub(super) fn timing_rows(measured: &Measured) -> Vec<Row> {
    [
        ("generator's own lag", &measured.own_lag),
        ("sent after the intended start", measured.recorder.send_lag()),
        ("connecting", &measured.connect),
        ("send to first byte", &measured.first_byte),
    ]
    .into_iter()
    .filter(|(_, histogram)| histogram.offered() > 0)
    .map(|(name, histogram)| row(name, histogram))
    .collect()
}

/// The columns of the table of several targets.
pub(super) const TARGET_HEAD: [&str; 9] =
    ["by URL", "offered", "good", "ok", "p50", "p95", "p99", "max", "status, lost"];

/// A row for each target if there are several; no rows for a single target.
pub(super) fn target_rows(measured: &Measured) -> Vec<Vec<String>> {
    let slo = measured.series.slo();
    let share =
        |rate: Rate| rate.fraction().map_or("none".to_owned(), |share| format!("{:.2} %", share * 100.0));
    let row = |part: &Part| {
        let latency = part.recorder.headline();
        let ok = Rate {
            part: part.recorder.of(Outcome::Ok).map_or(0, Histogram::offered),
            whole: latency.offered(),
        };
        let lost: u64 = part.causes.values().sum();
        let statuses = part.statuses.iter().map(|(status, count)| format!("{status}: {count}"));
        let ends: Vec<String> = statuses.chain((lost > 0).then(|| format!("lost: {lost}"))).collect();
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|q| quantile(latency, q));
        let (good, ok) = (share(part.recorder.good(slo)), share(ok));
        vec![
            part.target.clone(),
            latency.offered().to_string(),
            good,
            ok,
            p50,
            p95,
            p99,
            max(latency),
            ends.join(", "),
        ]
    };
    measured.parts.iter().map(row).collect()
}

/// The first sentence of a report: what was offered, sent and answered.
pub(super) fn offered(measured: &Measured) -> String {
    format!(
        "offered {} in {:.1} s ({:.1} /s), sent {} ({:.1} /s), answered {} ({:.1} /s)",
        measured.offered(),
        measured.scheduled_ms / 1e3,
        measured.offered_per_second(),
        measured.sent(),
        measured.sent_per_second(),
        measured.answered(),
        measured.answered_per_second(),
    )
}

/// The whole table.
pub(super) fn text(document: &Document) -> String {
    let measured = &document.measured;
    let mut text = String::new();
    let mut line = |line: &str| {
        text.push_str(line.trim_end());
        text.push('\n');
    };
    let nothing_good = lost::nothing_good(measured, &document.reasons);
    if let Some(nothing) = &nothing_good {
        line(nothing);
    }
    line(&format!("$ {}", document.command));
    line(&offered(measured));
    let slo = measured.series.slo();
    line(&format!("good    {} within {}", measured.recorder.good(slo), DurationText(slo)));
    line(&format!("ok      {}", measured.ok()));
    line("");
    let mut rows = latency_rows(measured);
    let timings = timing_rows(measured);
    let latency_count = rows.len();
    rows.extend(timings);
    for (n, row) in aligned("latency", head(), &rows).into_iter().enumerate() {
        if n == latency_count + 1 {
            line("");
        }
        line(&row);
    }
    if let Some(few) = few(measured.recorder.headline()) {
        line(&few);
    }
    line("");
    let targets = target_rows(measured);
    if !targets.is_empty() {
        let [title, columns @ ..] = TARGET_HEAD;
        let split = |mut cells: Vec<String>| (cells.remove(0), cells);
        let rows: Vec<Row> = targets.into_iter().map(split).collect();
        for row in aligned(title, columns.map(str::to_owned).to_vec(), &rows) {
            line(&row);
        }
        line("");
    }
    let statuses: Vec<String> =
        measured.statuses.iter().map(|(status, count)| format!("{status}: {count}")).collect();
    if !statuses.is_empty() {
        line(&format!("status  {}", statuses.join(", ")));
    }
    let kib = measured.body_bytes as f64 / 1024.0;
    let connections = counted(document.connections.opened, "connection", "connections");
    line(&format!("        {kib:.1} KiB of bodies over {connections}"));
    for (meaning, count) in lost::rows(measured, &document.reasons) {
        line(&format!("lost    {count}: {meaning}"));
    }
    for note in document.notes.iter().filter(|note| Some(*note) != nothing_good.as_ref()) {
        line(&format!("note    {note}"));
    }
    for finding in &document.checks {
        let held = if finding.verdict == Verdict::Held { "held" } else { "NOT held" };
        line(&format!("check   {}: {held} ({})", finding.check, finding.found));
    }
    text
}

/// Aligns the head and the rows in columns.
fn aligned(title: &str, head: Vec<String>, rows: &[Row]) -> Vec<String> {
    let first = (title.to_owned(), head);
    let all: Vec<&Row> = std::iter::once(&first).chain(rows).collect();
    let wide = |cell: &str| cell.chars().count();
    let name_width = all.iter().map(|(name, _)| wide(name)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..first.1.len())
        .map(|column| all.iter().map(|(_, cells)| wide(&cells[column])).max().unwrap_or(0))
        .collect();
    all.iter()
        .map(|(name, cells)| {
            let mut line = format!("{name:<name_width$}");
            for (cell, width) in cells.iter().zip(&widths) {
                // Writing to a string does not fail.
                let _ = write!(line, "  {cell:>width$}");
            }
            line
        })
        .collect()
}
