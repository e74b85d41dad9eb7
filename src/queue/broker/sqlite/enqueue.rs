//! What comes in.

use rusqlite::{OptionalExtension as _, params};

use super::{column::Parse as _, moves::Moves};
use crate::queue::{
    broker::contract::{Batch, Caps, Enqueued, Verdict},
    task::{Due, NewTask, TaskId},
};

impl Moves<'_> {
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
}
