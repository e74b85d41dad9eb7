//! A queueing station: who runs, who waits, who is done when. Pure: time is an argument.
//!
//! All running calls share one pace (1 unless a [`Contention::Usl`] slows them), so the station keeps
//! a *progress clock*: how much work each running call has been given since the start. A call that
//! begins at progress p with work w is done at progress p + w, whatever the pace does in between, and
//! the earliest to finish is the smallest such number. Events are processed in order at their exact
//! times, even when the station is looked at late: a pool of c servers never loses time to a timer.

use std::collections::{BTreeSet, HashMap};

use super::{Contention, OnCallerGone};

/// The work of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Service time at full pace, nanoseconds.
    pub work_ns: u64,
    /// Whether it ends in a failure (after the full time).
    pub fails: bool,
}

/// The balance sheet of a station:
/// `started = completed + failed + cancelled + in_flight`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StationLedger {
    /// Calls that arrived.
    pub started: u64,
    /// Calls that succeeded.
    pub completed: u64,
    /// Calls that ended in a failure, refusals included.
    pub failed: u64,
    /// Calls given up before their end because their caller left.
    pub cancelled: u64,
    /// Calls waiting or running now.
    pub in_flight: u64,
    /// Calls among the completed and failed whose caller had gone.
    pub orphaned: u64,
    /// Time that orphaned calls ran after their caller had gone, nanoseconds.
    pub orphaned_ns: u64,
}

/// The result of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It had no work and found a free server: it is done.
    Done,
    /// It runs or waits under this number.
    Admitted(u64),
    /// The queue is full.
    Refused,
}

/// A call that reached its end.
#[derive(Debug, PartialEq, Eq)]
pub struct Departure<T> {
    /// The payload of the call.
    pub payload: T,
    /// Whether it failed.
    pub failed: bool,
    /// When it ended, station time in nanoseconds.
    pub at_ns: u64,
}

#[derive(Debug)]
struct Job<T> {
    work: Work,
    payload: T,
    running: Option<Running>,
    gone_ns: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    since_ns: u64,
    done_at_progress_ns: u64,
}

/// A queueing station whose calls carry a payload `T` that comes back when they end.
#[derive(Debug)]
pub struct Station<T> {
    contention: Contention,
    now_ns: u64,
    progress_ns: u64,
    next_id: u64,
    jobs: HashMap<u64, Job<T>>,
    running: BTreeSet<(u64, u64)>,
    /// Numbers grow with every arrival, so their order is first in, first out.
    waiting: BTreeSet<u64>,
    ledger: StationLedger,
}

impl<T> Station<T> {
    /// An empty station at time 0.
    pub fn new(contention: Contention) -> Self {
        Self {
            contention,
            now_ns: 0,
            progress_ns: 0,
            next_id: 0,
            jobs: HashMap::new(),
            running: BTreeSet::new(),
            waiting: BTreeSet::new(),
            ledger: StationLedger::default(),
        }
    }

