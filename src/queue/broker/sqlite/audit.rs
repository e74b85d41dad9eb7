//! The second check of the audit. A row is in one state by itself; what can differ is what is kept beside the rows.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::params;

use super::{
    column::{Parse as _, broken},
    moves::Moves,
    state::Lease,
};
use crate::queue::{
    broker::{
        audit::{Finding, Wrong},
        stats::Counts,
    },
    lane::Lane,
    run::{self, Outcome},
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

impl Moves<'_> {
    /// Looks at the rows after the number `after`.
    pub(super) fn audit_rows(&mut self, after: u64, mends: bool) -> rusqlite::Result<Page> {
        let mut find = self.db.prepare_cached(
            "SELECT number, id, state = 'd', spec IS NOT NULL, coalesce(length(spec), 0) FROM task \
             WHERE number > ?1 ORDER BY number LIMIT ?2",
        )?;
        let rows: Vec<(u64, TaskId, bool, bool, u64)> = find
            .query_map(params![after, PAGE], |row| {
                Ok((row.get(0)?, row.parse(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let last = rows.last().map_or(after, |row| row.0);
        let mut page = Page { last, rows: rows.len(), bytes: 0, findings: Vec::new() };
        for (number, id, has_ended, has_payload, length) in rows {
            let (wrong, mended) = match (has_ended, has_payload) {
                (false, false) => {
                    if mends {
                        self.withdraw(id)?;
                    }
                    (Wrong::NoPayload, "ended as discarded")
                }
                (true, true) => {
                    if mends {
                        let mut clear =
                            self.db.prepare_cached("UPDATE task SET spec = NULL WHERE number = ?1")?;
                        clear.execute([number])?;
                    }
                    (Wrong::Doubled, "payload taken out")
                }
                _ => {
                    page.bytes += length;
                    continue;
                }
            };
            page.findings.push(finding(wrong, id, "its row", mends.then_some(mended)));
        }
        Ok(page)
    }

    /// Ends a task that has no payload, wherever it is.
    fn withdraw(&mut self, id: TaskId) -> rusqlite::Result<()> {
        let Some(run) = self.find(id)? else { return Ok(()) };
        match run.state {
            run::State::Pending { suspect } => {
                self.state.counts.pending -= 1;
                if suspect {
                    self.state.suspects -= 1;
                } else {
                    self.state.turns.remove(&run.lane, 1);
                }
            }
            run::State::InFlight { epoch, .. } => self.land(epoch, id, &run.lane),
            run::State::Delayed { .. } => self.state.counts.delayed -= 1,
            run::State::Dead(_) => self.state.counts.dead -= 1,
            run::State::Done(_) => return Ok(()),
        }
        self.end(run, Outcome::Discarded)
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
        find.query_map([], |row| Ok((row.parse(0)?, row.get(1)?)))?.collect()
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
        findings.push(finding(wrong, of, &format!("was {said}, is {is}"), mends.then_some("set")));
    }
}
