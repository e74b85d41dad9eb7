//! The kinds of faults, each struck while the queue works.

use std::time::Duration;

use lab::{
    labelled,
    queue::broker::{Broker, CrashRule},
};
use rand::{RngExt as _, seq::IndexedRandom as _};
use redis::cmd;
use rustix::process::Signal;

use super::{scripts::shipped, world::World};
use crate::{
    history::now_us,
    proxy::{Act, Trap},
};

/// How long a fault may take to meet something.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at the store, which has no sign for those who only watch.
const LOOK: Duration = Duration::from_millis(5);

labelled! {
    /// A kind of fault.
    pub(crate) enum Kind {
        /// `kill -9` of a worker with tasks in flight.
        KillWorker = "kill -9 of a worker",
        /// `kill -9` of a producer whose batch is sent and not answered.
        KillProducer = "kill -9 of a producer in a batch",
        /// `kill -9` of Redis with tasks in flight.
        KillRedis = "kill -9 of Redis",
        /// A worker stands still until its tasks are another's, and goes on.
        StopWorker = "SIGSTOP past the lease",
        /// A worker is killed while it drains.
        KillDraining = "kill -9 during the drain",
        /// A reply is cut after its script was carried out.
        CutReply = "reply cut after the script",
        /// The reply to a process that took back another's tasks is cut.
        CutReaper = "reply to a reaper cut",
        /// A connection falls silent with a request in flight.
        Silence = "silent connection",
        /// Redis forgets the scripts.
        FlushScripts = "SCRIPT FLUSH",
        /// Redis becomes a replica for a while, as after a failover.
        ReadOnly = "READONLY",
        /// Redis takes no more data.
        MemoryFull = "memory full",
        /// Two processes take back the tasks of a third one at once.
        RacingReapers = "two reapers racing",
    }
}

impl Kind {
    /// Strikes once. Returns whether it hit.
    pub(crate) async fn strike(self, world: &mut World) -> bool {
        let from_us = now_us();
        match self {
            Self::KillWorker => self.kill_worker(world).await,
            Self::KillProducer => self.kill_producer(world).await,
            Self::KillRedis => {
                world.view.until(|view| view.is_busy()).await;
                world.server.kill();
                let hit = world.view.is_busy();
                world.server.restart().await;
                world.hit("", self.label(), from_us, false);
                hit
            }
            Self::StopWorker => self.stop_worker(world).await,
            Self::KillDraining => self.kill_draining(world).await,
            Self::CutReply => {
                let bytes = world.draws.random_range(0..40);
                self.cut(world, Act::Cut { bytes }).await
            }
            Self::CutReaper => self.cut_reaper(world).await,
            Self::Silence => self.cut(world, Act::Silence).await,
            Self::FlushScripts => {
                say::<()>(world, "SCRIPT FLUSH").await;
                // A worker has it loaded again.
                let loaded = format!("SCRIPT EXISTS {}", shipped("exchange"));
                let hit = until(async || say::<Vec<u8>>(world, &loaded).await == [1]).await;
                world.hit("", self.label(), from_us, false);
                hit
            }
            Self::ReadOnly => {
                let before = errors(world, "READONLY").await;
                say::<()>(world, "REPLICAOF 127.0.0.1 1").await;
                let hit = until(async || errors(world, "READONLY").await > before).await;
                world.pause().await;
                say::<()>(world, "REPLICAOF NO ONE").await;
                world.hit("", self.label(), from_us, false);
                hit
            }
            Self::MemoryFull => {
                let before = errors(world, "OOM").await;
                say::<()>(world, "CONFIG SET maxmemory 1").await;
                let refused = until(async || errors(world, "OOM").await > before).await;
                // What is in the queue goes on.
                let done = world.view.ended();
                let goes_on = !world.view.is_busy() || world.view.until(|view| view.ended() > done).await;
                say::<()>(world, "CONFIG SET maxmemory 0").await;
                world.hit("", self.label(), from_us, false);
                if !goes_on {
                    world.faults.push("a full store stops the workers too".to_owned());
                }
                refused
            }
            Self::RacingReapers => self.race(world).await,
        }
    }

    /// Kills a worker and starts it again, as a supervisor does. Returns what it was called, and whether it had tasks.
    async fn kill_any(self, world: &mut World) -> (String, bool) {
        let at = world.draws.random_range(0..world.workers.len());
        let who = world.workers[at].who().to_owned();
        let busy = world.view.until(|view| view.holds(&who)).await;
        let from_us = now_us();
        world.kill_worker(at);
        world.hit(&who, self.label(), from_us, true);
        let hit = busy && world.view.holds(&who);
        world.revive_worker(at).await;
        (who, hit)
    }

    async fn kill_worker(self, world: &mut World) -> bool {
        self.kill_any(world).await.1
    }

