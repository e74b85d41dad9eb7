//! Rows that cannot be read: what another program, or a damaged disk, left in the file.
//!
//! Such a row must stop nobody. It becomes a dead letter of the reason `malformed`, with what of it can be read.

use rusqlite::{OptionalExtension as _, Row, params};

use super::moves::Moves;
use crate::queue::{lane::Lane, settle::DeathReason, task::TaskId};

/// What the error of such a dead letter says.
const ERROR: &str = "its record cannot be read";
/// The lane of a task that has none that can be read.
const LOST: &str = "2|lost|";

/// What can be read of a row.
struct Remains {
    letter: String,
    id: Option<TaskId>,
    lane: Option<Lane>,
    enqueued_ms: Option<u64>,
}

impl Remains {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let text = |column| row.get_ref(column).map(|value| value.as_str().unwrap_or_default().to_owned());
        Ok(Self {
            letter: text(0)?,
            id: text(1)?.parse().ok(),
            lane: text(2)?.parse().ok(),
            enqueued_ms: row.get_ref(3)?.as_i64().ok().and_then(|at| at.try_into().ok()),
        })
    }
}

impl Moves<'_> {
    /// Makes a dead letter of a row. The record of a task that has ended is forgotten.
    pub(super) fn bury_unreadable(&mut self, number: u64) -> rusqlite::Result<()> {
        let remains = {
            let mut find =
                self.db.prepare_cached("SELECT state, id, lane, enqueued_ms FROM task WHERE number = ?1")?;
            find.query_row([number], Remains::of).optional()?
        };
        let Some(Remains { letter, id, lane, enqueued_ms }) = remains else { return Ok(()) };
        if letter == "d" {
            return self.db.prepare_cached("DELETE FROM task WHERE number = ?1")?.execute([number]).map(drop);
        }
        self.forget_place(&letter, id, lane.as_ref());
        let id = id.unwrap_or_else(TaskId::new);
        tracing::warn!(%id, number, "a task whose record cannot be read is a dead letter now");
        self.state.counts.dead += 1;
        self.state.counts.buried += u64::from(letter != "x");
        self.db
            .prepare_cached(
                "UPDATE task SET id = ?2, lane = ?3, state = 'x', extra = ?4, due_ms = 0, epoch = 0, alone = 0, \
                 ready_ms = 0, delivery = ?5, failures = 0, crashes = 0, crashed_ms = 0, since_ms = ?6, \
                 deadline_ms = 0, enqueued_ms = ?7, cancel = 0, error = ?8 WHERE number = ?1",
            )?
            .execute(params![
                number,
                id.to_string(),
                lane.map_or_else(|| LOST.to_owned(), |lane| lane.to_string()),
                DeathReason::Malformed.label(),
                // Its number of deliveries may be lost too: the time in seconds is above any that was given.
                self.now_ms / 1_000,
                self.now_ms,
                enqueued_ms.unwrap_or(self.now_ms),
                ERROR,
            ])
            .map(drop)
    }

    /// The counts, and what is kept beside the rows, no longer have the task.
    fn forget_place(&mut self, letter: &str, id: Option<TaskId>, lane: Option<&Lane>) {
        let state = &mut *self.state;
        let count = match letter {
            "p" | "s" => &mut state.counts.pending,
            "f" => &mut state.counts.in_flight,
            "w" => &mut state.counts.delayed,
            "x" => &mut state.counts.dead,
            _ => return,
        };
        *count = count.saturating_sub(1);
        match (letter, lane) {
            ("s", _) => state.suspects = state.suspects.saturating_sub(1),
            ("p", Some(lane)) => state.turns.remove(lane, 1),
            ("f", lane) => {
                if let Some(lane) = lane {
                    state.turns.end(lane);
                }
                for lease in state.leases.values_mut() {
                    id.map(|id| lease.held.remove(&id));
                }
            }
            _ => {}
        }
    }
}
