//! Processes that die: leases, the reaper, suspects.

use lab::queue::{
    broker::{Beat, CrashRule, Exchanged, Handles, Looked, Reaped, Settled},
    run::State,
    settle::{DeathReason, Settle},
};

use super::store::{LEASE_MS, Store, on_all};

on_all! {
    the_tasks_of_a_dead_process_return_once_and_uncharged,
    an_expired_epoch_never_revives,
    a_live_long_task_is_left_alone,
    a_task_whose_process_died_twice_runs_alone_and_a_third_death_buries_it,
    a_suspect_waits_until_its_process_is_empty,
    what_a_process_leaves_behind_is_returned,
}

async fn reap(store: &Store) -> Reaped {
    store.broker.reap(CrashRule::default()).await.expect("answered")
}

async fn the_tasks_of_a_dead_process_return_once_and_uncharged(store: Store) {
    let ids = store.fill("2|a|", 3).await;
    let mut process = store.process().await;
    process.claim(3).await;
    assert_eq!(reap(&store).await, Reaped::default());
    process.die().await;
    let (first, second) = tokio::join!(reap(&store), reap(&store));
    assert_eq!(first.returned + second.returned, 3, "two reapers race: {first:?} {second:?}");
    assert_eq!(reap(&store).await, Reaped::default());
    let counts = store.broker.stats().await.expect("answered").counts;
    assert_eq!((counts.reclaimed, counts.pending, counts.in_flight), (3, 3, 0));
    let again = store.process().await.claim(10).await;
    assert_eq!(again.iter().map(|task| task.id).collect::<Vec<_>>(), ids);
    assert!(again.iter().all(|task| (task.delivery, task.failures, task.crashes) == (2, 0, 1)));
    store.balances().await;
}

async fn an_expired_epoch_never_revives(store: Store) {
    store.fill("2|a|", 2).await;
    let mut process = store.process().await;
    let claimed = process.claim(1).await;
    process.die().await;
    // It woke up before the reaper came, or after: it is too late.
    assert_eq!(store.broker.beat(&process.epoch, LEASE_MS).await.expect("answered"), Beat::Expired);
    let settled = vec![super::store::settlement(&claimed[0], Settle::Succeeded)];
    assert_eq!(process.exchange(settled.clone(), 1, Handles::Any).await, Exchanged::Expired);
    reap(&store).await;
    assert_eq!(process.exchange(settled, 1, Handles::Any).await, Exchanged::Expired);
    assert_eq!(store.broker.stats().await.expect("answered").counts.succeeded, 0);
    // A wrong secret is nobody's.
    let mut other = store.process().await;
    other.epoch.secret = "guessed".to_owned();
    assert_eq!(other.exchange(Vec::new(), 1, Handles::Any).await, Exchanged::Expired);
    store.balances().await;
}

async fn a_live_long_task_is_left_alone(store: Store) {
    store.fill("2|a|", 2).await;
    let (mut dead, mut alive) = (store.process().await, store.process().await);
    dead.claim(1).await;
    let long = alive.claim(1).await;
    dead.die().await;
    assert_eq!(reap(&store).await.returned, 1);
    assert_eq!(reap(&store).await.epoch, None);
    assert_eq!(alive.settle(&long[0], Settle::Succeeded).await, Settled::Applied);
    store.balances().await;
}

async fn a_task_whose_process_died_twice_runs_alone_and_a_third_death_buries_it(store: Store) {
    let id = store.fill("2|a|", 1).await[0];
    for _ in 0..2 {
        let mut process = store.process().await;
        assert!(!process.claim(1).await[0].alone);
        process.die().await;
        reap(&store).await;
        store.balances().await;
    }
    let sizes = store.broker.stats().await.expect("answered").sizes;
    assert_eq!(sizes.suspects, 1);
    let mut process = store.process().await;
    let alone = process.claim(5).await;
    assert_eq!((alone.len(), alone[0].id, alone[0].alone), (1, id, true));
    store.balances().await;
    process.die().await;
    assert_eq!(reap(&store).await.dead, 1);
    let Looked::Known(known) = store.broker.get(id).await.expect("answered") else { panic!("unknown") };
    assert_eq!((known.run.state, known.run.crashes), (State::Dead(DeathReason::Crashed), 3));
    assert!(known.error.is_some_and(|error| error.contains("a test")), "the evidence names the process");
    // The next process claims as ever.
    store.fill("2|a|", 3).await;
    assert_eq!(store.process().await.claim(3).await.len(), 3);
    store.balances().await;
}

async fn a_suspect_waits_until_its_process_is_empty(store: Store) {
    store.fill("2|bad|", 1).await;
    for _ in 0..2 {
        let mut process = store.process().await;
        process.claim(1).await;
        process.die().await;
        reap(&store).await;
    }
    store.fill("2|a|", 20).await;
    let (mut one, mut other) = (store.process().await, store.process().await);
    // A process that does not handle its type goes on.
    let only = Handles::Only(vec!["a".parse().expect("a name")]);
    let Exchanged::Done(traded) = one.exchange(Vec::new(), 2, only).await else { panic!("expired") };
    assert_eq!((traded.claimed.len(), traded.empty_yourself), (2, false));
    let emptying = one.trade(Vec::new(), 3).await;
    assert!(emptying.empty_yourself && emptying.claimed.is_empty(), "{emptying:?}");
    // One process at a time: the other goes on.
    assert_eq!(other.claim(3).await.len(), 3);
    one.settle(&traded.claimed[0], Settle::Succeeded).await;
    let last = super::store::settlement(&traded.claimed[1], Settle::Succeeded);
    let alone = one.trade(vec![last], 5).await;
    assert!(alone.claimed.len() == 1 && alone.claimed[0].alone, "{alone:?}");
    let meanwhile = one.trade(Vec::new(), 5).await;
    assert!(meanwhile.claimed.is_empty() && meanwhile.empty_yourself, "{meanwhile:?}");
    let done = super::store::settlement(&alone.claimed[0], Settle::Succeeded);
    let after = one.trade(vec![done], 5).await;
    assert_eq!((after.settled, after.claimed.len()), (vec![Settled::Applied], 5));
    store.balances().await;
}

async fn what_a_process_leaves_behind_is_returned(store: Store) {
    store.fill("2|a|", 3).await;
    let mut process = store.process().await;
    let claimed = process.claim(2).await;
    process.settle(&claimed[0], Settle::HandBack).await;
    store.broker.leave(&process.epoch).await.expect("answered");
    assert_eq!(reap(&store).await.returned, 1);
    let empty = store.process().await;
    store.broker.leave(&empty.epoch).await.expect("answered");
    assert_eq!(reap(&store).await.epoch, None);
    assert_eq!(store.broker.beat(&empty.epoch, LEASE_MS).await.expect("answered"), Beat::Expired);
    store.balances().await;
}
