//! The result of a run.

use std::{fmt, time::Duration};

use serde::Serialize;
use utoipa::ToSchema;

use super::{board::Board, collector::Collected, queue::JobLedger};
use crate::config::counted;
use crate::latency::{DurationText, Percentiles, milliseconds};

/// How a run ended.
#[derive(Debug)]
#[must_use]
pub struct PipelineEnd {
    /// Whether everything was drained; if not, the backlog counts the jobs left.
    pub drained: bool,
    /// Why the run started no more jobs, if that was neither the end of its jobs nor a stop.
    pub halted: Option<String>,
    /// Its statistics.
    pub statistics: PipelineStatistics,
    /// The collector's counts, if the run waited for it.
    pub collected: Collected,
}

/// The statistics of a run, for people and for programs.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = pipeline::Statistics)]
pub struct PipelineStatistics {
    /// The balance.
    #[serde(flatten)]
    pub ledger: JobLedger,
    /// Whether its terms balance.
    pub balances: bool,
    /// How long it took, the drain included, milliseconds.
    pub elapsed_ms: f64,
    /// From intended arrival to end, retries included; without any if the drain was cut short.
    pub sojourn: Percentiles,
    /// Failed attempts that were followed by another.
    pub retries: u64,
    /// Jobs that were skipped because one already waited for room.
    pub held_back: u64,
    /// The sum of the workers' running times, seconds: what one would pay for.
    pub worker_seconds: f64,
    /// How often the number of workers was changed.
    pub worker_changes: u64,
}

impl PipelineEnd {
    pub(super) fn of(board: &Board, elapsed: Duration, collected: Collected) -> Self {
        let (ledger, counts) = (board.ledger(), board.counts());
        let statistics = PipelineStatistics {
            ledger,
            balances: ledger.balances(),
            elapsed_ms: milliseconds(elapsed),
            sojourn: (&collected.sojourn).into(),
            retries: counts.retried,
            held_back: counts.held_back,
            worker_seconds: board.reading().paid.as_secs_f64(),
            worker_changes: board.scalings().changes,
        };
        Self { drained: ledger.backlog == 0, halted: board.why_halted(), statistics, collected }
    }

    /// Whether the run was halted before any job ran.
    #[must_use]
    pub fn did_nothing(&self) -> bool {
        let PipelineStatistics { ledger, retries, .. } = &self.statistics;
        self.halted.is_some() && ledger.succeeded + ledger.permanently_failed + retries == 0
    }
}

impl fmt::Display for PipelineStatistics {
    /// The statistics, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let JobLedger { created, succeeded, permanently_failed, backlog, .. } = self.ledger;
        let seconds = self.elapsed_ms / 1e3;
        let Percentiles { n, p50, p95, p99, .. } = self.sojourn;
        writeln!(f, "=== Final Statistics ===")?;
        writeln!(
            f,
            "Jobs: {succeeded} succeeded, {permanently_failed} failed for good, {}",
            counted(self.retries, "retry", "retries")
        )?;
        writeln!(f, "Left out, since one already waited for room: {}", self.held_back)?;
        writeln!(f, "Elapsed: {}", DurationText(Duration::from_secs_f64(seconds)))?;
        writeln!(
            f,
            "Throughput: {:.2} jobs/sec",
            (succeeded + permanently_failed) as f64 / seconds.max(f64::EPSILON)
        )?;
        writeln!(f, "From arrival to end, retries included: p50 {p50}, p95 {p95}, p99 {p99} (n {n})")?;
        writeln!(
            f,
            "Workers: {:.0} worker-seconds, {:.1} on average, {}",
            self.worker_seconds,
            self.worker_seconds / seconds.max(f64::EPSILON),
            counted(self.worker_changes, "change", "changes")
        )?;
        let holds = if self.balances { "" } else { " DOES NOT HOLD" };
        write!(
            f,
            "Balance: created {created} = succeeded {succeeded} + permanently failed {permanently_failed} \
             + backlog {backlog}{holds}"
        )
    }
}
