//! What cannot be read stops nobody: it becomes a dead letter, and the audit names it.

use lab::queue::{
    Due, NewTask, TaskId, Worker, WorkerSettings,
    broker::{Broker, Known, Looked, Which, Wrong},
    run::State,
    settle::{DeathReason, Verdict},
};

use super::{
    store::{Store, on_both, task},
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
