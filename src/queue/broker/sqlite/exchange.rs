//! What a worker settles and claims.

use rusqlite::params;

use super::{look::spec, moves::Moves};
use crate::queue::{
    broker::contract::{
        Claimed, Epoch, Exchange, Exchanged, Handles, MOVED_LIMIT, Settled, Settlement, Traded,
    },
    run::{self, Outcome, Run},
    settle::{DeathReason, Settle},
    task::TaskId,
};

impl Moves<'_> {
    pub(super) fn exchange(&mut self, epoch: &Epoch, exchange: &Exchange) -> rusqlite::Result<Exchanged> {
        let Some(lease) = self.lease(epoch) else { return Ok(Exchanged::Expired) };
        if lease.round == exchange.round {
            let held = &lease.held;
            let mut answer = lease.answer.clone();
            answer.claimed.retain(|task| held.contains(&task.id));
            answer.unreadable.retain(|(id, _)| held.contains(id));
            return Ok(Exchanged::Done(answer));
        }
        if lease.round + 1 != exchange.round {
            return Ok(Exchanged::Late);
        }
        let settled = exchange.settled.iter().map(|settlement| self.settle(epoch.number, settlement));
        let settled = settled.collect::<rusqlite::Result<Vec<_>>>()?;
        self.state.turns.settle(self.state.clock_ms);
        let mut traded = Traded { settled, ..Traded::default() };
        if !self.claim_suspect(epoch.number, exchange, &mut traded)? {
            self.claim(epoch.number, exchange.want, &exchange.handles, &mut traded)?;
        }
        if traded.claimed.len() < exchange.want as usize {
            traded.next_start_in_ms = self.state.turns.next_start_in_ms(self.state.clock_ms);
        }
        self.db
            .prepare_cached("UPDATE epoch SET round = ?2 WHERE number = ?1")?
            .execute(params![epoch.number, exchange.round])?;
        if let Some(lease) = self.state.leases.get_mut(&epoch.number) {
            lease.round = exchange.round;
            lease.answer = traded.clone();
        }
        Ok(Exchanged::Done(traded))
    }

    fn settle(&mut self, epoch: u64, settlement: &Settlement) -> rusqlite::Result<Settled> {
        let Settlement { id, delivery, settle } = settlement;
        let Some(lease) = self.state.leases.get_mut(&epoch) else { return Ok(Settled::Stale) };
        if !lease.held.contains(id) {
            return Ok(Settled::Stale);
        }
        let Some(mut run) = self.find(*id)?.filter(|run| run.delivery == *delivery) else {
            return Ok(Settled::Stale);
        };
        let stopped = self.state.leases.get_mut(&epoch).is_some_and(|lease| lease.stop.remove(id));
        self.land(epoch, *id, &run.lane);
        if stopped {
            self.end(run, Outcome::Cancelled)?;
            return Ok(Settled::Cancelled);
        }
        match settle {
            Settle::Succeeded => self.end(run, Outcome::Succeeded)?,
            Settle::Cancelled => self.end(run, Outcome::Cancelled)?,
            Settle::HandBack => {
                let now_ms = self.now_ms;
                self.pend(run, now_ms)?;
            }
            Settle::Snooze { delay_ms } => {
                let due_ms = self.now_ms.saturating_add(*delay_ms);
                self.delay(run, due_ms)?;
            }
            Settle::Retry { delay_ms, error } => {
                run.failures += 1;
                self.set_error(&run, Some(error))?;
                self.state.counts.retried += 1;
                let due_ms = self.now_ms.saturating_add(*delay_ms);
                self.delay(run, due_ms)?;
            }
            Settle::Bury { reason, error } => {
                if *reason != DeathReason::Crashed {
                    run.failures += 1;
                }
                self.bury(run, *reason, error)?;
            }
        }
        Ok(Settled::Applied)
    }

    /// Claims a suspect, or tells the process to empty itself first. Returns whether it may claim nothing else.
    fn claim_suspect(
        &mut self,
        epoch: u64,
        exchange: &Exchange,
        traded: &mut Traded,
    ) -> rusqlite::Result<bool> {
        let holds = self.state.leases.get(&epoch).map_or(0, |lease| lease.held.len());
        let is_holder = self.state.suspects_of == Some(epoch);
        if self.state.suspects_of.is_some() && !is_holder {
            return Ok(false);
        }
        let suspect = if self.state.suspects == 0 { None } else { self.suspect(&exchange.handles)? };
        match suspect {
            None if is_holder && holds > 0 => traded.empty_yourself = true,
            _ if is_holder && holds == 0 && (suspect.is_none() || exchange.want == 0) => {
                self.state.suspects_of = None;
                return Ok(false);
            }
            Some((id, run)) if is_holder || exchange.want > 0 => {
                self.state.suspects_of = Some(epoch);
                if holds > 0 {
                    traded.empty_yourself = true;
                } else {
                    self.state.suspects -= 1;
                    self.state.turns.start(&run.lane, 1, self.state.clock_ms);
                    self.take(epoch, id, run, true, traded)?;
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The first suspect that may be started and that the worker handles.
    fn suspect(&mut self, handles: &Handles) -> rusqlite::Result<Option<(TaskId, Run)>> {
        let suspects = self.select("state = 's' ORDER BY number LIMIT 100", [])?;
        Ok(suspects.into_iter().find(|(_, run)| {
            let is_handled = match handles {
                Handles::Any => true,
                Handles::Only(kinds) => kinds.contains(&run.lane.kind),
            };
            is_handled && self.state.turns.may_start(&run.lane, self.state.clock_ms)
        }))
    }

    fn claim(
        &mut self,
        epoch: u64,
        want: u32,
        handles: &Handles,
        traded: &mut Traded,
    ) -> rusqlite::Result<()> {
        let mut left = u64::from(want).min(MOVED_LIMIT as u64);
        // A lane's turn is a sixteenth of what is wanted, as in `exchange.lua`.
        let quantum = (left / 16).max(1);
        let mut budget = MOVED_LIMIT as u64;
        let clock_ms = self.state.clock_ms;
        while left > 0 && budget > 0 {
            let Some((lane, most)) = self.state.turns.next(handles, quantum.min(left), clock_ms) else {
                break;
            };
            let first = self.select(
                "lane = ?1 AND state = 'p' ORDER BY number LIMIT ?2",
                params![lane.to_string(), most],
            )?;
            let taken = first.len() as u64;
            let mut started = 0;
            for (id, run) in first {
                if run.deadline_ms > 0 && run.deadline_ms <= self.now_ms {
                    self.state.counts.pending -= 1;
                    self.end(run, Outcome::Expired)?;
                } else {
                    self.take(epoch, id, run, false, traded)?;
                    started += 1;
                }
            }
            left -= started;
            budget = budget.saturating_sub(taken.max(1));
            self.state.turns.took(&lane, taken, started, clock_ms);
        }
        Ok(())
    }

    /// Puts a task in flight.
    fn take(
        &mut self,
        epoch: u64,
        id: TaskId,
        mut run: Run,
        alone: bool,
        traded: &mut Traded,
    ) -> rusqlite::Result<()> {
        let ready_ms = run.since_ms;
        run.delivery += 1;
        run.state = run::State::InFlight { epoch, alone, ready_ms };
        run.since_ms = self.now_ms;
        self.write(&run)?;
        let mut find = self.db.prepare_cached("SELECT spec FROM task WHERE number = ?1")?;
        let spec = find.query_row([run.number], |row| Ok(spec(row, 0)))?;
        if let Some(lease) = self.state.leases.get_mut(&epoch) {
            lease.held.insert(id);
        }
        self.state.counts.pending -= 1;
        self.state.counts.in_flight += 1;
        let Run { lane, delivery, failures, crashes, .. } = run;
        let started_ms = self.now_ms;
        match spec {
            Some(spec) => traded.claimed.push(Claimed {
                id,
                lane,
                spec,
                delivery,
                failures,
                crashes,
                alone,
                ready_ms,
                started_ms,
            }),
            None => traded.unreadable.push((id, delivery)),
        }
        Ok(())
    }
}
