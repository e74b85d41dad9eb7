//! What a simulation shows: a table, CSV, or a page with pictures.

use std::fmt::Write as _;

use super::{Arm, Sample, TraceReport};
use crate::{
    latency::Quantile,
    pipeline::scaling::PolicyName,
    web::{
        chart::{Chart, Mark, Series, plain},
        report::{Block, HtmlReport, Section, Table},
    },
};

/// Points of a series in a picture at most.
const POINTS_LIMIT: usize = 600;
const COLUMNS: [&str; 8] =
    ["policy", "p95 sojourn", "mean", "worker-s", "used", "actions", "reversals", "drain"];

/// The cells of a row.
fn cells(arm: &Arm) -> [String; 8] {
    let time = |quantile: Quantile| match quantile.value() {
        Some(time) => format!("{:.1} s", time.as_secs_f64()),
        None => quantile.to_string(),
    };
    [
        arm.policy.to_string(),
        time(arm.sojourn.p95),
        time(arm.sojourn.mean),
        format!("{:.0}", arm.worker_seconds),
        format!("{:.1}%", arm.utilisation * 100.0),
        format!("{:.1}", arm.actions),
        format!("{:.1}", arm.reversals),
        format!("{:.0} s", arm.drain_ms / 1e3),
    ]
}

/// Compares each policy with the default one, in a sentence.
fn verdicts(reports: &[TraceReport]) -> Vec<String> {
    let others = PolicyName::ALL.into_iter().filter(|policy| *policy != PolicyName::Threshold);
    others
        .map(|policy| {
            let (on, off): (Vec<&TraceReport>, Vec<&TraceReport>) =
                reports.iter().partition(|outcome| outcome.dominates(policy));
            let names = |reports: &[&TraceReport]| {
                let names: Vec<&str> = reports.iter().map(|outcome| outcome.trace.as_str()).collect();
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            };
            format!("{policy} dominates threshold on: {}; not on: {}", names(&on), names(&off))
        })
        .collect()
}

/// What dominating means here.
const DOMINATES: &str = "(dominates: lower p95 sojourn at no more than 1% more worker-seconds)";

/// A table for each trace.
pub fn text(reports: &[TraceReport], repetitions: u64) -> String {
    let mut text = String::new();
    let seeds = if repetitions == 1 { "seed" } else { "seeds" };
    for outcome in reports {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{}: {} ({} s, {repetitions} {seeds})",
            outcome.trace,
            outcome.about,
            outcome.length_ms / 1e3
        );
        let rows = std::iter::once(COLUMNS.map(str::to_owned)).chain(outcome.policies.iter().map(cells));
        for row in rows {
            let [policy, rest @ ..] = row;
            let _ = write!(text, "{policy:<10}");
            for cell in rest {
                let _ = write!(text, "{cell:>12}");
            }
            text.push('\n');
        }
        text.push('\n');
    }
    for verdict in verdicts(reports) {
        let _ = writeln!(text, "{verdict}");
    }
    let _ = writeln!(text, "{DOMINATES}");
    text
}

/// A row for each trace and policy, with the names and units of the JSON.
pub fn csv(reports: &[TraceReport]) -> String {
    let mut text =
        "trace,policy,sojourn_n,sojourn_p95_ms,sojourn_mean_ms,worker_seconds,utilisation,actions,\
                    reversals,drain_ms,dominates_threshold\n"
            .to_owned();
    let ms = |quantile: Quantile| quantile.ms().map_or(String::new(), |ms| format!("{ms:.0}"));
    for outcome in reports {
        for arm in &outcome.policies {
            let _ = writeln!(
                text,
                "{},{},{},{},{},{:.1},{:.4},{:.2},{:.2},{:.0},{}",
                outcome.trace.replace([',', '"', '\n'], "_"),
                arm.policy,
                arm.sojourn.n,
                ms(arm.sojourn.p95),
                ms(arm.sojourn.mean),
                arm.worker_seconds,
                arm.utilisation,
                arm.actions,
                arm.reversals,
                arm.drain_ms,
                outcome.dominates(arm.policy)
            );
        }
    }
    text
}

/// A page that stands alone.
///
/// # Errors
/// When it cannot be rendered.
pub fn html(reports: &[TraceReport], repetitions: u64, command: &str) -> anyhow::Result<String> {
    let lead = format!(
        "The same jobs under every policy, in virtual time. Figures over {repetitions} seeds; pictures of the first."
    );
    let mut report = HtmlReport::new("Scaling policies", lead);
    let verdict = verdicts(reports).into_iter().chain([DOMINATES.to_owned()]).map(Block::Text);
    let mut blocks: Vec<Block> = verdict.collect();
    blocks.push(Block::Code(command.to_owned()));
    report.sections.push(Section { title: "Against the threshold".to_owned(), blocks });
    for outcome in reports {
        let picture = |title: &str, y_label: &str, series: Vec<Series>| {
            Block::Chart(Chart {
                title: format!("{}: {title}", outcome.trace),
                x_label: "seconds".to_owned(),
                y_label: y_label.to_owned(),
                x_text: plain,
                series,
                threshold: None,
            })
        };
        let of_arms = |value: fn(&Sample) -> f64| -> Vec<Series> {
            let series = outcome.policies.iter().map(|arm| Series {
                name: arm.policy.to_string(),
                mark: Mark::Step,
                points: points(&arm.samples, value),
            });
            series.collect()
        };
        let load = Series { name: "arrivals".to_owned(), mark: Mark::Step, points: outcome.load.clone() };
        let table = Table {
            caption: format!("Policies under {}", outcome.trace),
            head: COLUMNS.map(str::to_owned).to_vec(),
            rows: outcome.policies.iter().map(|arm| cells(arm).to_vec()).collect(),
        };
        let blocks = vec![
            Block::Text(outcome.about.clone()),
            Block::Table(table),
            picture("load", "jobs a second", vec![load]),
            picture("workers", "workers", of_arms(|sample| f64::from(sample.workers))),
            picture("waiting", "jobs that wait", of_arms(|sample| sample.waiting as f64)),
        ];
        report.sections.push(Section { title: outcome.trace.clone(), blocks });
    }
    Ok(report.html()?)
}

/// The samples as points, thinned out if there are more than a chart can show.
fn points(samples: &[Sample], value: fn(&Sample) -> f64) -> Vec<(f64, f64)> {
    let step = samples.len().div_ceil(POINTS_LIMIT).max(1);
    samples.iter().step_by(step).map(|sample| (sample.at_s, value(sample))).collect()
}
