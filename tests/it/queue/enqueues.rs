//! What comes in: batches, keys, caps, delays.

use lab::queue::{
    Due, IdempotencyKey, TaskId,
    broker::{Batch, Cancel, Caps, Enqueued, Looked, RunNow, Verdict},
    run::{Outcome, State},
};

use super::store::{Store, on_all, task};

on_all! {
    a_task_is_known_by_its_id_and_taken_once,
    a_key_is_one_task_and_another_body_a_conflict,
    a_whole_batch_is_taken_or_none_of_it,
    a_full_queue_takes_nothing_and_changes_nothing,
    a_delayed_task_waits_for_its_time_or_is_started_at_once,
    a_payload_is_bytes_that_come_out_as_they_went_in,
    what_is_kept_has_a_limit_by_count_and_by_age,
}

async fn a_task_is_known_by_its_id_and_taken_once(store: Store) {
    let sent = task("2|email|acme");
    assert_eq!(store.enqueue(&[sent.clone(), sent.clone()]).await, [Verdict::Queued, Verdict::Known]);
    // Its answer was lost: it is sent again, also when it has ended.
    assert_eq!(store.enqueue(std::slice::from_ref(&sent)).await, [Verdict::Known]);
    let Looked::Known(known) = store.broker.get(sent.id).await.expect("answered") else { panic!("unknown") };
    assert_eq!(known.run.lane, sent.lane);
    assert_eq!(known.run.state, State::Pending { suspect: false });
    assert_eq!(known.spec, Some(sent.spec.clone()));
    store.broker.cancel(sent.id).await.expect("answered");
    assert_eq!(store.enqueue(&[sent]).await, [Verdict::Known]);
    let unknown = store.broker.get(TaskId::new()).await.expect("answered");
    assert!(matches!(unknown, Looked::Unknown { oldest_ms: Some(_) }), "{unknown:?}");
    store.balances().await;
}

async fn a_key_is_one_task_and_another_body_a_conflict(store: Store) {
    let with_key = |fingerprint: &str| {
        let key = IdempotencyKey { key: "order 17".to_owned(), fingerprint: fingerprint.to_owned() };
        let mut task = task("2|email|");
        task.key = Some(key);
        task
    };
    let first = with_key("a");
    assert_eq!(
        store.enqueue(&[first.clone(), with_key("a")]).await,
        [Verdict::Queued, Verdict::Same(first.id)]
    );
    assert_eq!(
        store.enqueue(&[with_key("a"), with_key("b")]).await,
        [Verdict::Same(first.id), Verdict::Conflict(first.id)]
    );
    assert_eq!(store.enqueue(std::slice::from_ref(&first)).await, [Verdict::Known]);
    // The key outlives its time as long as the task is known, and not longer.
    let caps = Caps { key_age_ms: 0, ..Caps::default() };
    store.pass(1).await;
    store.broker.sweep(&caps).await.expect("answered");
    assert_eq!(store.enqueue(&[with_key("a")]).await, [Verdict::Same(first.id)]);
    store.broker.cancel(first.id).await.expect("answered");
    for _ in 0..2 {
        store.pass(1).await;
        store.broker.sweep(&Caps { done_age_ms: 0, ..caps }).await.expect("answered");
    }
    assert_eq!(store.enqueue(&[with_key("b")]).await, [Verdict::Queued]);
    store.balances().await;
}

async fn a_whole_batch_is_taken_or_none_of_it(store: Store) {
    let caps = Caps { types: 2, ..Caps::default() };
    let batch = [task("2|a|"), task("2|b|"), task("2|c|")];
    let refused = store.broker.enqueue(&batch, Batch::Whole, &caps).await.expect("answered");
    let verdicts = vec![Verdict::Queued, Verdict::Queued, Verdict::TooManyTypes];
    assert_eq!(refused, Enqueued::Refused(verdicts.clone()));
    assert_eq!(store.broker.stats().await.expect("answered").counts.enqueued, 0);
    let taken = store.broker.enqueue(&batch, Batch::Each, &caps).await.expect("answered");
    assert_eq!(taken, Enqueued::Taken(verdicts));
    store.balances().await;
}

