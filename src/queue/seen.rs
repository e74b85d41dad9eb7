//! What was seen of the store last.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{
    broker::{Counts, LaneStats, Listed, Stats},
    claim::{Claim, Claims},
    recent::Accounts,
};

/// Rates are over this many looks.
const RATE_LOOKS: usize = 10;

/// What was seen of the store.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The last look that succeeded, and when.
    pub last: Option<(Instant, Stats)>,
    /// The lanes at that time.
    pub lanes: Vec<LaneStats>,
    /// Why the last look failed, if it did.
    pub away: Option<String>,
    /// The tasks that a viewer sees by name.
    pub(super) details: Details,
    /// The counts of the last looks, oldest first.
    counts: VecDeque<(Instant, Counts)>,
}

/// Tasks by name, the first of each list.
#[derive(Debug, Clone, Default)]
pub(super) struct Details {
    /// Dead letters, newest first.
    pub(super) dead: Vec<Listed>,
    /// Delayed tasks, soonest first.
    pub(super) delayed: Vec<Listed>,
    /// What processes hold, by the number of their leases.
    pub(super) held: Vec<(u64, Vec<Listed>)>,
    /// How attempts ended of late.
    pub(super) accounts: Accounts,
}

/// What waits, by whether it can be started.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Waiting([Part; Claim::ALL.len()]);

/// Tasks that wait.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part {
    pub(super) tasks: u64,
    /// How long the first of them has waited, in milliseconds; 0: there are none.
    pub(super) age_ms: u64,
}

impl Waiting {
    pub(super) fn each(self) -> impl Iterator<Item = (Claim, Part)> {
        Claim::ALL.into_iter().zip(self.0)
    }

    pub(super) fn of(self, claim: Claim) -> Part {
        self.0[claim as usize]
    }
}

/// Moves a second, over the last ten seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Tasks that were enqueued.
    pub enqueued: f64,
    /// Tasks that ended well.
    pub succeeded: f64,
    /// Attempts that failed.
    pub failed: f64,
}

impl Seen {
    /// How long the first task of any lane has waited, in milliseconds; `None`: nothing waits.
    pub fn oldest_age_ms(&self) -> Option<u64> {
        let (_, stats) = self.last.as_ref()?;
        self.lanes.iter().map(|lane| stats.now_ms.saturating_sub(lane.since_ms)).max()
    }

    /// What waits, by whether it can be started.
    pub(super) fn waiting(&self) -> Waiting {
        let mut waiting = Waiting::default();
        let Some((_, stats)) = &self.last else { return waiting };
        let claims = Claims::new(&stats.rules, &stats.processes);
        for LaneStats { lane, length, since_ms } in &self.lanes {
            let part = &mut waiting.0[claims.of(lane) as usize];
            part.tasks += length;
            part.age_ms = part.age_ms.max(stats.now_ms.saturating_sub(*since_ms));
        }
        waiting
    }

    /// The rates; `None` until there were two looks.
    pub fn rates(&self) -> Option<Rates> {
        let ((first, old), (last, new)) = self.counts.front().zip(self.counts.back())?;
        let seconds = last.duration_since(*first).as_secs_f64();
        let rate = |count: fn(&Counts) -> u64| count(new).saturating_sub(count(old)) as f64 / seconds;
        (seconds > 0.0).then(|| Rates {
            enqueued: rate(|counts| counts.enqueued),
            succeeded: rate(|counts| counts.succeeded),
            failed: rate(|counts| counts.retried + counts.buried),
        })
    }

    pub(super) fn look(&mut self, stats: Stats, lanes: Vec<LaneStats>, details: Details) {
        let now = Instant::now();
        self.counts.push_back((now, stats.counts));
        if self.counts.len() > RATE_LOOKS + 1 {
            self.counts.pop_front();
        }
        self.last = Some((now, stats));
        self.lanes = lanes;
        self.details = details;
        self.away = None;
    }
}
