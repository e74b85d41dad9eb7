//! The result of `lab queue load`.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::Ending,
    config::counted,
    document,
    latency::{Percentiles, Quantile},
};

/// What became of tasks that were enqueued on a schedule (`lab queue load`).
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::app) struct LoadReport {
    /// The command that repeats it.
    pub(super) command: String,
    /// The queue.
    pub(super) url: String,
    /// Tasks whose time had come.
    pub(super) offered: u64,
    /// Tasks that were sent.
    pub(super) sent: u64,
    /// Tasks that the queue accepted (202).
    pub(super) accepted: u64,
    /// Answers of another status.
    pub(super) refused: BTreeMap<u16, u64>,
    /// Tasks without an answer: whether the queue has them is not known.
    pub(super) lost: u64,
    /// Tasks that were not sent, as too many enqueues were in flight.
    pub(super) not_sent: u64,
    pub(super) offered_per_second: f64,
    pub(super) accepted_per_second: f64,
    /// From the intended start of an enqueue to its answer, over all offered.
    pub(super) enqueue: Percentiles,
    /// From when a task could start to its start, as the server's `queue_wait_ms` counted it in this time, the tasks of
    /// others included; each up to its bucket's edge. Missing: no worker in that process measured one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) wait: Option<Percentiles>,
    /// From the enqueue to the end of a task by the store's clock, over all tasks that were asked about and are known:
    /// those that did not succeed are infinitely slow.
    pub(super) end_to_end: Percentiles,
    /// Accepted tasks that the queue was asked about: all, or of many so many, spread evenly.
    pub(super) asked: u64,
    /// How many of them are in each state; `forgotten`: ended, and their records are no longer kept.
    pub(super) states: BTreeMap<String, u64>,
    /// Whether it was waited until they ended.
    pub(super) waited: bool,
    /// Those that have not ended.
    pub(super) unfinished: u64,
    /// Accepted tasks that the queue does not have: it does not know them, or it counts fewer enqueues than it accepted.
    pub(super) missing: u64,
    /// Whether the queue's balance holds at the end.
    pub(super) balances: bool,
    /// The balance at the end.
    pub(super) balance: String,
    /// Whether it was stopped before its schedule ended.
    pub(super) interrupted: bool,
}

document!(LoadReport as "lab/queue-load/1");

impl LoadReport {
    /// What does not hold.
    fn faults(&self) -> Vec<String> {
        let tasks = |count| counted(count, "task", "tasks");
        let faults = [
            (self.accepted == 0, "nothing was accepted".to_owned()),
            (self.missing > 0, format!("{} accepted and missing", tasks(self.missing))),
            (!self.balances, "the queue's balance does not hold".to_owned()),
            (self.waited && self.unfinished > 0, format!("{} not ended in time", tasks(self.unfinished))),
        ];
        faults.into_iter().filter_map(|(is_so, fault)| is_so.then_some(fault)).collect()
    }

    /// The exit code.
    pub(super) fn ending(&self) -> Ending {
        if self.faults().is_empty() { Ending::Done } else { Ending::Failed }
    }
}

fn list<K: fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    let each: Vec<String> = counts.iter().map(|(name, count)| format!("{name}: {count}")).collect();
    if each.is_empty() { "none".to_owned() } else { each.join(", ") }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, of: &Percentiles, what: &str) -> fmt::Result {
    let show = |quantile: Quantile| quantile.to_string();
    writeln!(
        f,
        "{name:<12}{:>12}{:>12}{:>12}{:>12}{:>9}  {what}",
        show(of.p50),
        show(of.p95),
        show(of.p99),
        show(of.max),
        of.n
    )
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.command)?;
        writeln!(
            f,
            "{}: offered {} ({:.1} /s), sent {}, accepted {} ({:.1} /s), refused {}, lost {}, not sent {}",
            self.url,
            self.offered,
            self.offered_per_second,
            self.sent,
            self.accepted,
            self.accepted_per_second,
            list(&self.refused),
            self.lost,
            self.not_sent
        )?;
        if self.interrupted {
            writeln!(f, "stopped before the schedule ended")?;
        }
        writeln!(f)?;
        writeln!(f, "{:<12}{:>12}{:>12}{:>12}{:>12}{:>9}", "", "p50", "p95", "p99", "max", "n")?;
        row(f, "enqueue", &self.enqueue, "from the intended start to the answer")?;
        match &self.wait {
            Some(wait) => row(f, "wait", wait, "from ready to started, all tasks of the queue; /metrics")?,
            None => writeln!(f, "{:<12}not known: no worker in the process that was asked", "wait")?,
        }
        row(f, "end to end", &self.end_to_end, "from enqueued to succeeded; GET /task")?;
        writeln!(f)?;
        writeln!(f, "asked about {}: {}", counted(self.asked, "task", "tasks"), list(&self.states))?;
        writeln!(
            f,
            "balance     {}: {}",
            self.balance,
            if self.balances { "holds" } else { "does NOT hold" }
        )?;
        match self.faults() {
            faults if faults.is_empty() => write!(f, "nothing accepted is missing"),
            faults => write!(f, "FAILED: {}", faults.join("; ")),
        }
    }
}
