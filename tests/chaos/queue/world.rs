//! A queue in Redis with its processes.

use std::{net::SocketAddr, time::Duration};

use lab::queue::broker::{Broker, RedisBroker};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    process::Process,
    program::{Gone, post_batches, receive},
    role::{Act, Role, Store, last_log, name, watch},
    watcher::{Ended, Expected, View, judge, note_hit, observe, settled},
};
use crate::{history::History, proxy::Proxy, redis_server::RedisServer};

/// Worker processes.
const WORKERS: usize = 3;
/// Producer processes.
const PRODUCERS: usize = 2;
/// Tasks that a worker handles at a time.
const CONCURRENCY: usize = 5;

/// Texts to replace in requests, by others of the same length.
pub(crate) type Replaced = Vec<(Vec<u8>, Vec<u8>)>;

/// A process behind a proxy of its own.
pub(crate) struct Client {
    pub(crate) process: Process,
    pub(crate) proxy: Proxy,
    starts: u64,
}

impl Client {
    async fn start(role: Role, starts: u64, server: SocketAddr, replaced: Replaced) -> Self {
        let proxy = Proxy::before(server, replaced).await;
        let role = Role { store: Store::Redis(format!("redis://{}", proxy.addr())), ..role };
        Self { process: Process::start(role, &[]), proxy, starts }
    }

    pub(crate) fn who(&self) -> &str {
        &self.process.role.who
    }
}

/// A store, workers, producers, and the history of what they do.
pub(crate) struct World {
    pub(crate) server: RedisServer,
    /// Straight to the store, for who watches.
    pub(crate) broker: RedisBroker,
    pub(crate) history: History,
    pub(crate) view: View,
    pub(crate) workers: Vec<Client>,
    pub(crate) producers: Vec<Client>,
    pub(crate) draws: ChaCha8Rng,
    /// What was seen to be wrong before the end.
    pub(crate) faults: Vec<String>,
    replaced: Replaced,
    gone: Gone,
    /// Ends the posters of the program's API.
    posted: CancellationToken,
    posters: Vec<JoinHandle<()>>,
    /// Ends the observer.
    over: CancellationToken,
    observer: JoinHandle<()>,
    folder: tempfile::TempDir,
}

impl World {
    /// A world on a Redis that syncs each write; with `programs`, of the program itself.
    pub(crate) async fn start(seed: u64, programs: bool) -> Self {
        let server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
        let mut world = Self::around(server, seed, Vec::new()).await;
        if programs {
            world.populate_with_programs().await;
        } else {
            world.populate().await;
        }
        world
    }

