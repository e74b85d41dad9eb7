//! The leases of worker processes, and what becomes of the tasks of those that died.

use super::{moves::Moves, state::Lease};
use crate::queue::{
    broker::contract::{Beat, CrashRule, Epoch, Handles, MOVED_LIMIT, Reaped},
    run::{self, Outcome},
    settle::DeathReason,
    task::TaskId,
};

impl Moves<'_> {
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
    pub(super) fn lease(&mut self, epoch: &Epoch) -> Option<&mut Lease> {
        let clock_ms = self.state.clock_ms;
        let lease = self.state.leases.get_mut(&epoch.number)?;
        let is_alive = lease.secret.as_deref() == Some(&epoch.secret) && lease.expires_ms > clock_ms;
        is_alive.then_some(lease)
    }

    pub(super) fn beat(&mut self, epoch: &Epoch, lease_ms: u64) -> Beat {
        let expires_ms = self.state.clock_ms + lease_ms;
        let Some(lease) = self.lease(epoch) else { return Beat::Expired };
        lease.expires_ms = expires_ms;
        let (round, held) = (lease.round, lease.held.len() as u64);
        Beat::Alive { round, held, cancel: lease.stop.iter().copied().collect() }
    }

    pub(super) fn report(&mut self, epoch: &Epoch, handles: Handles, account: String) {
        let Some(lease) = self.lease(epoch) else { return };
        lease.handles = match handles {
            Handles::Any => None,
            Handles::Only(kinds) => Some(kinds),
        };
        lease.account = Some(account);
    }

    pub(super) fn reports(&self) -> Vec<String> {
        self.state.leases.values().filter_map(|lease| lease.account.clone()).take(MOVED_LIMIT).collect()
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
        let Some(mut run) = self.find(id)? else {
            self.state.leases.get_mut(&epoch).map(|lease| lease.held.remove(&id));
            return Ok(());
        };
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
}
