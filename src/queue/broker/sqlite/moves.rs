//! The tables and the state at a time, and the moves of one task that every transition is made of.

use rusqlite::{Connection, Row, params};

use super::{
    column::{Parse as _, broken, readable},
    state::State,
};
use crate::queue::{
    lane::Lane,
    run::{self, Outcome, Run},
    settle::DeathReason,
    task::TaskId,
};

/// The queue's tables and its state, at a time.
pub(super) struct Moves<'a> {
    pub(super) db: &'a Connection,
    pub(super) state: &'a mut State,
    /// The time, in milliseconds since 1970.
    pub(super) now_ms: u64,
}

/// The columns that [`record`] reads.
pub(super) const RECORD: &str = "number, id, lane, state, extra, due_ms, epoch, alone, ready_ms, delivery, failures, crashes, \
                      crashed_ms, since_ms, deadline_ms, enqueued_ms";

pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<(TaskId, Run)> {
    let (letter, extra): (String, String) = (row.get(3)?, row.get(4)?);
    let state = match letter.as_str() {
        "p" => run::State::Pending { suspect: false },
        "s" => run::State::Pending { suspect: true },
        "f" => run::State::InFlight { epoch: row.get(6)?, alone: row.get(7)?, ready_ms: row.get(8)? },
        "w" => run::State::Delayed { due_ms: row.get(5)? },
        "x" => {
            let reason = DeathReason::ALL.into_iter().find(|reason| reason.label() == extra);
            run::State::Dead(reason.ok_or_else(|| broken(&extra))?)
        }
        _ => {
            let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.label() == extra);
            run::State::Done(outcome.ok_or_else(|| broken(&extra))?)
        }
    };
    let run = Run {
        state,
        number: row.get(0)?,
        lane: row.parse(2)?,
        delivery: row.get(9)?,
        failures: row.get(10)?,
        crashes: row.get(11)?,
        crashed_ms: row.get(12)?,
        since_ms: row.get(13)?,
        deadline_ms: row.get(14)?,
        enqueued_ms: row.get(15)?,
    };
    Ok((row.parse(1)?, run))
}