    /// A world without processes. The proxies of those to come replace texts of requests.
    pub(crate) async fn around(server: RedisServer, seed: u64, replaced: Replaced) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let history = History::at(&folder.path().join("history"), "");
        // A standstill of the proxies is one of all processes.
        watch(history.clone());
        let broker = RedisBroker::connect(&server.url()).await.expect("connected");
        let over = CancellationToken::new();
        let observer = observe(Broker::Redis(broker.clone()), history.of("observer"), over.clone());
        Self {
            server,
            broker,
            view: View::of(&history),
            history,
            workers: Vec::new(),
            producers: Vec::new(),
            draws: ChaCha8Rng::seed_from_u64(seed),
            faults: Vec::new(),
            replaced,
            gone: Gone::default(),
            posted: CancellationToken::new(),
            posters: Vec::new(),
            over,
            observer: tokio::spawn(observer),
            folder,
        }
    }

    /// Starts workers and producers.
    pub(crate) async fn populate(&mut self) {
        for number in 0..WORKERS {
            let work = Act::Work { concurrency: CONCURRENCY };
            let worker = self.client(&format!("worker-{number}"), work).await;
            self.workers.push(worker);
        }
        for number in 0..PRODUCERS {
            let producer = self.client(&format!("api-{number}"), Act::Produce { from: 0 }).await;
            self.producers.push(producer);
        }
    }

    /// The same with the program itself.
    pub(crate) async fn populate_with_programs(&mut self) {
        let receiver = receive(self.history.clone(), self.gone.clone()).await;
        for number in 0..WORKERS {
            let worker = self.client(&format!("worker-{number}"), Act::Post { receiver }).await;
            self.workers.push(worker);
        }
        for number in 0..PRODUCERS {
            let name = format!("api-{number}");
            let api = self.client(&name, Act::Serve).await;
            self.producers.push(api);
            let (folder, own) = (self.folder.path().to_owned(), name.clone());
            let log = move || last_log(&folder, &own);
            let (seed, history) = (self.draws.random(), self.history.clone());
            let posting = post_batches(name, log, seed, history, self.posted.clone());
            self.posters.push(tokio::spawn(posting));
        }
    }

    /// Starts a process that is called `name`.
    pub(crate) async fn client(&mut self, name: &str, act: Act) -> Client {
        let (history, seed) = (self.history.path().to_owned(), self.draws.random());
        let role = Role { act, who: format!("{name}.0"), history, store: Store::Redis(String::new()), seed };
        Client::start(role, 0, self.server.addr(), self.replaced.clone()).await
    }

    /// Starts a worker that has ended again, as a supervisor does. It is another process, with another name.
    pub(crate) async fn revive_worker(&mut self, at: usize) {
        let role = self.workers[at].process.role.clone();
        self.workers[at] = self.again(role, self.workers[at].starts + 1).await;
    }

    /// Kills a worker.
    pub(crate) fn kill_worker(&mut self, at: usize) {
        self.workers[at].process.kill();
        self.gone.lock().insert(self.workers[at].who().to_owned());
    }

    /// Starts a producer that has ended again; it sends its last batch again: it may not have been answered.
    pub(crate) async fn revive_producer(&mut self, at: usize) {
        let role = self.producers[at].process.role.clone();
        let act = match role.act {
            Act::Produce { .. } => Act::Produce { from: self.view.last_batch(&role.who) },
            act => act,
        };
        let role = Role { act, ..role };
        self.producers[at] = self.again(role, self.producers[at].starts + 1).await;
    }

    async fn again(&self, role: Role, starts: u64) -> Client {
        let role = Role { who: format!("{}.{starts}", name(&role.who)), ..role };
        Client::start(role, starts, self.server.addr(), self.replaced.clone()).await
    }

    /// Lets the world go on for a moment, drawn from the seed.
    pub(crate) async fn pause(&mut self) {
        let ms = self.draws.random_range(50..300);
        // Faults come at any time.
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    /// Notes that a fault hit `who` (nothing: all), from `from_us` until now. `redo`: what was in flight may run again.
    pub(crate) fn hit(&self, who: &str, kind: &str, from_us: u64, redo: bool) {
        note_hit(&self.history, who, kind, from_us, redo);
    }

    /// Stops the producers, waits until all is done, stops the workers, and judges. If there is a fault, the folder
    /// with the history is kept and named.
    pub(crate) async fn end(mut self, expected: &Expected) -> Ended {
        self.posted.cancel();
        for poster in self.posters.drain(..) {
            poster.await.expect("no panic");
        }
        for producer in &mut self.producers {
            producer.process.stop().await;
        }
        let broker = Broker::Redis(self.broker.clone());
        let is_settled = settled(&broker, &self.history, &mut self.view, expected).await;
        for worker in &mut self.workers {
            worker.process.stop().await;
        }
        self.over.cancel();
        self.observer.await.expect("no panic");
        let mut ended = judge(&broker, &self.history, expected, is_settled).await;
        ended.faults.append(&mut self.faults);
        if !ended.faults.is_empty() {
            ended.faults.push(format!("the history is in {}", self.folder.keep().display()));
        }
        ended
    }
}
