//! The transitions, each within one transaction of the writer.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    column::{Parse as _, broken},
    state::{Lease, State},
};
use crate::queue::{
    broker::contract::{
        Batch, Beat, Cancel, Caps, Claimed, CrashRule, Enqueued, Epoch, Exchange, Exchanged, Handles, Known,
        LaneStats, Looked, MOVED_LIMIT, ProcessStats, Promoted, Reaped, RunNow, Settled, Settlement, Sizes,
        Stats, Traded, Verdict,
    },
    lane::{Lane, Rule, Scope},
    run::{self, Outcome, Run},
    settle::{DeathReason, Settle},
    task::{Due, NewTask, Spec, TaskId},
};

/// The queue's tables and its state, at a time.
pub(super) struct Moves<'a> {
    pub(super) db: &'a Connection,
    pub(super) state: &'a mut State,
    /// The time, in milliseconds since 1970.
    pub(super) now_ms: u64,
}

/// The columns that [`record`] reads.
const RECORD: &str = "number, id, lane, state, extra, due_ms, epoch, alone, ready_ms, delivery, failures, crashes, \
                      crashed_ms, since_ms, deadline_ms, enqueued_ms";

fn record(row: &Row<'_>) -> rusqlite::Result<(TaskId, Run)> {
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

    fn find(&self, id: TaskId) -> rusqlite::Result<Option<Run>> {
        let mut find = self.db.prepare_cached(&format!("SELECT {RECORD} FROM task WHERE id = ?1"))?;
        Ok(find.query_row([id.to_string()], record).optional()?.map(|(_, run)| run))
    }

    /// The records that `filter` selects.
    fn select(&self, filter: &str, values: impl rusqlite::Params) -> rusqlite::Result<Vec<(TaskId, Run)>> {
        let mut select = self.db.prepare_cached(&format!("SELECT {RECORD} FROM task WHERE {filter}"))?;
        select.query_map(values, record)?.collect()
    }

    /// Writes the state of a task, and the counts of its record.
    fn write(&self, run: &Run) -> rusqlite::Result<()> {
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

    fn set_error(&self, run: &Run, error: Option<&str>) -> rusqlite::Result<()> {
        let mut set = self.db.prepare_cached("UPDATE task SET error = ?2 WHERE number = ?1")?;
        set.execute(params![run.number, error]).map(drop)
    }

    fn pend(&mut self, mut run: Run, since_ms: u64) -> rusqlite::Result<()> {
        run.state = run::State::Pending { suspect: false };
        run.since_ms = since_ms;
        self.write(&run)?;
        self.state.turns.add(&run.lane, 1, self.state.clock_ms);
        self.state.counts.pending += 1;
        Ok(())
    }

    fn delay(&mut self, mut run: Run, due_ms: u64) -> rusqlite::Result<()> {
        run.state = run::State::Delayed { due_ms };
        run.since_ms = self.now_ms;
        self.state.counts.delayed += 1;
        self.write(&run)
    }

    fn end(&mut self, mut run: Run, outcome: Outcome) -> rusqlite::Result<()> {
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

    fn bury(&mut self, mut run: Run, reason: DeathReason, error: &str) -> rusqlite::Result<()> {
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
    fn land(&mut self, epoch: u64, id: TaskId, lane: &Lane) {
        if let Some(lease) = self.state.leases.get_mut(&epoch) {
            lease.held.remove(&id);
        }
        self.state.turns.end(lane);
        self.state.counts.in_flight -= 1;
    }

    pub(super) fn enqueue(
        &mut self,
        tasks: &[NewTask],
        batch: Batch,
        caps: &Caps,
    ) -> rusqlite::Result<Enqueued> {
        let mut verdicts = Vec::with_capacity(tasks.len());
        let mut fresh = Vec::new();
        let mut new_kinds = std::collections::BTreeSet::new();
        let mut new_ids = std::collections::HashSet::new();
        let mut new_keys = std::collections::HashMap::new();
        let mut bytes = 0;
        for task in tasks {
            let kept = match &task.key {
                None => None,
                Some(key) => match new_keys.get(&key.key) {
                    Some(kept) => Some(Clone::clone(kept)),
                    None => self
                        .db
                        .prepare_cached("SELECT fingerprint, id FROM key WHERE key = ?1")?
                        .query_row([&key.key], |row| Ok((row.get::<_, String>(0)?, row.parse::<TaskId>(1)?)))
                        .optional()?,
                },
            };
            let mut known = self.db.prepare_cached("SELECT 1 FROM task WHERE id = ?1")?;
            let kind = task.lane.kind.as_str();
            let verdict = match (&task.key, kept) {
                (_, Some((_, id))) if id == task.id => Verdict::Known,
                (Some(key), Some((fingerprint, id))) if key.fingerprint == fingerprint => Verdict::Same(id),
                (_, Some((_, id))) => Verdict::Conflict(id),
                _ if new_ids.contains(&task.id) || known.exists([task.id.to_string()])? => Verdict::Known,
                _ if !new_kinds.contains(kind)
                    && !self.db.prepare_cached("SELECT 1 FROM kind WHERE name = ?1")?.exists([kind])? =>
                {
                    if self.state.kinds + new_kinds.len() as u64 >= caps.types {
                        Verdict::TooManyTypes
                    } else {
                        new_kinds.insert(kind);
                        Verdict::Queued
                    }
                }
                _ => Verdict::Queued,
            };
            if verdict == Verdict::Queued {
                let spec = task.spec.to_bytes();
                bytes += spec.len() as u64;
                new_ids.insert(task.id);
                if let Some(key) = &task.key {
                    new_keys.insert(key.key.clone(), (key.fingerprint.clone(), task.id));
                }
                fresh.push((task, spec));
            }
            verdicts.push(verdict);
        }
        let refuses = |verdict: &Verdict| matches!(verdict, Verdict::Conflict(_) | Verdict::TooManyTypes);
        if batch == Batch::Whole && verdicts.iter().any(refuses) {
            return Ok(Enqueued::Refused(verdicts));
        }
        let counts = &self.state.counts;
        let live = counts.pending + counts.in_flight + counts.delayed + counts.dead;
        let is_full = live + fresh.len() as u64 > caps.tasks || counts.bytes + bytes > caps.bytes;
        if is_full && !fresh.is_empty() {
            return Ok(Enqueued::Full);
        }
        // Nothing was written until here.
        for kind in new_kinds {
            self.db.prepare_cached("INSERT INTO kind (name) VALUES (?1)")?.execute([kind])?;
            self.state.kinds += 1;
        }
        for (task, spec) in fresh {
            self.insert(task, spec)?;
        }
        self.state.counts.bytes += bytes;
        Ok(Enqueued::Taken(verdicts))
    }

    fn insert(&mut self, task: &NewTask, spec: Vec<u8>) -> rusqlite::Result<()> {
        let due_ms = match task.due {
            Due::Now => 0,
            Due::InMs(ms) => self.now_ms.saturating_add(ms),
            Due::AtMs(ms) => ms,
        };
        let is_ready = due_ms <= self.now_ms;
        self.db
            .prepare_cached(
                "INSERT INTO task (id, lane, state, due_ms, since_ms, deadline_ms, enqueued_ms, spec) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?5, ?7)",
            )?
            .execute(params![
                task.id.to_string(),
                task.lane.to_string(),
                if is_ready { "p" } else { "w" },
                if is_ready { 0 } else { due_ms },
                self.now_ms,
                task.spec.deadline_ms,
                spec,
            ])?;
        if let Some(key) = &task.key {
            self.db
                .prepare_cached("INSERT INTO key (key, fingerprint, id, at_ms) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![key.key, key.fingerprint, task.id.to_string(), self.now_ms])?;
        }
        self.state.counts.enqueued += 1;
        if is_ready {
            self.state.turns.add(&task.lane, 1, self.state.clock_ms);
            self.state.counts.pending += 1;
        } else {
            self.state.counts.delayed += 1;
        }
        Ok(())
    }

    pub(super) fn register(
        &mut self,
        owner: &str,
        secret: &str,
        lease_ms: u64,
        who: &str,
    ) -> rusqlite::Result<Epoch> {
        self.db
            .prepare_cached("INSERT INTO epoch (owner, secret, who) VALUES (?1, ?2, ?3)")?
            .execute([owner, secret, who])?;
        let number = self.db.last_insert_rowid() as u64;
        let lease = Lease::new(Some(secret.to_owned()), who.to_owned(), self.state.clock_ms + lease_ms);
        self.state.leases.insert(number, lease);
        Ok(Epoch { number, secret: secret.to_owned() })
    }

    /// The lease of a process, if it is alive.
    fn lease(&mut self, epoch: &Epoch) -> Option<&mut Lease> {
        let clock_ms = self.state.clock_ms;
        let lease = self.state.leases.get_mut(&epoch.number)?;
        let is_alive = lease.secret.as_deref() == Some(&epoch.secret) && lease.expires_ms > clock_ms;
        is_alive.then_some(lease)
    }

    pub(super) fn beat(&mut self, epoch: &Epoch, lease_ms: u64) -> Beat {
        let expires_ms = self.state.clock_ms + lease_ms;
        let Some(lease) = self.lease(epoch) else { return Beat::Expired };
        lease.expires_ms = expires_ms;
        Beat::Alive { held: lease.held.len() as u64, cancel: lease.stop.iter().copied().collect() }
    }

    pub(super) fn exchange(&mut self, epoch: &Epoch, exchange: &Exchange) -> rusqlite::Result<Exchanged> {
        let Some(lease) = self.lease(epoch) else { return Ok(Exchanged::Expired) };
        if lease.round == exchange.round {
            let held = &lease.held;
            let mut answer = lease.answer.clone();
            answer.claimed.retain(|task| held.contains(&task.id));
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
            traded.claimed = self.claim(epoch.number, exchange.want, &exchange.handles)?;
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
                    traded.claimed.push(self.take(epoch, id, run, true)?);
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The first suspect that may be started and that the worker handles.
    fn suspect(&self, handles: &Handles) -> rusqlite::Result<Option<(TaskId, Run)>> {
        let suspects = self.select("state = 's' ORDER BY number LIMIT 100", [])?;
        Ok(suspects.into_iter().find(|(_, run)| {
            let is_handled = match handles {
                Handles::Any => true,
                Handles::Only(kinds) => kinds.contains(&run.lane.kind),
            };
            is_handled && self.state.turns.may_start(&run.lane, self.state.clock_ms)
        }))
    }

    fn claim(&mut self, epoch: u64, want: u32, handles: &Handles) -> rusqlite::Result<Vec<Claimed>> {
        let mut left = u64::from(want).min(MOVED_LIMIT as u64);
        // A lane's turn is a sixteenth of what is wanted, as in `exchange.lua`.
        let quantum = (left / 16).max(1);
        let mut budget = MOVED_LIMIT as u64;
        let mut claimed = Vec::new();
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
                    claimed.push(self.take(epoch, id, run, false)?);
                    started += 1;
                }
            }
            left -= started;
            budget = budget.saturating_sub(taken);
            self.state.turns.took(&lane, taken, started, clock_ms);
        }
        Ok(claimed)
    }

    /// Puts a task in flight.
    fn take(&mut self, epoch: u64, id: TaskId, mut run: Run, alone: bool) -> rusqlite::Result<Claimed> {
        let ready_ms = run.since_ms;
        run.delivery += 1;
        run.state = run::State::InFlight { epoch, alone, ready_ms };
        run.since_ms = self.now_ms;
        self.write(&run)?;
        let mut find = self.db.prepare_cached("SELECT spec FROM task WHERE number = ?1")?;
        let spec: Vec<u8> = find.query_row([run.number], |row| row.get(0))?;
        let spec = Spec::from_bytes(&Bytes::from(spec)).ok_or_else(|| broken("a task's spec"))?;
        if let Some(lease) = self.state.leases.get_mut(&epoch) {
            lease.held.insert(id);
        }
        self.state.counts.pending -= 1;
        self.state.counts.in_flight += 1;
        let Run { lane, delivery, failures, crashes, .. } = run;
        let started_ms = self.now_ms;
        Ok(Claimed { id, lane, spec, delivery, failures, crashes, alone, ready_ms, started_ms })
    }

    pub(super) fn leave(&mut self, epoch: &Epoch) -> rusqlite::Result<()> {
        let Some(lease) = self.state.leases.get_mut(&epoch.number) else { return Ok(()) };
        if lease.secret.as_deref() != Some(&epoch.secret) {
            return Ok(());
        }
        if self.state.suspects_of == Some(epoch.number) {
            self.state.suspects_of = None;
        }
        if lease.held.is_empty() {
            return self.forget_lease(epoch.number);
        }
        lease.expires_ms = 0;
        Ok(())
    }

    fn forget_lease(&mut self, epoch: u64) -> rusqlite::Result<()> {
        self.state.leases.remove(&epoch);
        self.db.prepare_cached("DELETE FROM epoch WHERE number = ?1")?.execute([epoch]).map(drop)
    }

    pub(super) fn promote(&mut self) -> rusqlite::Result<Promoted> {
        let due = self.select(
            "state = 'w' AND due_ms <= ?1 ORDER BY due_ms, number LIMIT ?2",
            params![self.now_ms, MOVED_LIMIT],
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

    pub(super) fn reap(&mut self, rule: CrashRule) -> rusqlite::Result<Reaped> {
        let clock_ms = self.state.clock_ms;
        let expired = self.state.leases.iter_mut().find(|(_, lease)| lease.expires_ms <= clock_ms);
        let Some((&epoch, lease)) = expired else { return Ok(Reaped::default()) };
        // From here on the epoch cannot settle, claim or renew: it never revives.
        lease.secret = None;
        let mut reaped = Reaped { epoch: Some(epoch), who: lease.who.clone(), ..Reaped::default() };
        let ids: Vec<TaskId> = lease.held.iter().copied().take(MOVED_LIMIT).collect();
        for id in ids {
            self.crash(epoch, id, rule, &mut reaped)?;
        }
        if self.state.leases.get(&epoch).is_some_and(|lease| lease.held.is_empty()) {
            self.forget_lease(epoch)?;
            if self.state.suspects_of == Some(epoch) {
                self.state.suspects_of = None;
            }
        }
        Ok(reaped)
    }

    /// Returns a task whose process died.
    fn crash(
        &mut self,
        epoch: u64,
        id: TaskId,
        rule: CrashRule,
        reaped: &mut Reaped,
    ) -> rusqlite::Result<()> {
        let stopped = self.state.leases.get_mut(&epoch).is_some_and(|lease| lease.stop.remove(&id));
        let Some(mut run) = self.find(id)? else { return Err(broken("a held task without a record")) };
        self.land(epoch, id, &run.lane);
        self.state.counts.reclaimed += 1;
        let is_recent = self.now_ms.saturating_sub(run.crashed_ms) <= rule.memory_ms;
        run.crashes = if is_recent { run.crashes } else { 0 } + 1;
        run.crashed_ms = self.now_ms;
        if stopped {
            return self.end(run, Outcome::Cancelled);
        }
        if matches!(run.state, run::State::InFlight { alone: true, .. }) {
            reaped.dead += 1;
            let error = format!("its process died while it ran alone: {}", reaped.who);
            return self.bury(run, DeathReason::Crashed, &error);
        }
        if run.crashes >= rule.suspect_after {
            reaped.suspects += 1;
            run.state = run::State::Pending { suspect: true };
            run.since_ms = self.now_ms;
            self.state.counts.pending += 1;
            self.state.suspects += 1;
            return self.write(&run);
        }
        reaped.returned += 1;
        let now_ms = self.now_ms;
        self.pend(run, now_ms)
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

    pub(super) fn cancel(&mut self, id: TaskId) -> rusqlite::Result<Cancel> {
        let Some(run) = self.find(id)? else { return Ok(Cancel::Unknown) };
        match run.state {
            run::State::Pending { suspect } => {
                self.state.counts.pending -= 1;
                if suspect {
                    self.state.suspects -= 1;
                } else {
                    self.state.turns.remove(&run.lane, 1);
                }
            }
            run::State::Delayed { .. } => self.state.counts.delayed -= 1,
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

    pub(super) fn set_rule(&mut self, scope: &Scope, rule: Rule) -> rusqlite::Result<()> {
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
        Ok(())
    }

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

    fn sizes(&self) -> rusqlite::Result<Sizes> {
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
