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
    watcher::{Ended, Expected, View, judge, observe, settled},
};
use crate::history::History;

/// Tasks that the owner handles at a time.
const CONCURRENCY: usize = 5;

/// A file, its owner, and the history of what that does.
pub(crate) struct FileWorld {
    pub(crate) history: History,
    pub(crate) view: View,
    pub(crate) owner: Process,
    pub(crate) draws: ChaCha8Rng,
    synchronous: Synchronous,
    environment: Vec<(String, String)>,
    starts: u64,
    folder: tempfile::TempDir,
}

impl FileWorld {
    /// A world whose owner is started with further variables.
    pub(crate) fn start(seed: u64, synchronous: Synchronous, environment: Vec<(String, String)>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let history = History::at(&folder.path().join("history"), "");
        let view = View::of(&history);
        let mut draws = ChaCha8Rng::seed_from_u64(seed);
        let store =
            Store::File { folder: folder.path().join("store"), full: synchronous == Synchronous::Full };
        let (act, seed) = (Act::Own { concurrency: CONCURRENCY, from: 0 }, draws.random());
        let role = Role { act, who: "owner.0".to_owned(), history: history.path().to_owned(), store, seed };
        let owner = start(role, &environment);
        Self { history, view, owner, draws, synchronous, environment, starts: 0, folder }
    }

    /// The folder of the file.
    pub(crate) fn store(&self) -> std::path::PathBuf {
        self.folder.path().join("store")
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
        self.owner = start(Role { who, act, ..self.owner.role.clone() }, &self.environment);
    }

    /// After the owner was killed: opens the file here, lets what is left be done, and judges.
    pub(crate) async fn end(mut self, expected: &Expected) -> Ended {
        let lease_ms = LEASE.as_millis() as u64;
        let store = SqliteBroker::open(&self.store(), self.synchronous, lease_ms, Clock::wall());
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

fn start(role: Role, environment: &[(String, String)]) -> Process {
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Process::start(role, &environment)
}
