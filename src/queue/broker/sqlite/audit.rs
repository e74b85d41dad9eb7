//! The second check of the audit. A row is in one state by itself; what can differ is what is kept beside the rows.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Row, params};

use super::{
    column::{Parse as _, broken, readable},
    look::spec,
    moves::{Moves, RECORD, record},
    state::Lease,
};
use crate::queue::{
    broker::{
        audit::{Finding, Wrong},
        stats::{Counts, PREVIEW_LIMIT_BYTES},
    },
    lane::Lane,
    run::{self, Outcome, Run},
    settle::DeathReason,
    task::TaskId,
    turns::scopes,
};

/// Rows that one job looks at.
pub(super) const PAGE: usize = 2_000;

/// What one page of rows shows.
pub(super) struct Page {
    pub(super) last: u64,
    pub(super) rows: usize,
    pub(super) bytes: u64,
    pub(super) findings: Vec<Finding>,
}

/// A dead letter that was none of a handler's.
const MALFORMED: run::State = run::State::Dead(DeathReason::Malformed);

/// A row, as the audit looks at it.
struct Looked {
    number: u64,
    /// Its id as it is written, or its number.
    name: String,
    /// `None` if it cannot be read.
    task: Option<(TaskId, Run)>,
    has_payload: bool,
    has_spec: bool,
    length: u64,
}

impl Looked {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let number: u64 = row.get(0)?;
        let name = row.get(1).unwrap_or_else(|_| format!("number {number}"));
        let task = readable(record(row))?;
        let has_spec = spec(row, 16).is_some();
        Ok(Self { number, name, task, has_payload: row.get(17)?, has_spec, length: row.get(18)? })
    }
}

