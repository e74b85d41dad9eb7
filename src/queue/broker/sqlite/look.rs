//! What can be seen.

use rusqlite::{OptionalExtension as _, Row};

use super::{
    column::readable,
    moves::{Moves, RECORD, record},
    state::Lease,
};
use crate::queue::{
    broker::{
        contract::{Known, Looked},
        stats::{LISTED_LIMIT, LaneStats, Listed, PREVIEW_LIMIT_BYTES, ProcessStats, Sizes, Stats, Which},
    },
    task::{Spec, TaskId},
};

impl Moves<'_> {
    pub(super) fn get(&mut self, id: TaskId) -> rusqlite::Result<Looked> {
        let Some(run) = self.find(id)? else {
            let mut oldest = self.db.prepare_cached("SELECT min(since_ms) FROM task WHERE state = 'd'")?;
            return Ok(Looked::Unknown { oldest_ms: oldest.query_row([], |row| row.get(0))? });
        };
        let mut find = self.db.prepare_cached("SELECT spec, error FROM task WHERE number = ?1")?;
        let (spec, error) = find.query_row([run.number], |row| Ok((spec(row, 0), text(row, 1))))?;
        Ok(Looked::Known(Box::new(Known { run, spec, error })))
    }

    pub(super) fn list(&self, which: Which, offset: usize) -> rusqlite::Result<Vec<Listed>> {
        let (of, order) = match which {
            Which::Dead => ("state = 'x'".to_owned(), "since_ms DESC, number DESC"),
            Which::Delayed => ("state = 'w'".to_owned(), "due_ms, number"),
            Which::HeldBy(epoch) => (format!("state = 'f' AND epoch = {epoch}"), "number"),
        };
        let sql = format!(
            "SELECT {RECORD}, substr(spec, 1, {PREVIEW_LIMIT_BYTES}), error FROM task WHERE {of} ORDER BY {order} LIMIT ?1 OFFSET ?2"
        );
        let mut find = self.db.prepare(&sql)?;
        let mut rows = find.query([LISTED_LIMIT, offset])?;
        let mut listed = Vec::new();
        while let Some(row) = rows.next()? {
            // What cannot be read becomes a dead letter when its turn comes.
            let Some((id, run)) = readable(record(row))? else { continue };
            listed.push(Listed { id, known: Known { run, spec: spec(row, 16), error: text(row, 17) } });
        }
        Ok(listed)
    }

    pub(super) fn sizes(&self) -> rusqlite::Result<Sizes> {
        let count = |state: &str| -> rusqlite::Result<u64> {
            let sql = format!("SELECT count(*) FROM task WHERE state = '{state}'");
            self.db.prepare_cached(&sql)?.query_row([], |row| row.get(0))
        };
        let (delayed, dead, suspects, held, done) =
            (count("w")?, count("x")?, count("s")?, count("f")?, count("d")?);
        let (lanes, waiting) = self
            .state
            .turns
            .lanes()
            .fold((0, 0), |(lanes, waiting), (_, length)| (lanes + 1, waiting + length));
        let tasks = waiting + suspects + held + delayed + dead;
        let keys = self.db.query_row("SELECT count(*) FROM key", [], |row| row.get(0))?;
        Ok(Sizes { delayed, dead, suspects, tasks, records: tasks + done, done, held, lanes, keys })
    }

    pub(super) fn stats(&self) -> rusqlite::Result<Stats> {
        let rules = self.state.turns.rules().map(|(scope, rule)| (scope.clone(), rule)).collect();
        let process = |(&epoch, lease): (&u64, &Lease)| ProcessStats {
            epoch,
            who: lease.who.clone(),
            held: lease.held.len() as u64,
            handles: lease.handles.clone(),
        };
        Ok(Stats {
            now_ms: self.now_ms,
            inbox: 0,
            counts: self.state.counts,
            sizes: self.sizes()?,
            rules,
            processes: self.state.leases.iter().map(process).collect(),
        })
    }

    pub(super) fn lanes(&self) -> rusqlite::Result<Vec<LaneStats>> {
        let mut find = self.db.prepare_cached(
            "SELECT since_ms FROM task WHERE lane = ?1 AND state = 'p' ORDER BY number LIMIT 1",
        )?;
        let mut lanes = Vec::new();
        for (lane, length) in self.state.turns.lanes() {
            let since_ms = find.query_row([lane.to_string()], |row| row.get(0)).optional();
            let since_ms = readable(since_ms)?.flatten().unwrap_or(self.now_ms);
            lanes.push(LaneStats { lane: lane.clone(), length, since_ms });
        }
        lanes.sort_by(|a, b| a.lane.cmp(&b.lane));
        Ok(lanes)
    }
}

/// A task's spec; `None` if it cannot be read.
pub(super) fn spec(row: &Row<'_>, column: usize) -> Option<Spec> {
    let bytes: Vec<u8> = row.get(column).ok()?;
    Spec::from_bytes(&bytes.into())
}

fn text(row: &Row<'_>, column: usize) -> Option<String> {
    row.get(column).ok()
}
