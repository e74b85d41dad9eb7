//! `GET /stats`: what the queue holds, for programs.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    document,
    queue::{
        broker::{Counts, LaneStats, ProcessStats, Stats},
        claim::{Claim, Claims},
        handle::Queue,
        lane::{Priority, Rule, Scope},
        name::Name,
        recent::Account,
        seen::{Rates, Seen},
    },
};

/// What the queue holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatsDocument {
    /// How long ago the store was read, in milliseconds; missing: it has not answered yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    read_ms_ago: Option<u64>,
    /// Whether the store answered when it was asked last.
    store_is_up: bool,
    /// What an accepted task survives: `memory`, `appended`, `fsynced`, `replicated` or `unknown`.
    durability: &'static str,
    /// Elements of the raw list that are not admitted yet.
    inbox: u64,
    /// Tasks by state, and all that ended.
    counts: Counts,
    /// How long the first task of any lane has waited, in milliseconds; missing: none waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    oldest_age_ms: Option<u64>,
    /// Moves a second over the last ten seconds; missing until there were two readings.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rates: Option<RatesPart>,
    /// Pending tasks of types that no worker process handles.
    unclaimable: UnclaimablePart,
    /// Types whose tasks were handled in the last five minutes, by worker processes that still have a lease. A type
    /// without a handler of its own may be counted as `other`.
    types: Vec<TypePart>,
    /// Lanes in which something waits.
    lanes: Vec<LanePart>,
    /// Pauses and limits.
    rules: Vec<RulePart>,
    /// Worker processes.
    processes: Vec<ProcessPart>,
}

document!(StatsDocument as "lab/queue-stats/1");

/// Moves a second.
#[derive(Debug, Serialize, ToSchema)]
struct RatesPart {
    /// Tasks that were enqueued, a second.
    enqueued_rate: f64,
    /// Tasks that ended well, a second.
    succeeded_rate: f64,
    /// Attempts that failed, a second.
    failed_rate: f64,
}

/// Tasks that no worker process handles.
#[derive(Debug, Serialize, ToSchema)]
struct UnclaimablePart {
    /// How many wait.
    pending: u64,
    /// How long the first of them has waited, in milliseconds; missing: none waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    age_ms: Option<u64>,
}

/// How attempts of a type ended in the last five minutes.
#[derive(Debug, Serialize, ToSchema)]
struct TypePart {
    /// The type.
    #[serde(rename = "type")]
    kind: Name,
    /// Attempts that ended well.
    succeeded: u64,
    /// Attempts that failed.
    failed: u64,
    /// Attempts that were cancelled, snoozed or handed back.
    other: u64,
    /// How long tasks waited until they were started; missing: fewer than ten lie beyond it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    wait_p50_ms: Option<f64>,
    /// The same of 95%.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    wait_p95_ms: Option<f64>,
    /// How long attempts took that succeeded or failed; missing: fewer than ten lie beyond it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    p50_ms: Option<f64>,
    /// The same of 95%.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    p95_ms: Option<f64>,
}

impl TypePart {
    fn of((kind, account): (&Name, &Account)) -> Self {
        let Account { succeeded, failed, other, waits, took } = account;
        Self {
            kind: kind.clone(),
            succeeded: *succeeded,
            failed: *failed,
            other: *other,
            wait_p50_ms: waits.percentile(0.5),
            wait_p95_ms: waits.percentile(0.95),
            p50_ms: took.percentile(0.5),
            p95_ms: took.percentile(0.95),
        }
    }
}

/// A lane.
#[derive(Debug, Serialize, ToSchema)]
struct LanePart {
    /// How urgent its tasks are.
    priority: Priority,
    /// Their type.
    #[serde(rename = "type")]
    kind: Name,
    /// The tenant that they belong to.
    group: Option<Name>,
    /// How many wait.
    pending: u64,
    /// How long the first of them has waited, in milliseconds.
    age_ms: u64,
    /// Whether they can be started: `claimable`, `paused`, or `unclaimable` (no worker process handles their type).
    claim: &'static str,
}

/// A pause or a limit, as `PATCH /rules` takes it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RulePart {
    /// The type that it concerns.
    #[serde(rename = "type")]
    pub(super) kind: Option<Name>,
    /// The group that it concerns; neither type nor group: the whole queue.
    pub(super) group: Option<Name>,
    /// Whether no task is started.
    pub(super) paused: bool,
    /// The most tasks in flight; missing: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) in_flight_limit: Option<u32>,
    /// The most starts a second; missing: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) rate: Option<f64>,
    /// How many starts may follow each other at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) burst: Option<u32>,
}

document!(RulePart as "lab/queue-rule/1");

/// A worker process.
#[derive(Debug, Serialize, ToSchema)]
struct ProcessPart {
    /// The number of its lease.
    epoch: u64,
    /// What it says of itself.
    who: String,
    /// How many tasks it runs.
    in_flight: u64,
    /// The types that it handles; missing: all, or it has not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    handles: Option<Vec<Name>>,
}

impl RulePart {
    pub(super) fn of(scope: &Scope, rule: Rule) -> Self {
        let (kind, group) = match scope {
            Scope::Queue => (None, None),
            Scope::Kind(kind) => (Some(kind.clone()), None),
            Scope::Group(group) => (None, Some(group.clone())),
        };
        let Rule { paused, in_flight_limit, rate } = rule;
        Self {
            kind,
            group,
            paused,
            in_flight_limit,
            rate: rate.map(|rate| 1e6 / rate.interval_us as f64),
            burst: rate.map(|rate| rate.burst),
        }
    }
}

impl StatsDocument {
    pub(super) fn of(queue: &Queue) -> Self {
        let seen = queue.seen();
        let (oldest_age_ms, rates) = (seen.oldest_age_ms(), seen.rates());
        let unclaimable = seen.waiting().of(Claim::Unclaimable);
        let Seen { last, lanes, away, details, .. } = seen;
        let read_ms_ago = last.as_ref().map(|(at, _)| at.elapsed().as_millis() as u64);
        let Stats { now_ms, inbox, counts, rules, processes, .. } =
            last.map(|(_, stats)| stats).unwrap_or_default();
        let claims = Claims::new(&rules, &processes);
        let lane = |LaneStats { lane, length, since_ms }: LaneStats| LanePart {
            claim: claims.of(&lane).label(),
            priority: lane.priority,
            kind: lane.kind,
            group: lane.group,
            pending: length,
            age_ms: now_ms.saturating_sub(since_ms),
        };
        let lanes = lanes.into_iter().map(lane).collect();
        let process = |ProcessStats { epoch, who, held, handles }: ProcessStats| ProcessPart {
            epoch,
            who,
            in_flight: held,
            handles,
        };
        let rates = rates.map(|Rates { enqueued, succeeded, failed }| RatesPart {
            enqueued_rate: enqueued,
            succeeded_rate: succeeded,
            failed_rate: failed,
        });
        Self {
            read_ms_ago,
            store_is_up: read_ms_ago.is_some() && away.is_none(),
            durability: queue.broker().durability().label(),
            inbox,
            counts,
            oldest_age_ms,
            rates,
            unclaimable: UnclaimablePart {
                pending: unclaimable.tasks,
                age_ms: (unclaimable.tasks > 0).then_some(unclaimable.age_ms),
            },
            types: details.accounts.0.iter().map(TypePart::of).collect(),
            lanes,
            rules: rules.iter().map(|(scope, rule)| RulePart::of(scope, *rule)).collect(),
            processes: processes.into_iter().map(process).collect(),
        }
    }
}
