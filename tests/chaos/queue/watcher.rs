//! Who watches a queue: reads its history, asks the store what is done, and judges in the end.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
    time::Duration,
};

use futures_util::future::join_all;
use lab::queue::{
    TaskId,
    broker::{Broker, Looked, MOVED_LIMIT},
    run::{Outcome, State},
};
use tokio_util::sync::CancellationToken;

use super::{balance::balance, role::name};
use crate::{
    check::{check, lost},
    history::{Event, History, Reader, What},
};

/// How often the store is asked what is done.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
/// How long the history may take to show something that goes on all the time.
const SHOWN_LIMIT: Duration = Duration::from_secs(20);
/// How long all may take to be done after the last fault. Long: a busy machine is no fault.
const SETTLED_LIMIT: Duration = Duration::from_secs(90);
/// The same where something will not be done.
const SOON: Duration = Duration::from_secs(8);
/// Faults that are printed at most; the last one says where the history is.
const FAULTS_SHOWN: usize = 20;

/// What the history has shown so far.
pub(crate) struct View {
    reader: Reader,
    /// The tasks that each process has started and that are not known to have ended.
    held: HashMap<String, HashSet<String>>,
    /// The tasks that were accepted or started, and that are not known to have ended.
    open: HashSet<String>,
    ended: HashSet<String>,
    /// The last batch of each producer.
    batches: HashMap<String, u64>,
}

impl View {
    pub(crate) fn of(history: &History) -> Self {
        Self {
            reader: history.reader(),
            held: HashMap::new(),
            open: HashSet::new(),
            ended: HashSet::new(),
            batches: HashMap::new(),
        }
    }

    /// Reads on.
    fn look(&mut self) {
        for Event { who, id, what, .. } in self.reader.more() {
            match what {
                What::Offered { batch } => {
                    if let Some((producer, number)) = batch.split_once('/')
                        && let Ok(number) = number.parse()
                    {
                        self.batches.insert(name(producer).to_owned(), number);
                    }
                }
                What::Accepted | What::Started { .. } => {
                    if matches!(what, What::Started { .. }) {
                        self.held.entry(who).or_default().insert(id.clone());
                    }
                    if !self.ended.contains(&id) {
                        self.open.insert(id);
                    }
                }
                What::Failed { .. } => {
                    self.held.entry(who).or_default().remove(&id);
                }
                What::Acked { .. } | What::Buried => {
                    for held in self.held.values_mut() {
                        held.remove(&id);
                    }
                    self.open.remove(&id);
                    self.ended.insert(id);
                }
                What::Effect { .. } | What::Hit { .. } | What::Stalled { .. } => {}
            }
        }
    }

    /// Whether a process has started tasks that are not known to have ended.
    pub(crate) fn holds(&mut self, who: &str) -> bool {
        self.look();
        self.held.get(who).is_some_and(|held| !held.is_empty())
    }

    /// Whether any process has.
    pub(crate) fn is_busy(&mut self) -> bool {
        self.look();
        self.held.values().any(|held| !held.is_empty())
    }

    /// How many tasks have ended.
    pub(crate) fn ended(&mut self) -> usize {
        self.look();
        self.ended.len()
    }

    /// The last batch that a producer has sent, whatever start of it.
    pub(crate) fn last_batch(&mut self, producer: &str) -> u64 {
        self.look();
        self.batches.get(name(producer)).copied().unwrap_or(0)
    }

    /// Waits until the history shows something; whether that came.
    pub(crate) async fn until(&mut self, mut shows: impl FnMut(&mut Self) -> bool) -> bool {
        let shown = async {
            while !shows(self) {
                // A file has no sign.
                tokio::time::sleep(LOOK / 10).await;
            }
        };
        tokio::time::timeout(SHOWN_LIMIT, shown).await.is_ok()
    }
}

/// What is expected of a run, beside that all is well.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// These tasks are given up.
    pub(crate) buried: BTreeSet<String>,
    /// The store may forget what it accepted.
    pub(crate) forgets: bool,
    /// Something will not be done: that is not waited for long.
    pub(crate) soon: bool,
}

/// What came out of a run.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) faults: Vec<String>,
    /// Accepted and not done.
    pub(crate) lost: BTreeSet<String>,
    pub(crate) tasks: usize,
    pub(crate) starts: usize,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { faults, lost, tasks, starts } = self;
        write!(f, "{tasks} tasks done in {starts} starts, {} lost", lost.len())?;
        faults.iter().take(FAULTS_SHOWN).try_for_each(|fault| write!(f, "\n{fault}"))?;
        match faults.len().saturating_sub(FAULTS_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n... and {more} more; {}", faults[faults.len() - 1]),
        }
    }
}