    /// A call arrives at `now_ns`. Call [`Station::advance`] to that time first.
    ///
    /// If the station has been advanced a little further than `now_ns`, because a completion was
    /// announced at the nearest tick before it, a call that finds a free server starts at its own
    /// time all the same: announcements that are early then make up for those that are late.
    ///
    /// `payload` is made only for a call that stays.
    pub fn arrive(&mut self, now_ns: u64, work: Work, payload: impl FnOnce() -> T) -> Admission {
        self.pass_time(now_ns);
        let ahead_ns = self.now_ns.saturating_sub(now_ns);
        self.ledger.started += 1;
        let starts = self.running.len() < self.contention.servers();
        if starts && work.work_ns == 0 {
            self.count_end(work.fails);
            return Admission::Done;
        }
        if !starts && self.waiting.len() >= self.contention.queue_capacity() {
            self.ledger.failed += 1;
            return Admission::Refused;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.jobs.insert(id, Job { work, payload: payload(), running: None, gone_ns: None });
        self.ledger.in_flight += 1;
        if starts {
            self.start(id, ahead_ns);
        } else {
            self.waiting.insert(id);
        }
        Admission::Admitted(id)
    }

    /// The caller of `id` has left; `policy` says what becomes of the call. A second time, or after
    /// the end, nothing happens.
    pub fn leave(&mut self, now_ns: u64, id: u64, policy: OnCallerGone) {
        self.pass_time(now_ns);
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let drops = match policy {
            OnCallerGone::Abort => true,
            OnCallerGone::Dequeue => job.running.is_none(),
            OnCallerGone::Continue => false,
        };
        if !drops {
            job.gone_ns.get_or_insert(self.now_ns);
            return;
        }
        match job.running {
            Some(running) => {
                self.running.remove(&(running.done_at_progress_ns, id));
            }
            None => {
                self.waiting.remove(&id);
            }
        }
        self.jobs.remove(&id);
        self.ledger.in_flight -= 1;
        self.ledger.cancelled += 1;
        self.fill_servers();
    }

    /// Processes everything that is due up to `now_ns`, each event at its own exact time.
    pub fn advance(&mut self, now_ns: u64, departures: &mut Vec<Departure<T>>) {
        while let Some(due_ns) = self.next_due_ns().filter(|due_ns| *due_ns <= now_ns) {
            self.pass_time(due_ns);
            let Some((done_at, id)) = self.running.pop_first() else {
                break;
            };
            // Rounding of the pace must not leave the progress clock short of the call it ends.
            self.progress_ns = self.progress_ns.max(done_at);
            if let Some(job) = self.jobs.remove(&id) {
                self.ledger.in_flight -= 1;
                self.count_end(job.work.fails);
                if let Some(gone_ns) = job.gone_ns {
                    let since_ns = job.running.map_or(self.now_ns, |running| running.since_ns);
                    self.ledger.orphaned += 1;
                    self.ledger.orphaned_ns += self.now_ns.saturating_sub(gone_ns.max(since_ns));
                }
                departures.push(Departure {
                    payload: job.payload,
                    failed: job.work.fails,
                    at_ns: self.now_ns,
                });
            }
            self.fill_servers();
        }
        self.pass_time(now_ns);
    }

    /// When the next call ends if nothing else happens, nanoseconds.
    pub fn next_due_ns(&self) -> Option<u64> {
        let &(done_at_progress_ns, _) = self.running.first()?;
        let left_ns = done_at_progress_ns.saturating_sub(self.progress_ns);
        let pace = self.contention.pace(self.running.len());
        Some(self.now_ns + stretched(left_ns, pace))
    }

    /// Changes the servers, the queue or the law while calls are in progress. Calls already waiting
    /// keep their place even if the new queue is shorter. Advance to `now_ns` first.
    pub fn reshape(&mut self, now_ns: u64, contention: Contention) {
        self.pass_time(now_ns);
        self.contention = contention;
        self.fill_servers();
    }

    /// The terms of the balance now.
    pub fn ledger(&self) -> StationLedger {
        self.ledger
    }

    fn pass_time(&mut self, now_ns: u64) {
        let elapsed_ns = now_ns.saturating_sub(self.now_ns);
        if elapsed_ns == 0 {
            return;
        }
        let pace = self.contention.pace(self.running.len());
        self.progress_ns += if pace == 1.0 { elapsed_ns } else { (elapsed_ns as f64 * pace) as u64 };
        self.now_ns = now_ns;
    }

    fn fill_servers(&mut self) {
        while self.running.len() < self.contention.servers() {
            let Some(id) = self.waiting.pop_first() else {
                break;
            };
            self.start(id, 0);
        }
    }

    /// Starts a call `ahead_ns` before the station's time.
    fn start(&mut self, id: u64, ahead_ns: u64) {
        let given_ns = (ahead_ns as f64 * self.contention.pace(self.running.len() + 1)) as u64;
        if let Some(job) = self.jobs.get_mut(&id) {
            let done_at_progress_ns = (self.progress_ns + job.work.work_ns).saturating_sub(given_ns);
            job.running = Some(Running { since_ns: self.now_ns - ahead_ns, done_at_progress_ns });
            self.running.insert((done_at_progress_ns, id));
        }
    }

    fn count_end(&mut self, failed: bool) {
        if failed {
            self.ledger.failed += 1;
        } else {
            self.ledger.completed += 1;
        }
    }
}

/// How long `work_ns` takes at `pace`, rounded up so that time always moves on.
fn stretched(work_ns: u64, pace: f64) -> u64 {
    if pace == 1.0 { work_ns } else { (work_ns as f64 / pace).ceil() as u64 }
}

#[cfg(test)]
#[path = "station_tests.rs"]
mod tests;
