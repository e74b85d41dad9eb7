//! What a run came to.

use std::{fmt, time::Duration};

use super::{board::Board, collector::Collected, queue::Ledger};
use crate::latency::DurationText;

/// How a run ended.
#[derive(Debug)]
#[must_use]
pub struct Ended {
    /// Whether everything was drained; if not, the backlog is what was left behind.
    pub drained: bool,
    /// Why no more jobs were begun, if not because there were none or a stop was asked for.
    pub halted: Option<String>,
    /// The balance.
    pub ledger: Ledger,
    /// Jobs that were left out because one already waited for room.
    pub held_back: u64,
    /// Failed attempts that were followed by another.
    pub retries: u64,
    /// How often the number of workers was changed.
    pub worker_changes: u64,
    /// Seconds that workers were there: what is paid for.
    pub worker_seconds: f64,
    /// How long it took, the drain included.
    pub elapsed: Duration,
    /// What the collector saw, if it was waited for.
    pub collected: Collected,
}

impl Ended {
    pub(super) fn of(board: &Board, elapsed: Duration, collected: Collected) -> Self {
        let (ledger, counts) = (board.ledger(), board.counts());
        Self {
            drained: ledger.backlog == 0,
            halted: board.why_halted(),
            ledger,
            held_back: counts.held_back,
            retries: counts.retried,
            worker_changes: board.scalings().changes,
            worker_seconds: board.reading().paid.as_secs_f64(),
            elapsed,
            collected,
        }
    }
}

impl fmt::Display for Ended {
    /// The statistics, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ledger { created, succeeded, permanently_failed, backlog, .. } = self.ledger;
        let seconds = self.elapsed.as_secs_f64();
        let sojourn = [0.5, 0.95, 0.99].map(|q| self.collected.sojourn.percentile(q));
        writeln!(f, "=== Final Statistics ===")?;
        writeln!(
            f,
            "Jobs: {succeeded} succeeded, {permanently_failed} failed for good, {} retries",
            self.retries
        )?;
        writeln!(f, "Left out, since one already waited for room: {}", self.held_back)?;
        writeln!(f, "Elapsed: {}", DurationText(self.elapsed))?;
        writeln!(
            f,
            "Throughput: {:.2} jobs/sec",
            (succeeded + permanently_failed) as f64 / seconds.max(f64::EPSILON)
        )?;
        writeln!(
            f,
            "From arrival to end, retries included: p50 {}, p95 {}, p99 {} (n {})",
            sojourn[0],
            sojourn[1],
            sojourn[2],
            self.collected.sojourn.offered()
        )?;
        writeln!(
            f,
            "Workers: {:.0} worker-seconds, {:.1} on average, {} changes",
            self.worker_seconds,
            self.worker_seconds / seconds.max(f64::EPSILON),
            self.worker_changes
        )?;
        let holds = if self.ledger.balances() { "" } else { " DOES NOT HOLD" };
        write!(
            f,
            "Balance: created {created} = succeeded {succeeded} + permanently failed {permanently_failed} \
             + backlog {backlog}{holds}"
        )
    }
}
