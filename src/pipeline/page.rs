//! What the live page shows: how much of the load is taken in, the balance, the settings.

use std::time::Duration;

use super::{
    generator::{Rate, UNITS},
    scaling::PolicyName,
    status::Status,
};
use crate::web::{
    Control, Field, Figure, LivePage, RunState,
    reading::{count, percent, rate},
};

pub(super) fn live(status: &Status, log: Vec<String>) -> LivePage {
    LivePage {
        lead: "A bounded queue, and workers that come and go with the load. Counts add up over all runs."
            .to_owned(),
        verdict: verdict(status),
        balance: balance(status),
        more: more(status),
        fields: fields(status),
        spoken: spoken(status),
        log: Some(log),
        change: r#"{"policy":"pid","rate":"600ms"}"#,
        shell: Vec::new(),
    }
}

fn share(status: &Status) -> Option<f64> {
    (status.offered > 0).then(|| status.ledger.created as f64 / status.offered as f64)
}

fn held_back(status: &Status) -> Figure {
    Figure::loss("held_back", "held back: another job was waiting for room", status.held_back)
}

fn failed(status: &Status) -> Figure {
    Figure::loss("permanently_failed", "failed for good", status.ledger.permanently_failed)
}

fn verdict(status: &Status) -> Vec<Figure> {
    let ledger = &status.ledger;
    let (waiting, capacity) = (ledger.queued + ledger.retrying, u64::from(status.queue_capacity));
    let limits = format!("workers running, {} to {}", status.min_workers, status.max_workers);
    let label = format!("of {} offered jobs were taken in", count(status.offered));
    vec![
        Figure::good("taken_in", label, share(status)),
        held_back(status),
        failed(status),
        Figure::count("backlog", "backlog", ledger.backlog),
        Figure::of("waiting", "places taken in the queue", waiting, capacity, "").full_is_bad(),
        Figure::of("workers", limits, status.workers_present.into(), status.max_workers.into(), ""),
    ]
}

fn balance(status: &Status) -> Vec<Vec<Figure>> {
    let ledger = &status.ledger;
    let created = || Figure::count("created", "created", ledger.created);
    let backlog = || Figure::count("backlog", "backlog", ledger.backlog);
    // While it runs one job at most waits outside. A job that waited when a run was stopped was not taken in.
    let outside = status.offered.saturating_sub(ledger.created + status.held_back);
    let outside = match status.state {
        RunState::Idle => Figure::loss("outside", "not taken in: waited for room at a stop", outside),
        RunState::Running | RunState::Draining => {
            Figure::count("outside", "waiting for room, or not taken in at a stop", outside)
        }
    };
    let present = status.workers_present.into();
    vec![
        vec![Figure::count("offered", "offered", status.offered), created(), held_back(status), outside],
        vec![created(), Figure::count("succeeded", "succeeded", ledger.succeeded), failed(status), backlog()],
        vec![
            backlog(),
            Figure::count("queued", "queued", ledger.queued),
            Figure::of("in_progress", "in progress, of the workers", ledger.in_progress, present, ""),
            Figure::count("retrying", "waiting for a retry", ledger.retrying),
        ],
    ]
}

fn more(status: &Status) -> Vec<Figure> {
    vec![
        Figure::count("retries", "failed attempts that were retried", status.retries),
        Figure::count("wanted", "workers wanted by the policy", status.workers.into()),
        Figure::new(
            "worker_seconds",
            "worker-seconds: the running time of all workers",
            rate(status.worker_seconds),
        ),
    ]
}

fn fields(status: &Status) -> Vec<Field> {
    let policy = Field {
        name: "policy",
        label: "Policy",
        value: status.policy.to_string(),
        control: Control::Choice(PolicyName::ALL.map(PolicyName::label).to_vec()),
        while_running: true,
    };
    let load = Field {
        name: "rate",
        label: "Load",
        value: in_a_unit(status.rate),
        control: Control::Measure(UNITS.to_vec()),
        while_running: true,
    };
    vec![load, policy]
}

/// A rate as a number with one of the units of the page.
fn in_a_unit(rate: Rate) -> String {
    match rate {
        Rate::Every(interval) => {
            let milliseconds = interval.get().as_secs_f64() / Duration::from_millis(1).as_secs_f64();
            format!("{milliseconds}ms")
        }
        Rate::Generator | Rate::Of(_) => rate.to_string(),
    }
}

fn spoken(status: &Status) -> String {
    let ledger = &status.ledger;
    let taken = share(status).map_or_else(
        || "nothing was offered".to_owned(),
        |share| format!("{} of the jobs taken in", percent(share)),
    );
    format!(
        "{taken}, {} held back, {} failed for good, backlog {}, {} workers",
        count(status.held_back),
        count(ledger.permanently_failed),
        count(ledger.backlog),
        status.workers_present
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_a_number_with_a_unit() {
        for (given, shown) in [
            ("250ms", "250ms"),
            ("1.5s", "1500ms"),
            ("4", "4/s"),
            ("90/m", "1.5/s"),
            ("generator", "generator"),
        ] {
            let rate: Rate = given.parse().expect("a rate");
            assert_eq!(in_a_unit(rate), shown);
            assert!(in_a_unit(rate).parse::<Rate>().is_ok(), "{shown}");
        }
    }
}