impl Moves<'_> {
    /// Looks at the rows after the number `after`.
    pub(super) fn audit_rows(&mut self, after: u64, mends: bool) -> rusqlite::Result<Page> {
        let rows: Vec<Looked> = self
            .db
            .prepare_cached(&format!(
                "SELECT {RECORD}, substr(spec, 1, {PREVIEW_LIMIT_BYTES}), spec IS NOT NULL, \
                 coalesce(length(spec), 0) FROM task WHERE number > ?1 ORDER BY number LIMIT ?2"
            ))?
            .query_map(params![after, PAGE], Looked::of)?
            .collect::<rusqlite::Result<_>>()?;
        let last = rows.last().map_or(after, |row| row.number);
        let mut page = Page { last, rows: rows.len(), bytes: 0, findings: Vec::new() };
        for Looked { number, name, task, has_payload, has_spec, length } in rows {
            let (wrong, mended) = match task {
                None => {
                    page.bytes += length;
                    if mends {
                        self.bury_unreadable(number)?;
                    }
                    (Wrong::Unreadable, "made a dead letter")
                }
                Some((id, run)) if !has_payload && !matches!(run.state, run::State::Done(_)) => {
                    if mends {
                        self.take_out(id, &run);
                        self.end(run, Outcome::Discarded)?;
                    }
                    (Wrong::NoPayload, "ended as discarded")
                }
                Some((_, run)) if has_payload && matches!(run.state, run::State::Done(_)) => {
                    if mends {
                        let mut clear =
                            self.db.prepare_cached("UPDATE task SET spec = NULL WHERE number = ?1")?;
                        clear.execute([number])?;
                    }
                    (Wrong::Doubled, "payload taken out")
                }
                Some((id, run)) if has_payload && !has_spec && run.state != MALFORMED => {
                    page.bytes += length;
                    if mends {
                        self.take_out(id, &run);
                        self.bury(run, DeathReason::Malformed, "its payload cannot be read")?;
                    }
                    (Wrong::Unreadable, "made a dead letter")
                }
                Some(_) => {
                    page.bytes += length;
                    continue;
                }
            };
            page.findings.push(finding(wrong, name, "its row", mends.then_some(mended)));
        }
        Ok(page)
    }

    /// Compares the counts, and what is kept in memory, with the rows. `bytes` of payloads were added up since the
    /// counts were `before`.
    pub(super) fn audit_counts(
        &mut self,
        before: Counts,
        bytes: u64,
        mends: bool,
    ) -> rusqlite::Result<(Vec<Finding>, Option<&'static str>)> {
        let mut findings = Vec::new();
        let by_lane = self.by_lane("p")?;
        let waiting: u64 = by_lane.values().sum();
        let in_memory: BTreeMap<Lane, u64> =
            self.state.turns.lanes().map(|(lane, length)| (lane.clone(), length)).collect();
        for lane in by_lane.keys().chain(in_memory.keys()).collect::<BTreeSet<_>>() {
            let of = |lanes: &BTreeMap<Lane, u64>| lanes.get(lane).copied().unwrap_or(0);
            compare(&mut findings, Wrong::Size, lane, of(&in_memory), of(&by_lane), false);
        }
        let mut in_flight = BTreeMap::new();
        for (lane, tasks) in self.by_lane("f")? {
            for scope in scopes(&lane) {
                *in_flight.entry(scope).or_insert(0) += tasks;
            }
        }
        let counted = self.state.turns.in_flight().collect::<BTreeMap<_, _>>();
        for scope in in_flight.keys().chain(counted.keys()).collect::<BTreeSet<_>>() {
            let said = counted.get(scope).copied().unwrap_or(0);
            compare(
                &mut findings,
                Wrong::Limit,
                scope,
                said,
                in_flight.get(scope).copied().unwrap_or(0),
                false,
            );
        }
        let count = |state: &str| -> rusqlite::Result<u64> {
            let sql = format!("SELECT count(*) FROM task WHERE state = '{state}'");
            self.db.prepare_cached(&sql)?.query_row([], |row| row.get(0))
        };
        let (suspects, flying, delayed, dead, done) =
            (count("s")?, count("f")?, count("w")?, count("x")?, count("d")?);
        let is_still = (before.enqueued, before.done) == (self.state.counts.enqueued, self.state.counts.done);
        let mut is = self.state.counts;
        (is.pending, is.in_flight, is.delayed, is.dead) = (waiting + suspects, flying, delayed, dead);
        let ends = is.succeeded + is.cancelled + is.expired + is.discarded;
        // Rows of ended tasks are ended tasks, whatever the counts have lost.
        is.done = ends.max(done);
        is.succeeded += is.done - ends;
        is.enqueued = is.done + is.pending + is.in_flight + is.delayed + is.dead;
        if is_still {
            is.bytes = bytes;
        }
        for ((name, said), (_, is)) in self.state.counts.each().zip(is.each()) {
            compare(&mut findings, Wrong::Count, name, said, is, mends);
        }
        if mends {
            self.state.counts = is;
        }
        // That takes as long as the file is large, so it is left out while somebody works.
        let is_used = self.state.leases.values().any(Lease::is_alive);
        if !is_used {
            self.audit_file(&mut findings)?;
        }
        let left_out = match (is_still, is_used) {
            (false, _) => Some("the bytes of all payloads: tasks came or ended meanwhile"),
            (true, true) => Some("the structure of the file: a worker uses it"),
            (true, false) => None,
        };
        Ok((findings, left_out))
    }

    fn by_lane(&self, state: &str) -> rusqlite::Result<BTreeMap<Lane, u64>> {
        let sql = format!("SELECT lane, count(*) FROM task WHERE state = '{state}' GROUP BY lane");
        let mut find = self.db.prepare_cached(&sql)?;
        let lanes = find.query_map([], |row| Ok((readable(row.parse(0))?, row.get(1)?)))?;
        let lanes = lanes.collect::<rusqlite::Result<Vec<(Option<Lane>, u64)>>>()?;
        Ok(lanes.into_iter().filter_map(|(lane, tasks)| Some((lane?, tasks))).collect())
    }

    fn audit_file(&self, findings: &mut Vec<Finding>) -> rusqlite::Result<()> {
        let mut check = self.db.prepare("PRAGMA quick_check(10)")?;
        let said: Vec<String> = check.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        if said.is_empty() {
            return Err(broken("no answer of quick_check"));
        }
        let damaged = said.into_iter().filter(|line| line != "ok");
        findings.extend(damaged.map(|line| finding(Wrong::File, "queue.sqlite", &line, None)));
        Ok(())
    }
}

fn finding(wrong: Wrong, of: impl ToString, at: &str, mended: Option<&str>) -> Finding {
    let mended = mended.unwrap_or_default().to_owned();
    Finding { wrong, of: of.to_string(), at: at.to_owned(), mended }
}

fn compare(findings: &mut Vec<Finding>, wrong: Wrong, of: impl ToString, said: u64, is: u64, mends: bool) {
    if said != is {
        findings.push(finding(wrong, of, &format!("says {said}, must be {is}"), mends.then_some("set")));
    }
}
