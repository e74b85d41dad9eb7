//! A queue in a file, with the one process that owns it.

use std::time::Duration;

use lab::{
    queue::broker::{Broker, Clock, SqliteBroker},
    shutdown::Shutdown,
    storage::sqlite::Synchronous,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio_util::sync::CancellationToken;

use super::{
    process::Process,
    role::{Act, LEASE, Role, Store, work},
    watcher::{Ended, Expected, View, judge, note_hit, observe, settled},
};
use crate::{
    history::{History, What, now_us},
    power::{Power, Undone},
};

/// Tasks that the owner handles at a time.
const CONCURRENCY: usize = 5;
/// Tasks that it does at least before it is killed.
const TASKS: usize = 80;

/// A file, its owner, and the history of what that does.
pub(crate) struct FileWorld {
    pub(crate) history: History,
    pub(crate) view: View,
    pub(crate) owner: Process,
    pub(crate) draws: ChaCha8Rng,
    synchronous: Synchronous,
    /// What a kill takes back, if it is a power cut.
    power: Option<Power>,
    starts: u64,
    folder: tempfile::TempDir,
}

impl FileWorld {
    /// A world whose owner is killed, and with `cuts` by a power cut.
    pub(crate) fn start(seed: u64, synchronous: Synchronous, cuts: bool) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder"), seed, synchronous, cuts)
    }

    /// The same in this folder: the file is in its folder `store`.
    pub(crate) fn start_in(
        folder: tempfile::TempDir,
        seed: u64,
        synchronous: Synchronous,
        cuts: bool,
    ) -> Self {
        let history = History::at(&folder.path().join("history"), "");
        let view = View::of(&history);
        let mut draws = ChaCha8Rng::seed_from_u64(seed);
        let store = folder.path().join("store");
        let power = cuts.then(|| Power::over(&store));
        let store = Store::File { folder: store, full: synchronous == Synchronous::Full };
        let (act, seed) = (Act::Own { concurrency: CONCURRENCY, from: 0 }, draws.random());
        let role = Role { act, who: "owner.0".to_owned(), history: history.path().to_owned(), store, seed };
        let owner = Process::start(role, &environment(power.as_ref()));
        Self { history, view, owner, draws, synchronous, power, starts: 0, folder }
    }

    /// Waits until the owner has done something and is at work, and kills it. Returns whether it had tasks, and what
    /// was taken back.
    pub(crate) async fn kill(&mut self, kind: &str) -> (bool, Undone) {
        let who = self.owner.role.who.clone();
        let enough = self.view.ended() + TASKS;
        let works = self.view.until(|view| view.ended() > enough && view.holds(&who)).await;
        assert!(works, "{who} does not work: see its log beside {}", self.history.path().display());
        let from_us = now_us();
        self.owner.kill();
        let undone = self.power.as_ref().map(Power::cut);
        note_hit(&self.history, &who, kind, from_us, true);
        (self.view.holds(&who), undone.unwrap_or_default())
    }

    /// Waits until nothing is accepted for this long; whether that came.
    pub(crate) async fn stands_still(&mut self, quiet: Duration) -> bool {
        let mut reader = self.history.reader();
        let mut last_us = now_us();
        let quiet_us = u64::try_from(quiet.as_micros()).expect("short");
        self.view
            .until(|_| {
                let accepted = reader.more().into_iter().filter(|event| event.what == What::Accepted);
                last_us = accepted.map(|event| event.at_us).fold(last_us, u64::max);
                now_us() > last_us + quiet_us
            })
            .await
    }

    /// Lets the world go on for a moment, drawn from the seed.
    pub(crate) async fn pause(&mut self) {
        let ms = self.draws.random_range(50..300);
        // Faults come at any time.
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    /// Starts the owner again, which sends its last batch again: it may not have been answered.
    pub(crate) fn revive(&mut self) {
        self.starts += 1;
        let who = format!("owner.{}", self.starts);
        let act = Act::Own { concurrency: CONCURRENCY, from: self.view.last_batch("owner") };
        let role = Role { who, act, ..self.owner.role.clone() };
        self.owner = Process::start(role, &environment(self.power.as_ref()));
    }

    /// After the owner was killed: opens the file here, lets what is left be done, and judges.
    pub(crate) async fn end(mut self, expected: &Expected) -> Ended {
        let lease_ms = LEASE.as_millis() as u64;
        let store =
            SqliteBroker::open(&self.folder.path().join("store"), self.synchronous, lease_ms, Clock::wall());
        let store = store.expect("the file opens");
        let broker = Broker::Sqlite(store.clone());
        let role = Role { who: "last".to_owned(), ..self.owner.role.clone() };
        let (stop, over) = (Shutdown::new(None, Duration::ZERO), CancellationToken::new());
        let history = self.history.of(&role.who);
        let working = work(&broker, &role, CONCURRENCY, &history, &stop);
        let observing = observe(broker.clone(), self.history.of("observer"), over.clone());
        let settling = async {
            let is_settled = settled(&broker, &self.history, &mut self.view, expected).await;
            stop.trigger();
            is_settled
        };
        let working_and_settling = async {
            let ((), is_settled) = tokio::join!(working, settling);
            over.cancel();
            is_settled
        };
        let (is_settled, ()) = tokio::join!(working_and_settling, observing);
        let mut ended = judge(&broker, &self.history, expected, is_settled).await;
        store.close().await;
        if !ended.faults.is_empty() {
            ended.faults.push(format!("the history is in {}", self.folder.keep().display()));
        }
        ended
    }
}

fn environment(power: Option<&Power>) -> Vec<(String, String)> {
    power.map(Power::environment).unwrap_or_default()
}
