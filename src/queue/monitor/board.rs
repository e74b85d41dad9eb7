//! What the page shows now: made on the server, as first shown and in each update.

use std::time::Duration;

use askama::Template;

use crate::{
    config::{TimeText, counted},
    queue::{
        broker::{Counts, LaneStats, Listed, ProcessStats, Stats},
        claim::{Claim, Claims},
        handle::Queue,
        lane::{Rule, Scope},
        name::Name,
        recent::{Account, Spread},
        run::State,
        seen::{Details, Part, Seen},
    },
    web::{
        Figure,
        reading::{count, percent, rate},
    },
};

/// The most lanes in the table.
const LANES_SHOWN: usize = 50;
/// From this share of failures on, a type is shown as bad.
const FAILS_FROM: f64 = 0.5;
/// After this time without an answer of the store, figures are called old.
const OLD_AFTER: Duration = Duration::from_secs(3);

#[derive(Debug, Template)]
#[template(path = "queue-board.html")]
pub(super) struct Board {
    /// What is wrong with the store or the figures; empty if nothing is.
    notice: String,
    verdict: Vec<Figure>,
    balance: Vec<Figure>,
    /// How full it is.
    capacity: String,
    lanes: Vec<LaneRow>,
    lanes_left_out: usize,
    /// What no worker handles; empty if there is nothing.
    unclaimable: String,
    types: Vec<TypeRow>,
    processes: Vec<ProcessRow>,
    rules: Vec<RuleRow>,
    delayed: Vec<TaskRow>,
    delayed_total: String,
    dead: Vec<TaskRow>,
    dead_total: String,
}

#[derive(Debug)]
struct LaneRow {
    priority: &'static str,
    kind: String,
    group: String,
    pending: String,
    age: String,
    /// Why none of it starts; empty if it may.
    held: &'static str,
}

#[derive(Debug)]
struct TypeRow {
    kind: String,
    ended: String,
    failed: String,
    /// Whether the share of failures is bad.
    fails: bool,
    waits: [String; 2],
    took: [String; 2],
}

#[derive(Debug)]
struct ProcessRow {
    who: String,
    /// The types that it handles; empty: all, or it has not said.
    handles: String,
    in_flight: String,
    tasks: Vec<TaskRow>,
}

#[derive(Debug)]
struct RuleRow {
    scope: String,
    field: &'static str,
    name: String,
    says: String,
}

#[derive(Debug)]
struct TaskRow {
    id: String,
    kind: String,
    group: String,
    failures: u32,
    /// When, from the store's time.
    when: String,
    because: &'static str,
    error: String,
}

impl Board {
    /// The board as HTML.
    pub(super) fn html(queue: &Queue) -> String {
        // Text and numbers can always be rendered.
        Self::of(queue).render().unwrap_or_default()
    }

    pub(super) fn of(queue: &Queue) -> Self {
        let seen = queue.seen_by_viewer();
        let notice = notice(&seen);
        let (oldest_ms, rates) = (seen.oldest_age_ms(), seen.rates());
        let unclaimable = unclaimable(seen.waiting().of(Claim::Unclaimable));
        let Seen { last, lanes, details, .. } = seen;
        let Stats { now_ms, inbox, counts, rules, processes, .. } =
            last.map(|(_, stats)| stats).unwrap_or_default();
        let Details { dead, delayed, held, accounts } = details;
        let claims = Claims::new(&rules, &processes);
        let per_second = |number: Option<f64>| number.map_or_else(|| "–".to_owned(), rate);
        let live = counts.pending + counts.in_flight + counts.delayed + counts.dead;
        let verdict = vec![
            Figure::new("succeeded_rate", "done a second", per_second(rates.map(|rates| rates.succeeded))),
            Figure::new("enqueued_rate", "enqueued a second", per_second(rates.map(|rates| rates.enqueued))),
            Figure::new("oldest", "the oldest waits", oldest_ms.map_or_else(|| "–".to_owned(), age)),
            Figure::new("failed_rate", "failures a second", per_second(rates.map(|rates| rates.failed))),
            Figure::loss("dead", "dead letters", counts.dead),
            Figure::new("durability", "an accepted task is", queue.broker().durability().label()),
        ];
        let capacity = format!(
            "It holds {} of at most {} tasks; {} in the raw list.",
            count(live),
            count(queue.config().tasks_limit.get()),
            count(inbox)
        );
        let left_out = lanes.len().saturating_sub(LANES_SHOWN);
        Self {
            notice,
            verdict,
            balance: balance(counts),
            capacity,
            lanes: lanes.iter().take(LANES_SHOWN).map(|lane| lane_row(lane, now_ms, &claims)).collect(),
            lanes_left_out: left_out,
            unclaimable,
            types: accounts.0.iter().map(type_row).collect(),
            processes: processes.iter().map(|process| process_row(process, &held, now_ms)).collect(),
            rules: rules.iter().map(|(scope, rule)| rule_row(scope, rule)).collect(),
            delayed: delayed.iter().map(|listed| task_row(listed, now_ms)).collect(),
            delayed_total: count(counts.delayed),
            dead: dead.iter().map(|listed| task_row(listed, now_ms)).collect(),
            dead_total: count(counts.dead),
        }
    }
}

