//! What cannot be read stops nobody: it becomes a dead letter, and the audit names it.

use lab::queue::{
    Due, NewTask, TaskId, Worker, WorkerSettings,
    broker::{Broker, Known, Looked, Settled, Which, Wrong},
    run::State,
    settle::{DeathReason, Settle, Verdict},
};

use super::{
    store::{Store, on_both, settlement, task},
    workers::{Running, settings, until},
};

on_both! {
    what_cannot_be_read_becomes_a_dead_letter_and_stops_nobody,
    the_audit_names_what_cannot_be_read_and_makes_dead_letters_of_it,
}

/// What becomes unreadable of a task.
#[derive(Debug, Clone, Copy)]
enum Part {
    Record,
    Payload,
    Lost,
}

async fn damage(store: &mut Store, part: Part, id: TaskId) {
    match (&store.broker, part) {
        (Broker::Sqlite(_), part) => {
            let set = match part {
                Part::Record => "lane = 'garbage', failures = -1, extra = 'garbage', epoch = -1",
                Part::Payload => "spec = x'ff'",
                Part::Lost => "spec = NULL",
            };
            store.change_file(&format!("UPDATE task SET {set} WHERE id = '{id}'")).await;
        }
        (Broker::Redis(_), Part::Record) => store.send(&format!("HSET K|run {id} garbage")).await,
        (Broker::Redis(_), Part::Payload) => store.send(&format!("HSET K|task {id} garbage")).await,
        (Broker::Redis(_), Part::Lost) => store.send(&format!("HDEL K|run {id}")).await,
    }
}

/// Damages one pending task, one delayed and one in flight of a process that dies, each in each way, among others.
async fn damaged(store: &mut Store) -> Vec<TaskId> {
    let mut ids = Vec::new();
    let mut process = store.process().await;
    store.fill("2|flies|", 3).await;
    ids.extend(process.claim(3).await.into_iter().map(|task| task.id));
    process.die().await;
    ids.extend(store.fill("2|a|acme", 3).await);
    let later: Vec<NewTask> = (0..3).map(|_| NewTask { due: Due::InMs(200), ..task("2|a|") }).collect();
    store.enqueue(&later).await;
    ids.extend(later.iter().map(|task| task.id));
    for (id, part) in ids.iter().zip([Part::Record, Part::Payload, Part::Lost].into_iter().cycle()) {
        damage(store, part, *id).await;
    }
    ids
}

fn worker(store: &Store) -> Worker {
    let done = |_| std::future::ready(Verdict::Done);
    let settings = WorkerSettings { poll: std::time::Duration::from_millis(20), ..settings(5) };
    let builder = Worker::builder(store.broker.clone()).settings(settings);
    builder.on("a", done).and_then(|builder| builder.on("flies", done)).expect("names").build()
}

async fn what_cannot_be_read_becomes_a_dead_letter_and_stops_nobody(mut store: Store) {
    let ids = damaged(&mut store).await;
    store.fill("2|a|", 10).await;
    let running = Running::start(&store.broker, worker(&store));
    until(&store, |counts| counts.dead == 9 && counts.succeeded == 10).await;
    assert_eq!(running.stopped().await.succeeded, 10);
    for id in ids {
        let Looked::Known(known) = store.broker.get(id).await.expect("answered") else { panic!("{id}") };
        let Known { run, error, .. } = *known;
        assert_eq!(run.state, State::Dead(DeathReason::Malformed), "{id}");
        assert_eq!(error.as_deref(), Some("its record cannot be read"), "{id}");
    }
    assert_eq!(store.broker.list(Which::Dead, 0).await.expect("listed").len(), 9);
    let counts = store.broker.stats().await.expect("answered").counts;
    assert_eq!((counts.enqueued, counts.pending, counts.in_flight, counts.delayed), (19, 0, 0, 0));
    // They can be deleted like others.
    let dead = store.broker.list(Which::Dead, 0).await.expect("listed");
    let dead: Vec<TaskId> = dead.into_iter().map(|listed| listed.id).collect();
    assert_eq!(store.broker.discard(&dead).await.expect("answered"), 9);
}

async fn the_audit_names_what_cannot_be_read_and_makes_dead_letters_of_it(mut store: Store) {
    let ids = damaged(&mut store).await;
    let scan = store.broker.audit(false).await.expect("audited");
    // A file that is opened makes dead letters at once of those that it cannot keep in its lanes.
    let dead = store.broker.list(Which::Dead, 0).await.expect("listed");
    for id in &ids {
        let is_named = scan.findings.iter().any(|finding| finding.of == id.to_string());
        assert!(is_named || dead.iter().any(|listed| listed.id == *id), "{id}: {scan:#?}");
    }
    assert!(scan.findings.iter().any(|finding| finding.wrong == Wrong::Unreadable), "{scan:#?}");
    let mended = store.broker.audit(true).await.expect("audited");
    assert!(mended.findings.iter().all(|finding| !finding.mended.is_empty()), "{mended:#?}");
    let scan = store.broker.audit(false).await.expect("audited");
    assert_eq!(scan.found, 0, "{mended:#?} {scan:#?}");
    let running = Running::start(&store.broker, worker(&store));
    store.fill("2|a|", 10).await;
    until(&store, |counts| counts.succeeded >= 10 && counts.pending + counts.in_flight + counts.delayed == 0)
        .await;
    running.stopped().await;
    store.balances().await;
}

#[tokio::test]
async fn a_lost_ring_holds_up_its_type_only() {
    let store = Store::redis().await;
    store.fill("2|a|", 3).await;
    store.fill("2|b|", 3).await;
    let mut process = store.process().await;
    let first = process.claim(1).await;
    store.send("DEL K|ring|2|a").await;
    // What it holds is settled, and the other type is claimed.
    let traded = process.trade(vec![settlement(&first[0], Settle::Succeeded)], 10).await;
    assert_eq!(traded.settled, [Settled::Applied]);
    let mut kinds: Vec<&str> = traded.claimed.iter().map(|task| task.lane.kind.as_str()).collect();
    kinds.dedup();
    assert_eq!((kinds, traded.claimed.len()), (vec!["b"], 3));
    store.broker.audit(true).await.expect("audited");
    assert_eq!(process.claim(10).await.len(), 2);
    store.balances().await;
}

#[tokio::test]
async fn an_attempt_that_is_settled_twice_at_once_ends_once() {
    for store in [Store::redis().await, Store::sqlite()] {
        store.fill("2|a|", 1).await;
        let mut process = store.process().await;
        let held = process.claim(1).await;
        let twice = [Settle::Succeeded, Settle::Succeeded].map(|settle| settlement(&held[0], settle));
        let traded = process.trade(twice.into(), 0).await;
        assert_eq!(traded.settled, [Settled::Applied, Settled::Stale]);
        store.balances().await;
    }
}