    async fn kill_producer(self, world: &mut World) -> bool {
        let at = world.draws.random_range(0..world.producers.len());
        let request = shipped("enqueue").into_bytes();
        let trap = Trap { request, reply: |_| true, act: Act::Silence };
        let sprung = world.producers[at].proxy.arm(trap);
        let hit = tokio::time::timeout(PATIENCE, sprung).await.is_ok();
        let from_us = now_us();
        world.producers[at].process.kill();
        world.hit(world.producers[at].who(), self.label(), from_us, false);
        world.revive_producer(at).await;
        hit
    }

    async fn stop_worker(self, world: &mut World) -> bool {
        let at = world.draws.random_range(0..world.workers.len());
        let who = world.workers[at].who().to_owned();
        world.view.until(|view| view.holds(&who)).await;
        let from_us = now_us();
        world.workers[at].process.signal(Signal::STOP);
        let held = world.view.holds(&who);
        let lease = world.workers[at].process.leased_as();
        let gone = until(async || !leases(world).await.contains(&lease)).await;
        world.workers[at].process.signal(Signal::CONT);
        // It finds out, and takes another lease.
        let back =
            until(async || world.workers[at].process.has_ended() || leases(world).await.contains(&lease));
        let back = back.await && !world.workers[at].process.has_ended();
        world.hit(&who, self.label(), from_us, true);
        if !back {
            world.faults.push(format!("{who} does not come back"));
        }
        held && gone
    }

    async fn kill_draining(self, world: &mut World) -> bool {
        let at = world.draws.random_range(0..world.workers.len());
        let who = world.workers[at].who().to_owned();
        world.view.until(|view| view.holds(&who)).await;
        world.workers[at].process.signal(Signal::TERM);
        let ms = world.draws.random_range(0..30);
        // Into the drain, which has no sign of its own.
        tokio::time::sleep(Duration::from_millis(ms)).await;
        let drained = world.workers[at].process.has_ended();
        let from_us = now_us();
        world.kill_worker(at);
        world.hit(&who, self.label(), from_us, true);
        let hit = !drained && world.view.holds(&who);
        world.revive_worker(at).await;
        hit
    }

    /// Cuts the reply to a request that changes something, or all replies from it on. None of them costs a lease.
    async fn cut(self, world: &mut World, act: Act) -> bool {
        let name =
            *["enqueue", "exchange", "exchange", "promote", "beat"].choose(&mut world.draws).expect("some");
        let processes = if name == "enqueue" { &world.producers } else { &world.workers };
        let process = processes.choose(&mut world.draws).expect("some");
        let trap = Trap { request: shipped(name).into_bytes(), reply: |_| true, act };
        let from_us = now_us();
        let hit = tokio::time::timeout(PATIENCE, process.proxy.arm(trap)).await.is_ok();
        world.hit(process.who(), self.label(), from_us, false);
        hit
    }

    async fn cut_reaper(self, world: &mut World) -> bool {
        let request = shipped("reap").into_bytes();
        // Not that nobody died.
        let took =
            |reply: &[u8]| reply.windows(6).any(|part| part.starts_with(b"*5\r\n:") && part[5] != b'0');
        let (_, killed) = self.kill_any(world).await;
        let traps = world.workers.iter().map(|worker| {
            worker.proxy.arm(Trap { request: request.clone(), reply: took, act: Act::Cut { bytes: 0 } })
        });
        let first = futures_util::future::select_ok(traps.collect::<Vec<_>>());
        let cut = tokio::time::timeout(PATIENCE, first).await.is_ok_and(|sprung| sprung.is_ok());
        killed && cut
    }

    async fn race(self, world: &mut World) -> bool {
        let (one, other) = (Broker::Redis(world.broker.apart()), Broker::Redis(world.broker.apart()));
        let (_, killed) = self.kill_any(world).await;
        let raced = until(async || {
            let (one, other) = tokio::join!(one.reap(CrashRule::default()), other.reap(CrashRule::default()));
            [one, other].into_iter().flatten().any(|reaped| reaped.epoch.is_some())
        });
        raced.await && killed
    }
}

/// Waits until something holds; whether that came.
async fn until(mut holds: impl AsyncFnMut() -> bool) -> bool {
    let asked = async {
        while !holds().await {
            // See `LOOK`.
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.is_ok()
}

/// Sends a command, until it is answered.
async fn say<T: redis::FromRedisValue>(world: &World, text: &str) -> T {
    let mut words = text.split(' ');
    let mut command = cmd(words.next().expect("a command"));
    for word in words {
        command.arg(word);
    }
    loop {
        match world.broker.redis().command(&command).await {
            Ok(answer) => return answer,
            // A connection may be of before a restart.
            Err(error) => tracing::debug!(%error, "asked again"),
        }
    }
}

/// How often the server has refused something with this code.
async fn errors(world: &World, code: &str) -> u64 {
    let info: String = say(world, "INFO errorstats").await;
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("errorstat_{code}:count=")));
    line.map_or(0, |count| count.trim().parse().expect("a number"))
}

/// The names of the processes that have a lease.
async fn leases(world: &World) -> Vec<String> {
    match Broker::Redis(world.broker.clone()).stats().await {
        Ok(stats) => stats.processes.into_iter().map(|process| process.who).collect(),
        Err(_) => Vec::new(),
    }
}
