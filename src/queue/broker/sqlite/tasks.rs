//! What befalls tasks outside of workers: their time comes, they are cancelled, replayed, forgotten; rules change.

use rusqlite::params;

use super::moves::Moves;
use crate::queue::{
    broker::{
        contract::{Cancel, Caps, MOVED_LIMIT, Promoted, RunNow},
        stats::Sizes,
    },
    lane::{Rule, RuleChange, Scope},
    run::{self, Outcome},
    task::TaskId,
};

impl Moves<'_> {
    pub(super) fn promote(&mut self) -> rusqlite::Result<Promoted> {
        let now_ms = self.now_ms;
        let due = self.select(
            "state = 'w' AND due_ms <= ?1 ORDER BY due_ms, number LIMIT ?2",
            params![now_ms, MOVED_LIMIT],
        )?;
        let moved = due.len() as u64;
        for (_, run) in due {
            let run::State::Delayed { due_ms } = run.state else { continue };
            self.state.counts.delayed -= 1;
            // It is ready since it was due, not since it was noticed.
            self.pend(run, due_ms)?;
        }
        let mut next = self.db.prepare_cached("SELECT min(due_ms) FROM task WHERE state = 'w'")?;
        let next: Option<u64> = next.query_row([], |row| row.get(0))?;
        Ok(Promoted { moved, next_in_ms: next.map(|due_ms| due_ms.saturating_sub(self.now_ms)) })
    }

    pub(super) fn cancel(&mut self, id: TaskId) -> rusqlite::Result<Cancel> {
        let Some(run) = self.find(id)? else { return Ok(Cancel::Unknown) };
        match run.state {
            run::State::Pending { .. } | run::State::Delayed { .. } => self.take_out(id, &run),
            run::State::InFlight { epoch, .. } => {
                self.db
                    .prepare_cached("UPDATE task SET cancel = 1 WHERE number = ?1")?
                    .execute([run.number])?;
                if let Some(lease) = self.state.leases.get_mut(&epoch) {
                    lease.stop.insert(id);
                }
                return Ok(Cancel::Stopping);
            }
            run::State::Dead(_) | run::State::Done(_) => return Ok(Cancel::Ended),
        }
        self.end(run, Outcome::Cancelled)?;
        Ok(Cancel::Cancelled)
    }

    pub(super) fn run_now(&mut self, id: TaskId) -> rusqlite::Result<RunNow> {
        let Some(run) = self.find(id)? else { return Ok(RunNow::Unknown) };
        match run.state {
            run::State::Pending { .. } => Ok(RunNow::Pending),
            run::State::InFlight { .. } => Ok(RunNow::InFlight),
            run::State::Delayed { .. } => {
                self.state.counts.delayed -= 1;
                let now_ms = self.now_ms;
                self.pend(run, now_ms)?;
                Ok(RunNow::Moved)
            }
            run::State::Dead(_) | run::State::Done(_) => Ok(RunNow::Ended),
        }
    }

    pub(super) fn unbury(&mut self, replay: bool, ids: &[TaskId]) -> rusqlite::Result<u64> {
        let mut moved = 0;
        for &id in ids {
            let Some(mut run) = self.find(id)?.filter(|run| matches!(run.state, run::State::Dead(_))) else {
                continue;
            };
            self.state.counts.dead -= 1;
            moved += 1;
            if replay {
                // It starts anew, also its budgets of failures and crashes.
                (run.failures, run.crashes, run.crashed_ms) = (0, 0, 0);
                self.set_error(&run, None)?;
                self.state.counts.replayed += 1;
                let now_ms = self.now_ms;
                self.pend(run, now_ms)?;
            } else {
                self.end(run, Outcome::Discarded)?;
            }
        }
        Ok(moved)
    }

    pub(super) fn change_rule(
        &mut self,
        scope: &Scope,
        change: RuleChange,
    ) -> rusqlite::Result<Option<Rule>> {
        let Some(rule) = change.of(self.state.turns.rule(scope)) else { return Ok(None) };
        if rule == Rule::default() {
            self.db.prepare_cached("DELETE FROM rule WHERE scope = ?1")?.execute([scope.to_string()])?;
        } else {
            let (interval_us, burst) = rule.rate.map_or((0, 0), |rate| (rate.interval_us, rate.burst));
            self.db
                .prepare_cached(
                    "INSERT OR REPLACE INTO rule (scope, paused, in_flight_limit, interval_us, burst) \
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![
                    scope.to_string(),
                    rule.paused,
                    rule.in_flight_limit.unwrap_or(0),
                    interval_us,
                    burst
                ])?;
        }
        self.state.turns.set_rule(scope.clone(), rule, self.state.clock_ms);
        Ok(Some(rule))
    }

    pub(super) fn sweep(&mut self, caps: &Caps) -> rusqlite::Result<u64> {
        let mut forgotten = 0;
        let Sizes { done, dead, .. } = self.sizes()?;
        let old = self.select("state = 'd' ORDER BY since_ms, number LIMIT ?1", params![MOVED_LIMIT])?;
        for (nth, (_, run)) in old.into_iter().enumerate() {
            if done - nth as u64 <= caps.done && self.now_ms.saturating_sub(run.since_ms) <= caps.done_age_ms
            {
                break;
            }
            self.db.prepare_cached("DELETE FROM task WHERE number = ?1")?.execute([run.number])?;
            forgotten += 1;
        }
        let letters = self.select("state = 'x' ORDER BY since_ms, number LIMIT ?1", params![MOVED_LIMIT])?;
        for (nth, (_, run)) in letters.into_iter().enumerate() {
            if dead - nth as u64 <= caps.dead && self.now_ms.saturating_sub(run.since_ms) <= caps.dead_age_ms
            {
                break;
            }
            self.state.counts.dead -= 1;
            self.end(run, Outcome::Discarded)?;
            forgotten += 1;
        }
        // A key is kept as long as its task is known.
        let oldest_ms = self.now_ms.saturating_sub(caps.key_age_ms);
        forgotten += self
            .db
            .prepare_cached(
                "DELETE FROM key WHERE key IN (SELECT key.key FROM key LEFT JOIN task ON task.id = key.id \
                 WHERE key.at_ms < ?1 AND task.id IS NULL LIMIT ?2)",
            )?
            .execute(params![oldest_ms, MOVED_LIMIT])? as u64;
        Ok(forgotten)
    }
}
