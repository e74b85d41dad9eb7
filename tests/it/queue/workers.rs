//! Workers on both brokers: handlers, failures, drain, expiry, blocked runtimes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use lab::{
    queue::{
        NewTask, RateLimit, Rule, Tally, TaskId, Worker, WorkerSettings,
        broker::{Broker, Cancel, CrashRule, Looked},
        keeper::keep,
        run::{Outcome, State},
        settle::{DeathReason, RetryPolicy, Verdict},
    },
    shutdown::Shutdown,
};
use tokio::sync::{Semaphore, mpsc};

use super::store::{Store, on_both, task};
use crate::support::PATIENCE;

on_both! {
    every_task_is_handled_once_and_the_drain_leaves_nothing_running,
    what_fails_is_tried_again_and_what_fails_too_often_is_buried,
    a_running_task_is_cancelled_and_its_handler_dropped,
    at_the_end_of_the_drain_tasks_are_handed_back_uncharged,
    a_worker_whose_lease_expired_cancels_and_takes_another,
    an_idle_worker_starts_what_comes_at_once,
    a_worker_starts_as_its_rate_allows_although_its_heart_beats_more_often,
}

pub(super) fn settings(concurrency: usize) -> WorkerSettings {
    let retry = RetryPolicy { backoff_ms: 1, backoff_limit_ms: 5 };
    // Longer than any standstill of a busy machine.
    WorkerSettings { concurrency, lease: Duration::from_secs(60), retry, ..WorkerSettings::default() }
}

/// A worker that runs, with the keeper beside it.
pub(super) struct Running {
    pub(super) stop: Shutdown,
    worker: tokio::task::JoinHandle<Tally>,
    keeper: tokio::task::JoinHandle<()>,
}

impl Running {
    pub(super) fn start(broker: &Broker, worker: Worker) -> Self {
        let stop = Shutdown::new(None, Duration::ZERO);
        let (stops, ends) = (stop.clone(), stop.intake_closed().clone());
        let worker = tokio::spawn(async move { worker.run(&stops).await.expect("it works") });
        let broker = broker.clone();
        let keeper =
            tokio::spawn(
                async move { keep(&broker, &Default::default(), CrashRule::default(), &ends).await },
            );
        Self { stop, worker, keeper }
    }

    pub(super) async fn stopped(self) -> Tally {
        self.stop.trigger();
        self.ended().await
    }

    async fn ended(self) -> Tally {
        let tally = tokio::time::timeout(PATIENCE, self.worker).await.expect("in time").expect("no panic");
        self.keeper.await.expect("no panic");
        tally
    }
}

