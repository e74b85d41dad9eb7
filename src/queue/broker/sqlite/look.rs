//! What can be seen.

use super::{
    column::broken,
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
    pub(super) fn get(&self, id: TaskId) -> rusqlite::Result<Looked> {
        let Some(run) = self.find(id)? else {
            let mut oldest = self.db.prepare_cached("SELECT min(since_ms) FROM task WHERE state = 'd'")?;
            return Ok(Looked::Unknown { oldest_ms: oldest.query_row([], |row| row.get(0))? });
        };
        let mut find = self.db.prepare_cached("SELECT spec, error FROM task WHERE number = ?1")?;
        let (spec, error): (Option<Vec<u8>>, Option<String>) =
            find.query_row([run.number], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let spec = match spec {
            None => None,
            Some(spec) => Some(Spec::from_bytes(&spec.into()).ok_or_else(|| broken("a task's spec"))?),
        };
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
        let listed = find.query_map([LISTED_LIMIT, offset], |row| {
            let (id, run) = record(row)?;
            let spec: Option<Vec<u8>> = row.get(16)?;
            let spec = spec.and_then(|spec| Spec::from_bytes(&spec.into()));
            Ok(Listed { id, known: Known { run, spec, error: row.get(17)? } })
        })?;
        listed.collect()
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
            let since_ms = find.query_row([lane.to_string()], |row| row.get(0))?;
            lanes.push(LaneStats { lane: lane.clone(), length, since_ms });
        }
        lanes.sort_by(|a, b| a.lane.cmp(&b.lane));
        Ok(lanes)
    }
}