async fn a_full_queue_takes_nothing_and_changes_nothing(store: Store) {
    let batch: Vec<_> = (0..3).map(|_| task("2|a|")).collect();
    let bytes: u64 = store.broker.stats().await.expect("answered").counts.bytes;
    assert_eq!(bytes, 0);
    for caps in [Caps { tasks: 2, ..Caps::default() }, Caps { bytes: 50, ..Caps::default() }] {
        let full = store.broker.enqueue(&batch, Batch::Each, &caps).await.expect("answered");
        assert_eq!(full, Enqueued::Full);
    }
    assert_eq!(store.broker.stats().await.expect("answered").counts.enqueued, 0);
    let caps = Caps { tasks: 3, ..Caps::default() };
    store.broker.enqueue(&batch, Batch::Each, &caps).await.expect("answered");
    // What is known already needs no room.
    let again = store.broker.enqueue(&batch, Batch::Each, &caps).await.expect("answered");
    assert_eq!(again, Enqueued::Taken(vec![Verdict::Known; 3]));
    assert_eq!(
        store.broker.enqueue(&[task("2|a|")], Batch::Each, &caps).await.expect("answered"),
        Enqueued::Full
    );
    store.balances().await;
}

async fn a_delayed_task_waits_for_its_time_or_is_started_at_once(store: Store) {
    let mut later = [task("2|a|"), task("2|a|"), task("2|a|"), task("2|a|")];
    later[0].due = Due::InMs(50);
    later[1].due = Due::InMs(3_600_000);
    later[2].due = Due::InMs(3_600_000);
    later[3].due = Due::AtMs(1_000);
    store.enqueue(&later).await;
    let mut process = store.process().await;
    let first = process.claim(10).await;
    assert_eq!(
        first.iter().map(|task| task.id).collect::<Vec<_>>(),
        [later[3].id],
        "what is due is not delayed"
    );
    assert_eq!(store.broker.stats().await.expect("answered").counts.delayed, 3);
    store.pass(50).await;
    assert_eq!(store.broker.promote().await.expect("answered").moved, 1);
    let claimed = process.claim(10).await;
    assert_eq!(claimed[0].id, later[0].id);
    let Looked::Known(known) = store.broker.get(later[0].id).await.expect("answered") else {
        panic!("unknown")
    };
    assert_eq!(claimed[0].ready_ms, known.run.enqueued_ms + 50, "it is ready since it was due");
    let promoted = store.broker.promote().await.expect("answered");
    assert!(promoted.moved == 0 && promoted.next_in_ms.is_some_and(|ms| ms > 3_000_000), "{promoted:?}");
    assert_eq!(store.broker.run_now(later[1].id).await.expect("answered"), RunNow::Moved);
    assert_eq!(store.broker.run_now(later[1].id).await.expect("answered"), RunNow::Pending);
    assert_eq!(process.claim(10).await[0].id, later[1].id);
    assert_eq!(store.broker.run_now(later[1].id).await.expect("answered"), RunNow::InFlight);
    assert_eq!(store.broker.cancel(later[2].id).await.expect("answered"), Cancel::Cancelled);
    assert_eq!(store.broker.run_now(later[2].id).await.expect("answered"), RunNow::Ended);
    assert_eq!(store.broker.run_now(TaskId::new()).await.expect("answered"), RunNow::Unknown);
    store.balances().await;
}

async fn a_payload_is_bytes_that_come_out_as_they_went_in(store: Store) {
    let payloads: [&[u8]; 5] = [
        b"",
        b"\0\n\xff",
        "\"𝄞\"".as_bytes(),
        b"{\"big\":12345678901234567890,\"none\":[]}",
        &[b'x'; 60_000],
    ];
    let tasks: Vec<_> = payloads
        .iter()
        .map(|payload| {
            let mut task = task("2|a|");
            task.spec.payload = bytes::Bytes::from_static(payload);
            task
        })
        .collect();
    store.enqueue(&tasks).await;
    let claimed = store.process().await.claim(10).await;
    let specs: Vec<_> = claimed.into_iter().map(|task| task.spec).collect();
    assert_eq!(specs, tasks.into_iter().map(|task| task.spec).collect::<Vec<_>>());
}

async fn what_is_kept_has_a_limit_by_count_and_by_age(store: Store) {
    let ids = store.fill("2|a|", 10).await;
    for &id in &ids {
        assert_eq!(store.broker.cancel(id).await.expect("answered"), Cancel::Cancelled);
    }
    let caps = Caps { done: 4, ..Caps::default() };
    assert_eq!(store.broker.sweep(&caps).await.expect("answered"), 6);
    let is_known = async |id| matches!(store.broker.get(id).await.expect("answered"), Looked::Known(_));
    assert!(!is_known(ids[5]).await && is_known(ids[6]).await);
    let Looked::Known(known) = store.broker.get(ids[9]).await.expect("answered") else { panic!("unknown") };
    assert_eq!((known.run.state, known.spec), (State::Done(Outcome::Cancelled), None));
    store.pass(5).await;
    assert_eq!(store.broker.sweep(&Caps { done_age_ms: 1, ..caps }).await.expect("answered"), 4);
    assert_eq!(store.broker.stats().await.expect("answered").sizes.records, 0);
    store.balances().await;
}