/// Waits until the store says that `holds`.
pub(super) async fn until(store: &Store, holds: impl Fn(&lab::queue::broker::Counts) -> bool) {
    let asked = async {
        while !holds(&store.broker.stats().await.expect("answered").counts) {
            // The store has no sign for those who only watch.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("in time");
}

async fn state(store: &Store, id: TaskId) -> State {
    match store.broker.get(id).await.expect("answered") {
        Looked::Known(known) => known.run.state,
        Looked::Unknown { .. } => panic!("unknown"),
    }
}

async fn every_task_is_handled_once_and_the_drain_leaves_nothing_running(store: Store) {
    let (handled, running, most) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (handled.clone(), running.clone(), most.clone());
    let worker = Worker::builder(store.broker.clone())
        .on("a", move |_| {
            let (handled, running, most) = counts.clone();
            async move {
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                tokio::task::yield_now().await;
                running.fetch_sub(1, SeqCst);
                handled.fetch_add(1, SeqCst);
                Verdict::Done
            }
        })
        .expect("a name")
        .settings(settings(7))
        .build();
    store.fill("2|a|", 300).await;
    // No handler has this type: it stays.
    store.fill("1|b|", 3).await;
    let worker = Running::start(&store.broker, worker);
    until(&store, |counts| counts.succeeded == 300).await;
    let tally = worker.stopped().await;
    assert_eq!((tally.started, tally.succeeded, handled.load(SeqCst)), (300, 300, 300));
    assert!(most.load(SeqCst) <= 7, "{most:?} at a time");
    let stats = store.broker.stats().await.expect("answered");
    assert_eq!((stats.counts.pending, stats.processes.len()), (3, 0));
    store.balances().await;
}

async fn what_fails_is_tried_again_and_what_fails_too_often_is_buried(store: Store) {
    let worker = Worker::builder(store.broker.clone())
        .on("flaky", |task| async move {
            match task.failures {
                0 => panic!("on purpose"),
                1 => Verdict::Failed { error: "not yet".to_owned(), retry_after_ms: None },
                _ => Verdict::Done,
            }
        })
        .and_then(|worker| worker.on("slow", |_| std::future::pending()))
        .and_then(|worker| {
            worker.on("hopeless", |_| async { Verdict::FailedForGood { error: "never".to_owned() } })
        })
        .expect("names")
        .settings(settings(5))
        .build();
    let mut slow = task("2|slow|");
    slow.spec.timeout_ms = 1;
    let hopeless = task("2|hopeless|");
    let flaky = task("2|flaky|");
    store.enqueue(&[flaky.clone(), slow.clone(), hopeless.clone()]).await;
    let worker = Running::start(&store.broker, worker);
    until(&store, |counts| counts.succeeded == 1 && counts.dead == 2).await;
    let tally = worker.stopped().await;
    assert_eq!((tally.succeeded, tally.failed), (1, 2 + 3 + 1));
    assert_eq!(state(&store, flaky.id).await, State::Done(Outcome::Succeeded));
    assert_eq!(state(&store, slow.id).await, State::Dead(DeathReason::Exhausted));
    assert_eq!(state(&store, hopeless.id).await, State::Dead(DeathReason::Final));
    let Looked::Known(known) = store.broker.get(slow.id).await.expect("answered") else { panic!("unknown") };
    assert_eq!((known.error.as_deref(), known.run.failures), (Some("timed out after 1ms"), 3));
    store.balances().await;
}

/// A worker whose handler says that it has begun, and then waits for a permit.
pub(super) fn gated(
    broker: &Broker,
    settings: WorkerSettings,
) -> (Worker, mpsc::UnboundedReceiver<TaskId>, Arc<Semaphore>) {
    let (begun, begins) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let permits = gate.clone();
    let worker = Worker::builder(broker.clone())
        .on("a", move |task| {
            let (begun, permits) = (begun.clone(), permits.clone());
            async move {
                begun.send(task.id).expect("somebody listens");
                permits.acquire().await.expect("open").forget();
                Verdict::Done
            }
        })
        .expect("a name")
        .settings(settings)
        .build();
    (worker, begins, gate)
}

async fn a_running_task_is_cancelled_and_its_handler_dropped(store: Store) {
    // A beat each two seconds.
    let often = WorkerSettings { lease: Duration::from_secs(12), ..settings(2) };
    let (worker, mut begins, gate) = gated(&store.broker, often);
    let ids = store.fill("2|a|", 2).await;
    let worker = Running::start(&store.broker, worker);
    for _ in 0..2 {
        begins.recv().await.expect("begun");
    }
    assert_eq!(store.broker.cancel(ids[0]).await.expect("answered"), Cancel::Stopping);
    until(&store, |counts| counts.cancelled == 1).await;
    gate.add_permits(1);
    until(&store, |counts| counts.succeeded == 1).await;
    worker.stopped().await;
    assert_eq!(state(&store, ids[0]).await, State::Done(Outcome::Cancelled));
    store.balances().await;
}

async fn at_the_end_of_the_drain_tasks_are_handed_back_uncharged(store: Store) {
    let (worker, mut begins, gate) = gated(&store.broker, settings(3));
    store.fill("2|a|", 4).await;
    let worker = Running::start(&store.broker, worker);
    for _ in 0..3 {
        begins.recv().await.expect("begun");
    }
    worker.stop.trigger();
    gate.add_permits(1);
    until(&store, |counts| counts.succeeded == 1).await;
    // The drain claims nothing; the second signal hands back.
    worker.stop.abort();
    let tally = worker.ended().await;
    assert_eq!((tally.started, tally.succeeded, tally.handed_back), (3, 1, 2));
    let mut process = store.process().await;
    let again = process.claim(10).await;
    assert_eq!(again.len(), 3);
    assert!(again.iter().all(|task| (task.failures, task.crashes) == (0, 0)));
    store.balances().await;
}

async fn a_worker_whose_lease_expired_cancels_and_takes_another(store: Store) {
    let (worker, mut begins, gate) =
        gated(&store.broker, WorkerSettings { lease: Duration::from_secs(12), ..settings(1) });
    let id = store.fill("2|a|", 1).await[0];
    let worker = Running::start(&store.broker, worker);
    begins.recv().await.expect("begun");
    // As after a standstill longer than the lease: the reaper has been here.
    let Looked::Known(known) = store.broker.get(id).await.expect("answered") else { panic!("unknown") };
    let State::InFlight { epoch, .. } = known.run.state else { panic!("{:?}", known.run.state) };
    store.expire(epoch).await;
    assert_eq!(begins.recv().await, Some(id), "it runs again under another lease");
    gate.add_permits(1);
    until(&store, |counts| counts.succeeded == 1).await;
    let tally = worker.stopped().await;
    assert_eq!((tally.started, tally.succeeded, tally.lost), (2, 1, 1));
    let Looked::Known(known) = store.broker.get(id).await.expect("answered") else { panic!("unknown") };
    assert_eq!((known.run.delivery, known.run.failures, known.run.crashes), (2, 0, 1));
    store.balances().await;
}

async fn an_idle_worker_starts_what_comes_at_once(store: Store) {
    // It never asks by itself: only the bell wakes it.
    let (worker, mut begins, gate) =
        gated(&store.broker, WorkerSettings { poll: Duration::from_secs(3_600), ..settings(1) });
    gate.add_permits(1_000);
    let worker = Running::start(&store.broker, worker);
    for _ in 0..30 {
        let sent: NewTask = task("2|a|");
        store.enqueue(std::slice::from_ref(&sent)).await;
        let begun = tokio::time::timeout(PATIENCE, begins.recv()).await.expect("it is woken");
        assert_eq!(begun, Some(sent.id));
    }
    worker.stopped().await;
    store.balances().await;
}

async fn a_worker_starts_as_its_rate_allows_although_its_heart_beats_more_often(store: Store) {
    // A beat each two seconds; neither the bell nor the poll tells when the rate allows the next start.
    let often =
        WorkerSettings { lease: Duration::from_secs(12), poll: Duration::from_secs(3_600), ..settings(5) };
    let (worker, mut begins, gate) = gated(&store.broker, often);
    gate.add_permits(1_000);
    let rate = RateLimit { interval_us: 3_000_000, burst: 1 };
    let rule = Rule { rate: Some(rate), ..Rule::default() };
    store.broker.set_rule(&"t|a".parse().expect("a scope"), rule).await.expect("set");
    let ids = store.fill("2|a|", 2).await;
    let worker = Running::start(&store.broker, worker);
    for id in ids {
        let begun = tokio::time::timeout(PATIENCE, begins.recv()).await.expect("it asks again");
        assert_eq!(begun, Some(id));
    }
    worker.stopped().await;
}

#[tokio::test]
async fn a_worker_that_holds_other_tasks_than_the_store_says_returns_and_cancels_them() {
    let store = Store::redis().await;
    // A beat each two seconds.
    let (worker, mut begins, _gate) =
        gated(&store.broker, WorkerSettings { lease: Duration::from_secs(12), ..settings(2) });
    let own = store.fill("2|a|", 1).await[0];
    let worker = Running::start(&store.broker, worker);
    assert_eq!(begins.recv().await, Some(own));
    let stranded = store.fill("2|b|", 1).await[0];
    let mut other = store.process().await;
    other.claim(1).await;
    let Looked::Known(known) = store.broker.get(own).await.expect("answered") else { panic!("unknown") };
    let State::InFlight { epoch, .. } = known.run.state else { panic!("{:?}", known.run.state) };
    // The other's task is now this worker's, which has never heard of it.
    let Broker::Redis(broker) = &store.broker else { panic!("not Redis") };
    let held = |epoch: u64| format!("{{tasks:pending}}|held|{epoch}");
    let moves = |name: &str, epoch: u64, id: TaskId| {
        let mut command = ::redis::cmd(name);
        command.arg(held(epoch)).arg(id.to_string());
        command
    };
    broker.redis().command::<u64>(&moves("HDEL", other.epoch.number, stranded)).await.expect("moved");
    broker.redis().command::<u64>(moves("HSET", epoch, stranded).arg(1)).await.expect("moved");
    until(&store, |counts| counts.pending == 1 && counts.in_flight == 1).await;
    let again = other.claim(1).await;
    assert_eq!((again[0].id, again[0].failures, again[0].crashes), (stranded, 0, 0));
    // Its own is taken from it: the handler is dropped.
    broker.redis().command::<u64>(&moves("HDEL", epoch, own)).await.expect("moved");
    // Without that the drain would wait for it.
    let tally = worker.stopped().await;
    assert_eq!((tally.started, tally.succeeded), (1, 0));
}

#[tokio::test]
async fn a_handler_that_blocks_the_runtime_keeps_its_lease() {
    let store = Store::redis().await;
    let broker = store.broker.clone();
    store.fill("2|a|", 1).await;
    let (begun, begins) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let stop = Shutdown::new(None, Duration::ZERO);
    let stops = stop.clone();
    let worker = std::thread::spawn(move || {
        let lease = Duration::from_secs(3);
        let worker = Worker::builder(broker)
            .on("a", move |_| {
                begun.send(()).expect("somebody listens");
                // The only thread of its runtime.
                let _ = released.lock().expect("whole").recv();
                std::future::ready(Verdict::Done)
            })
            .expect("a name")
            .settings(WorkerSettings { lease, ..settings(1) })
            .build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(worker.run(&stops)).expect("it works")
    });
    tokio::task::spawn_blocking(move || begins.recv().expect("begun")).await.expect("no panic");
    // Two leases pass on the store's clock.
    for _ in 0..30 {
        store.pass(200).await;
        assert_eq!(store.broker.reap(CrashRule::default()).await.expect("answered").epoch, None);
        store.broker.promote().await.expect("answered");
    }
    release.send(()).expect("it waits");
    until(&store, |counts| counts.succeeded == 1).await;
    stop.trigger();
    let tally = tokio::task::spawn_blocking(|| worker.join().expect("no panic")).await.expect("no panic");
    assert_eq!((tally.started, tally.succeeded), (1, 1));
    store.balances().await;
}
