//! How attempts end: tokens, repeated rounds, retries, cancellation, dead letters.

use lab::queue::{
    TaskId,
    broker::{Beat, Cancel, Caps, Exchanged, Handles, Looked, Settled, Settlement},
    run::{Outcome, State},
    settle::{DeathReason, Settle},
};

use super::store::{LEASE_MS, Store, on_all, settlement};

on_all! {
    an_attempt_is_settled_once_and_by_its_own_process,
    a_round_whose_answer_was_lost_is_answered_again_and_strands_nothing,
    a_failed_task_waits_and_its_retry_goes_ahead_of_the_backlog,
    what_is_handed_back_or_snoozed_is_charged_nothing,
    a_running_task_is_cancelled_through_the_heartbeat_and_a_late_success_does_not_count,
    a_dead_letter_is_replayed_or_discarded_and_ages,
}

async fn state(store: &Store, id: TaskId) -> State {
    match store.broker.get(id).await.expect("answered") {
        Looked::Known(known) => known.run.state,
        Looked::Unknown { .. } => panic!("unknown"),
    }
}

async fn an_attempt_is_settled_once_and_by_its_own_process(store: Store) {
    store.fill("2|a|", 2).await;
    let (mut process, mut other) = (store.process().await, store.process().await);
    let claimed = process.claim(2).await;
    assert_eq!(other.settle(&claimed[0], Settle::Succeeded).await, Settled::Stale);
    let stale = Settlement { delivery: 0, ..settlement(&claimed[0], Settle::Succeeded) };
    assert_eq!(process.trade(vec![stale], 0).await.settled, [Settled::Stale]);
    assert_eq!(process.settle(&claimed[0], Settle::Succeeded).await, Settled::Applied);
    assert_eq!(process.settle(&claimed[0], Settle::Succeeded).await, Settled::Stale);
    assert_eq!(state(&store, claimed[0].id).await, State::Done(Outcome::Succeeded));
    // A newer attempt is not overwritten by an older one.
    assert_eq!(process.settle(&claimed[1], Settle::HandBack).await, Settled::Applied);
    let again = other.claim(1).await;
    assert_eq!((again[0].id, again[0].delivery), (claimed[1].id, 2));
    assert_eq!(process.settle(&claimed[1], Settle::Succeeded).await, Settled::Stale);
    assert!(matches!(state(&store, claimed[1].id).await, State::InFlight { .. }));
    store.balances().await;
}

async fn a_round_whose_answer_was_lost_is_answered_again_and_strands_nothing(store: Store) {
    store.fill("2|a|", 10).await;
    let mut process = store.process().await;
    let first = process.claim(2).await;
    let settled: Vec<_> = first.iter().map(|task| settlement(task, Settle::Succeeded)).collect();
    let answer = process.exchange(settled.clone(), 3, Handles::Any).await;
    for _ in 0..3 {
        assert_eq!(process.again(settled.clone(), 3, Handles::Any).await, answer);
    }
    let Exchanged::Done(traded) = answer else { panic!("{answer:?}") };
    assert_eq!((traded.settled.len(), traded.claimed.len()), (2, 3));
    let counts = store.broker.stats().await.expect("answered").counts;
    assert_eq!((counts.succeeded, counts.in_flight, counts.pending), (2, 3, 5));
    // A request of an earlier round that was delayed on its way claims nothing.
    process.claim(0).await;
    process.round -= 1;
    assert_eq!(process.again(settled, 3, Handles::Any).await, Exchanged::Late);
    process.round += 1;
    assert_eq!(
        store.broker.beat(&process.epoch, LEASE_MS).await.expect("answered"),
        Beat::Alive { round: process.round, held: 3, cancel: Vec::new() }
    );
    store.balances().await;
}

async fn a_failed_task_waits_and_its_retry_goes_ahead_of_the_backlog(store: Store) {
    let ids = store.fill("2|a|", 3).await;
    let mut process = store.process().await;
    let claimed = process.claim(1).await;
    let retry = Settle::Retry { delay_ms: 20, error: "no \"luck\"\nat all".to_owned() };
    assert_eq!(process.settle(&claimed[0], retry).await, Settled::Applied);
    let Looked::Known(known) = store.broker.get(ids[0]).await.expect("answered") else { panic!("unknown") };
    assert!(matches!(known.run.state, State::Delayed { .. }));
    assert_eq!((known.run.failures, known.error.as_deref()), (1, Some("no \"luck\"\nat all")));
    store.balances().await;
    store.pass(20).await;
    assert_eq!(store.broker.promote().await.expect("answered").moved, 1);
    let again = process.claim(1).await;
    assert_eq!((again[0].id, again[0].delivery, again[0].failures), (ids[0], 2, 1));
    let bury = Settle::Bury { reason: DeathReason::Exhausted, error: "still not".to_owned() };
    assert_eq!(process.settle(&again[0], bury).await, Settled::Applied);
    assert_eq!(state(&store, ids[0]).await, State::Dead(DeathReason::Exhausted));
    store.balances().await;
}