fn notice(seen: &Seen) -> String {
    match (&seen.last, &seen.away) {
        (None, None) => "The store has not been read yet.".to_owned(),
        (None, Some(_)) => "The store does not answer, and has not been read yet.".to_owned(),
        (Some((at, _)), Some(_)) => {
            format!("The store does not answer: these figures are {} old.", span(at.elapsed()))
        }
        (Some((at, _)), None) if at.elapsed() > OLD_AFTER => {
            format!("These figures are {} old.", span(at.elapsed()))
        }
        _ => String::new(),
    }
}

fn balance(counts: Counts) -> Vec<Figure> {
    let Counts { enqueued, pending, in_flight, delayed, dead, done, .. } = counts;
    vec![
        Figure::count("enqueued", "enqueued", enqueued),
        Figure::count("pending", "pending", pending),
        Figure::count("in_flight", "in flight", in_flight),
        Figure::count("delayed", "delayed", delayed),
        Figure::count("dead_now", "dead", dead),
        Figure::count("done", "done", done),
    ]
}

fn unclaimable(part: Part) -> String {
    match part.tasks {
        0 => String::new(),
        tasks => format!(
            "No worker handles the type of {}; the first has waited {}.",
            counted(tasks, "waiting task", "waiting tasks"),
            age(part.age_ms)
        ),
    }
}

fn lane_row(row: &LaneStats, now_ms: u64, claims: &Claims<'_>) -> LaneRow {
    let LaneStats { lane, length, since_ms } = row;
    LaneRow {
        priority: lane.priority.label(),
        kind: lane.kind.to_string(),
        group: lane.group.as_ref().map(ToString::to_string).unwrap_or_default(),
        pending: count(*length),
        age: age(now_ms.saturating_sub(*since_ms)),
        held: match claims.of(lane) {
            Claim::Claimable => "",
            Claim::Paused => "paused",
            Claim::Unclaimable => "unclaimable",
        },
    }
}

fn type_row((kind, account): (&Name, &Account)) -> TypeRow {
    let failed = account.failed_share();
    let percentiles = |spread: &Spread| {
        [0.5, 0.95].map(|q| spread.percentile(q).map_or_else(|| "–".to_owned(), milliseconds))
    };
    TypeRow {
        kind: kind.to_string(),
        ended: count(account.succeeded + account.failed + account.other),
        failed: match failed {
            None => "–".to_owned(),
            Some(_) if account.failed == 0 => "none".to_owned(),
            Some(share) => format!("{} ({})", count(account.failed), percent(share)),
        },
        fails: failed.is_some_and(|share| share >= FAILS_FROM),
        waits: percentiles(&account.waits),
        took: percentiles(&account.took),
    }
}

/// A time of an attempt.
fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 10_000.0 => format!("{} ms", count(ms.round() as u64)),
        ms => age(ms as u64),
    }
}

fn process_row(process: &ProcessStats, held: &[(u64, Vec<Listed>)], now_ms: u64) -> ProcessRow {
    let tasks = held.iter().find(|(epoch, _)| *epoch == process.epoch).map(|(_, tasks)| tasks);
    ProcessRow {
        who: process.who.clone(),
        handles: process.handles.iter().flatten().map(Name::as_str).collect::<Vec<_>>().join(", "),
        in_flight: count(process.held),
        tasks: tasks.into_iter().flatten().map(|listed| task_row(listed, now_ms)).collect(),
    }
}

fn rule_row(scope: &Scope, rule: &Rule) -> RuleRow {
    let (field, name) = match scope {
        Scope::Queue => ("", String::new()),
        Scope::Kind(kind) => ("type", kind.to_string()),
        Scope::Group(group) => ("group", group.to_string()),
    };
    let mut says = Vec::new();
    if rule.paused {
        says.push("paused".to_owned());
    }
    if let Some(limit) = rule.in_flight_limit {
        says.push(format!("at most {} in flight", count(u64::from(limit))));
    }
    if let Some(limit) = rule.rate {
        let per_second = rate(1e6 / limit.interval_us as f64);
        says.push(format!("at most {per_second} starts a second, {} at once", limit.burst));
    }
    let scope = if name.is_empty() { "the whole queue".to_owned() } else { format!("{field} {name}") };
    RuleRow { scope, field, name, says: says.join(", ") }
}

fn task_row(listed: &Listed, now_ms: u64) -> TaskRow {
    let run = &listed.known.run;
    let (when, because) = match run.state {
        State::Delayed { due_ms } if due_ms > now_ms => (format!("in {}", age(due_ms - now_ms)), ""),
        State::Delayed { .. } => ("now".to_owned(), ""),
        State::Dead(reason) => (format!("{} ago", age(now_ms.saturating_sub(run.since_ms))), reason.label()),
        _ => (format!("for {}", age(now_ms.saturating_sub(run.since_ms))), ""),
    };
    TaskRow {
        id: listed.id.to_string(),
        kind: run.lane.kind.to_string(),
        group: run.lane.group.as_ref().map(ToString::to_string).unwrap_or_default(),
        failures: run.failures,
        when,
        because,
        error: listed.known.error.clone().unwrap_or_default(),
    }
}

/// A length of time, roughly.
fn age(ms: u64) -> String {
    span(Duration::from_millis(ms))
}

fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0 => TimeText(Duration::from_millis(length.as_millis() as u64)).to_string().replace("ms", " ms"),
        1..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