/// Notes that a fault hit `who` (nothing: all), from `from_us` until now. `redo`: what was in flight may run again.
pub(crate) fn note_hit(history: &History, who: &str, kind: &str, from_us: u64, redo: bool) {
    history.of(who).note("", What::Hit { kind: kind.to_owned(), from_us, redo });
}

/// Waits until all that is known is done or given up as expected; whether that came. Dead letters that were not
/// expected are replayed: accidents may kill a task's process three times.
pub(crate) async fn settled(
    broker: &Broker,
    history: &History,
    view: &mut View,
    expected: &Expected,
) -> bool {
    let history = history.of("observer");
    let over = async {
        loop {
            view.look();
            let open: Vec<TaskId> = view.open.iter().map(|id| id.parse().expect("an id")).collect();
            let looks = join_all(open.iter().map(|id| broker.get(*id))).await;
            let dead = open.iter().zip(looks).filter(|(_, look)| match look {
                Ok(Looked::Known(known)) => matches!(known.run.state, State::Dead(_)),
                _ => false,
            });
            let (buried, accidents): (Vec<TaskId>, Vec<TaskId>) =
                dead.map(|(id, _)| *id).partition(|id| expected.buried.contains(&id.to_string()));
            history.write(buried.iter().map(|id| (id, What::Buried)));
            for accidents in accidents.chunks(MOVED_LIMIT) {
                // If it is away, they are found again.
                let _ = broker.replay(accidents).await;
            }
            let counts = broker.stats().await.map(|stats| stats.counts);
            let is_empty = counts.is_ok_and(|counts| counts.pending + counts.in_flight + counts.delayed == 0);
            if is_empty && (open.is_empty() || expected.forgets) {
                return;
            }
            // The store has no sign for those who only watch.
            tokio::time::sleep(5 * LOOK).await;
        }
    };
    let limit = if expected.soon { SOON } else { SETTLED_LIMIT };
    tokio::time::timeout(limit, over).await.is_ok()
}

/// Judges a run that has ended; `is_settled`: all was done in time.
pub(crate) async fn judge(
    broker: &Broker,
    history: &History,
    expected: &Expected,
    is_settled: bool,
) -> Ended {
    let events = history.events();
    let done = events.iter().filter(|event| matches!(event.what, What::Acked { .. }));
    let done: BTreeSet<&str> = done.map(|event| event.id.as_str()).collect();
    let starts = events.iter().filter(|event| matches!(event.what, What::Started { .. })).count();
    let mut faults = if expected.forgets { Vec::new() } else { check(&events, &expected.buried) };
    if !is_settled {
        faults.push("not over in time".to_owned());
    }
    match broker.stats().await {
        Ok(stats) => {
            faults.extend(balance(broker).await);
            let counts = (stats.counts.succeeded, stats.counts.enqueued);
            if !expected.forgets && counts != (done.len() as u64, (done.len() + expected.buried.len()) as u64)
            {
                faults.push(format!(
                    "{} tasks are done, and the store counts {:?}",
                    done.len(),
                    stats.counts
                ));
            }
        }
        // Such as a count below zero.
        Err(error) => {
            faults.push(format!("the store's counts cannot be read: {error}: {}", counts(broker).await))
        }
    }
    Ended { faults, lost: lost(&events).into_iter().map(str::to_owned).collect(), tasks: done.len(), starts }
}

/// The counts as they are kept.
async fn counts(broker: &Broker) -> String {
    let Broker::Redis(broker) = broker else { return "in a file".to_owned() };
    let mut all = redis::cmd("HGETALL");
    all.arg("{tasks:pending}|count");
    let counts: Result<HashMap<String, i64>, _> = broker.redis().command(&all).await;
    format!("{counts:?}")
}

/// Asks the store about each task whose work was done, and notes when it says so, until `over`.
pub(crate) async fn observe(broker: Broker, history: History, over: CancellationToken) {
    let mut reader = history.reader();
    let mut open = HashSet::new();
    loop {
        let is_over = over.is_cancelled();
        for event in reader.more() {
            match event.what {
                What::Effect { .. } => drop(open.insert(event.id)),
                What::Acked { .. } => drop(open.take(&event.id)),
                _ => {}
            }
        }
        let looks = open.iter().map(async |id: &String| {
            let look = broker.get(id.parse().expect("an id")).await;
            match look {
                Ok(Looked::Known(known)) if known.run.state == State::Done(Outcome::Succeeded) => {
                    Some((id.clone(), known.run.delivery))
                }
                _ => None,
            }
        });
        let done: Vec<(String, u64)> = join_all(looks).await.into_iter().flatten().collect();
        if !done.is_empty() {
            history.write(done.iter().map(|(id, delivery)| (id, What::Acked { delivery: *delivery })));
        }
        open.retain(|id| done.iter().all(|(done, _)| done != id));
        if is_over {
            return;
        }
        tokio::select! {
            biased;
            () = over.cancelled() => {}
            // The store has no sign for those who only watch.
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