async fn what_is_handed_back_or_snoozed_is_charged_nothing(store: Store) {
    let ids = store.fill("2|a|", 2).await;
    let mut process = store.process().await;
    let claimed = process.claim(1).await;
    process.settle(&claimed[0], Settle::HandBack).await;
    let again = process.claim(1).await;
    assert_eq!((again[0].id, again[0].failures, again[0].crashes), (ids[0], 0, 0));
    process.settle(&again[0], Settle::Snooze { delay_ms: 5 }).await;
    store.pass(5).await;
    store.broker.promote().await.expect("answered");
    let woken = process.claim(1).await;
    assert_eq!((woken[0].id, woken[0].delivery, woken[0].failures), (ids[0], 3, 0));
    store.balances().await;
}

async fn a_running_task_is_cancelled_through_the_heartbeat_and_a_late_success_does_not_count(store: Store) {
    let ids = store.fill("2|a|", 3).await;
    let mut process = store.process().await;
    let claimed = process.claim(2).await;
    assert_eq!(store.broker.cancel(ids[2]).await.expect("answered"), Cancel::Cancelled);
    assert_eq!(store.broker.cancel(ids[2]).await.expect("answered"), Cancel::Ended);
    assert_eq!(store.broker.cancel(TaskId::new()).await.expect("answered"), Cancel::Unknown);
    for id in [ids[0], ids[0], ids[1]] {
        assert_eq!(store.broker.cancel(id).await.expect("answered"), Cancel::Stopping);
    }
    let Beat::Alive { held, mut cancel, .. } =
        store.broker.beat(&process.epoch, LEASE_MS).await.expect("answered")
    else {
        panic!("expired")
    };
    cancel.sort_unstable();
    assert_eq!((held, cancel), (2, vec![ids[0], ids[1]]));
    assert_eq!(process.settle(&claimed[0], Settle::Succeeded).await, Settled::Cancelled);
    let retry = Settle::Retry { delay_ms: 0, error: String::new() };
    assert_eq!(process.settle(&claimed[1], retry).await, Settled::Cancelled);
    let counts = store.broker.stats().await.expect("answered").counts;
    assert_eq!((counts.cancelled, counts.succeeded, counts.retried), (3, 0, 0));
    assert_eq!(
        store.broker.beat(&process.epoch, LEASE_MS).await.expect("answered"),
        Beat::Alive { round: 3, held: 0, cancel: Vec::new() }
    );
    store.balances().await;
}

async fn a_dead_letter_is_replayed_or_discarded_and_ages(store: Store) {
    let ids = store.fill("2|a|", 4).await;
    let mut process = store.process().await;
    for task in process.claim(4).await {
        let bury = Settle::Bury { reason: DeathReason::Final, error: "never".to_owned() };
        process.settle(&task, bury).await;
    }
    store.balances().await;
    assert_eq!(store.broker.cancel(ids[0]).await.expect("answered"), Cancel::Ended);
    assert_eq!(store.broker.replay(&[ids[0], ids[0], TaskId::new()]).await.expect("answered"), 1);
    let again = process.claim(4).await;
    assert_eq!((again.len(), again[0].id, again[0].failures), (1, ids[0], 0));
    assert_eq!(store.broker.discard(&[ids[1]]).await.expect("answered"), 1);
    assert_eq!(state(&store, ids[1]).await, State::Done(Outcome::Discarded));
    store.pass(5).await;
    let caps = Caps { dead_age_ms: 1, ..Caps::default() };
    assert_eq!(store.broker.sweep(&caps).await.expect("answered"), 2);
    let counts = store.broker.stats().await.expect("answered").counts;
    assert_eq!((counts.dead, counts.discarded, counts.buried, counts.replayed), (0, 3, 4, 1));
    store.balances().await;
}