impl Moves<'_> {
    /// Runs a move: the clock goes on before, and the counts are written after.
    pub(super) fn run<T>(
        mut self,
        job: impl FnOnce(&mut Self) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.state.tick(self.now_ms);
        let before = self.state.counts;
        for number in std::mem::take(&mut self.state.unreadable) {
            self.bury_unreadable(number)?;
        }
        let result = job(&mut self)?;
        self.state.turns.settle(self.state.clock_ms);
        for ((name, was), (_, is)) in before.each().zip(self.state.counts.each()) {
            if was != is {
                self.db
                    .prepare_cached("INSERT OR REPLACE INTO count (name, value) VALUES (?1, ?2)")?
                    .execute(params![name, is])?;
            }
        }
        Ok(result)
    }

    pub(super) fn find(&mut self, id: TaskId) -> rusqlite::Result<Option<Run>> {
        Ok(self.select("id = ?1", [id.to_string()])?.pop().map(|(_, run)| run))
    }

    /// The records that `filter` selects. A row that cannot be read becomes a dead letter, and is left out.
    pub(super) fn select(
        &mut self,
        filter: &str,
        values: impl rusqlite::Params,
    ) -> rusqlite::Result<Vec<(TaskId, Run)>> {
        let (mut found, mut unreadable) = (Vec::new(), Vec::new());
        let mut select = self.db.prepare_cached(&format!("SELECT {RECORD} FROM task WHERE {filter}"))?;
        let mut rows = select.query(values)?;
        while let Some(row) = rows.next()? {
            match readable(record(row))? {
                Some(task) => found.push(task),
                None => unreadable.push(row.get(0)?),
            }
        }
        drop(rows);
        drop(select);
        for number in unreadable {
            self.bury_unreadable(number)?;
        }
        Ok(found)
    }

    /// Takes a task out of the state in which it is, before it ends in another way than by its worker.
    pub(super) fn take_out(&mut self, id: TaskId, run: &Run) {
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
            run::State::Done(_) => {}
        }
    }

    /// Writes the state of a task, and the counts of its record.
    pub(super) fn write(&self, run: &Run) -> rusqlite::Result<()> {
        let none = ("", 0, 0, false, 0);
        let (letter, (extra, due, epoch, alone, ready)) = match run.state {
            run::State::Pending { suspect: false } => ("p", none),
            run::State::Pending { suspect: true } => ("s", none),
            run::State::InFlight { epoch, alone, ready_ms } => ("f", ("", 0, epoch, alone, ready_ms)),
            run::State::Delayed { due_ms } => ("w", ("", due_ms, 0, false, 0)),
            run::State::Dead(reason) => ("x", (reason.label(), 0, 0, false, 0)),
            run::State::Done(outcome) => ("d", (outcome.label(), 0, 0, false, 0)),
        };
        self.db
            .prepare_cached(
                "UPDATE task SET state = ?2, extra = ?3, due_ms = ?4, epoch = ?5, alone = ?6, ready_ms = ?7, \
                 delivery = ?8, failures = ?9, crashes = ?10, crashed_ms = ?11, since_ms = ?12, cancel = 0 \
                 WHERE number = ?1",
            )?
            .execute(params![
                run.number,
                letter,
                extra,
                due,
                epoch,
                alone,
                ready,
                run.delivery,
                run.failures,
                run.crashes,
                run.crashed_ms,
                run.since_ms,
            ])?;
        Ok(())
    }

    pub(super) fn set_error(&self, run: &Run, error: Option<&str>) -> rusqlite::Result<()> {
        let mut set = self.db.prepare_cached("UPDATE task SET error = ?2 WHERE number = ?1")?;
        set.execute(params![run.number, error]).map(drop)
    }

    pub(super) fn pend(&mut self, mut run: Run, since_ms: u64) -> rusqlite::Result<()> {
        run.state = run::State::Pending { suspect: false };
        run.since_ms = since_ms;
        self.write(&run)?;
        self.state.turns.add(&run.lane, 1, self.state.clock_ms);
        self.state.counts.pending += 1;
        Ok(())
    }

    pub(super) fn delay(&mut self, mut run: Run, due_ms: u64) -> rusqlite::Result<()> {
        run.state = run::State::Delayed { due_ms };
        run.since_ms = self.now_ms;
        self.state.counts.delayed += 1;
        self.write(&run)
    }

    pub(super) fn end(&mut self, mut run: Run, outcome: Outcome) -> rusqlite::Result<()> {
        run.state = run::State::Done(outcome);
        run.since_ms = self.now_ms;
        self.write(&run)?;
        let mut size = self.db.prepare_cached("SELECT length(spec) FROM task WHERE number = ?1")?;
        let bytes: Option<u64> = size.query_row([run.number], |row| row.get(0))?;
        self.db.prepare_cached("UPDATE task SET spec = NULL WHERE number = ?1")?.execute([run.number])?;
        let counts = &mut self.state.counts;
        counts.bytes -= bytes.unwrap_or(0);
        counts.done += 1;
        match outcome {
            Outcome::Succeeded => counts.succeeded += 1,
            Outcome::Cancelled => counts.cancelled += 1,
            Outcome::Expired => counts.expired += 1,
            Outcome::Discarded => counts.discarded += 1,
        }
        Ok(())
    }

    pub(super) fn bury(&mut self, mut run: Run, reason: DeathReason, error: &str) -> rusqlite::Result<()> {
        run.state = run::State::Dead(reason);
        run.since_ms = self.now_ms;
        self.write(&run)?;
        if !error.is_empty() {
            self.set_error(&run, Some(error))?;
        }
        self.state.counts.dead += 1;
        self.state.counts.buried += 1;
        Ok(())
    }

    /// Takes a task out of flight.
    pub(super) fn land(&mut self, epoch: u64, id: TaskId, lane: &Lane) {
        if let Some(lease) = self.state.leases.get_mut(&epoch) {
            lease.held.remove(&id);
        }
        self.state.turns.end(lane);
        self.state.counts.in_flight -= 1;
    }
}
