//! What the writer keeps in memory beside the tables: turns, leases, counts. All of it can be made from the tables.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, Row, types::Value};

use super::column::{Parse as _, readable};
use crate::queue::{
    broker::{contract::Traded, stats::Counts},
    lane::{Lane, RateLimit, Rule, Scope},
    name::Name,
    task::TaskId,
    turns::Turns,
};

/// The lease clock goes on by at most this much between two requests, in milliseconds, as in Redis.
const CLOCK_STEP_MS: u64 = 500;

/// What the writer keeps in memory.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) turns: Turns,
    pub(super) counts: Counts,
    pub(super) leases: BTreeMap<u64, Lease>,
    /// The process that may run suspects.
    pub(super) suspects_of: Option<u64>,
    pub(super) suspects: u64,
    pub(super) kinds: u64,
    /// The lease clock, in milliseconds.
    pub(super) clock_ms: u64,
    last_ms: Option<u64>,
    /// The numbers of rows that could not be read when the state was made: they become dead letters first of all.
    pub(super) unreadable: Vec<u64>,
}

/// A process's lease.
#[derive(Debug)]
pub(super) struct Lease {
    /// `None` once it has expired: it never revives.
    pub(super) secret: Option<String>,
    pub(super) who: String,
    pub(super) expires_ms: u64,
    pub(super) round: u64,
    /// The answer of its last exchange.
    pub(super) answer: Traded,
    pub(super) held: BTreeSet<TaskId>,
    /// Tasks that it is to cancel.
    pub(super) stop: BTreeSet<TaskId>,
    /// The types that it handles; `None`: all, or it has not said.
    pub(super) handles: Option<Vec<Name>>,
    /// What it did of late, as it says.
    pub(super) account: Option<String>,
}

impl Lease {
    pub(super) fn new(secret: Option<String>, who: String, expires_ms: u64) -> Self {
        Self {
            secret,
            who,
            expires_ms,
            round: 0,
            answer: Traded::default(),
            held: BTreeSet::new(),
            stop: BTreeSet::new(),
            handles: None,
            account: None,
        }
    }

    /// Whether its process may still settle and claim.
    pub(super) fn is_alive(&self) -> bool {
        self.secret.is_some()
    }
}

impl State {
    /// Makes the state from the tables. Leases of `owner` are renewed by `lease_ms`, leases of others are over.
    pub(super) fn load(db: &Connection, owner: &str, lease_ms: u64) -> rusqlite::Result<Self> {
        let mut state = Self::default();
        let mut rows = db.prepare(
            "SELECT lane, count(*) FROM task WHERE state = 'p' GROUP BY lane ORDER BY min(number)",
        )?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            match readable(row.parse(0))? {
                Some(lane) => state.turns.add(&lane, row.get(1)?, 0),
                None => {
                    let mut find =
                        db.prepare_cached("SELECT number FROM task WHERE state = 'p' AND lane IS ?1")?;
                    let numbers = find.query_map([row.get::<_, Value>(0)?], |row| row.get(0))?;
                    state.unreadable.extend(numbers.collect::<rusqlite::Result<Vec<u64>>>()?);
                }
            }
        }
        let mut rows = db.prepare("SELECT scope, paused, in_flight_limit, interval_us, burst FROM rule")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            match readable(rule(row))? {
                Some((scope, rule)) => state.turns.set_rule(scope, rule, 0),
                None => tracing::warn!("a rule in the file cannot be read, and holds no longer"),
            }
        }
        let mut rows = db.prepare("SELECT name, value FROM count")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            if let Some(count) = state.counts.field(&name) {
                *count = row.get(1)?;
            }
        }
        state.suspects = db.query_row("SELECT count(*) FROM task WHERE state = 's'", [], |row| row.get(0))?;
        state.kinds = db.query_row("SELECT count(*) FROM kind", [], |row| row.get(0))?;
        let mut rows = db.prepare("SELECT number, owner, secret, who, round FROM epoch")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let is_own = row.get::<_, String>(1)? == owner;
            let (secret, expires_ms) = if is_own { (Some(row.get(2)?), lease_ms) } else { (None, 0) };
            let lease = Lease { round: row.get(4)?, ..Lease::new(secret, row.get(3)?, expires_ms) };
            state.leases.insert(row.get(0)?, lease);
        }
        let mut rows = db.prepare("SELECT epoch, id, lane, cancel, number FROM task WHERE state = 'f'")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let held = (|| {
                Ok((row.get::<_, u64>(0)?, row.parse(1)?, row.parse::<Lane>(2)?, row.get::<_, bool>(3)?))
            })();
            let Some((number, id, lane, is_cancelled)) = readable(held)? else {
                state.unreadable.push(row.get(4)?);
                continue;
            };
            let lease = state.leases.entry(number).or_insert_with(|| Lease::new(None, String::new(), 0));
            lease.held.insert(id);
            if is_cancelled {
                lease.stop.insert(id);
            }
            state.turns.start(&lane, 1, 0);
        }
        Ok(state)
    }

    /// Advances the lease clock to `now_ms`, by at most [`CLOCK_STEP_MS`].
    pub(super) fn tick(&mut self, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.last_ms.unwrap_or(now_ms));
        self.clock_ms += passed.min(CLOCK_STEP_MS);
        self.last_ms = Some(now_ms);
    }
}

fn rule(row: &Row<'_>) -> rusqlite::Result<(Scope, Rule)> {
    let rate = RateLimit { interval_us: row.get(3)?, burst: row.get(4)? };
    let rule = Rule {
        paused: row.get(1)?,
        in_flight_limit: Some(row.get(2)?).filter(|&limit| limit > 0),
        rate: Some(rate).filter(|rate| rate.interval_us > 0),
    };
    Ok((row.parse(0)?, rule))
}
