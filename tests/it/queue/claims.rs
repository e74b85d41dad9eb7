//! Whose turn it is: lanes, priorities, pause, limits.

use std::collections::BTreeMap;

use lab::queue::{
    RateLimit, Rule,
    broker::{Exchanged, Handles},
    settle::Settle,
};

use super::store::{Process, Store, on_all, settlement};

on_all! {
    lanes_take_turns_and_a_lane_keeps_its_order,
    under_saturation_priorities_get_six_three_and_one_of_ten,
    what_is_paused_or_unhandled_delays_nothing_else,
    a_limit_is_never_exceeded_whoever_claims,
    a_rate_limit_holds_and_lets_go,
    a_task_past_its_deadline_is_not_started,
}

async fn lanes_take_turns_and_a_lane_keeps_its_order(store: Store) {
    let first = store.fill("2|a|", 3).await;
    let second = store.fill("2|a|acme", 3).await;
    let third = store.fill("2|b|", 3).await;
    let claimed: Vec<_> = store.process().await.claim(9).await.into_iter().map(|task| task.id).collect();
    let turns: Vec<_> = (0..3).flat_map(|nth| [first[nth], second[nth], third[nth]]).collect();
    assert_eq!(claimed, turns);
    store.balances().await;
}

async fn under_saturation_priorities_get_six_three_and_one_of_ten(store: Store) {
    for lane in ["1|a|", "2|a|", "3|a|"] {
        store.fill(lane, 700).await;
    }
    let mut process = store.process().await;
    let mut shares = BTreeMap::new();
    for _ in 0..20 {
        for task in process.claim(50).await {
            *shares.entry(task.lane.priority.label()).or_insert(0) += 1;
        }
    }
    let total: u32 = shares.values().sum();
    assert_eq!(total, 1_000);
    for (priority, share) in [("high", 600_f64), ("normal", 300.0), ("low", 100.0)] {
        let got = f64::from(shares[priority]);
        assert!((got - share).abs() <= share * 0.05, "{priority}: {got} of {total}");
    }
    store.balances().await;
}

async fn what_is_paused_or_unhandled_delays_nothing_else(store: Store) {
    store.fill("1|paused|", 2_000).await;
    store.fill("1|limited|", 2_000).await;
    store.fill("1|unhandled|", 2_000).await;
    store.fill("1|fine|big", 2_000).await;
    let rule = async |scope: &str, rule| store.broker.set_rule(&scope.parse().expect("a scope"), rule).await;
    let paused = Rule { paused: true, ..Rule::default() };
    rule("t|paused", paused).await.expect("answered");
    rule("t|limited", Rule { in_flight_limit: Some(1), ..Rule::default() }).await.expect("answered");
    rule("g|big", paused).await.expect("answered");
    let wanted = store.fill("3|wanted|", 1).await;
    let mut process = store.process().await;
    let kinds = ["paused", "limited", "fine", "wanted"].map(|kind| kind.parse().expect("a name"));
    let Exchanged::Done(traded) = process.exchange(Vec::new(), 10, Handles::Only(kinds.into())).await else {
        panic!("expired")
    };
    let got: Vec<String> = traded.claimed.iter().map(|task| task.lane.to_string()).collect();
    assert_eq!(got, ["1|limited|", "3|wanted|"]);
    assert_eq!(traded.claimed[1].id, wanted[0]);
    // The whole queue's pause goes before all others.
    store.fill("3|wanted|", 1).await;
    rule("*", paused).await.expect("answered");
    assert_eq!(process.claim(10).await.len(), 0);
    for scope in ["*", "t|paused", "t|limited", "g|big"] {
        rule(scope, Rule::default()).await.expect("answered");
    }
    for _ in 0..5 {
        assert_eq!(process.claim(100).await.len(), 100);
    }
    store.balances().await;
}

async fn a_limit_is_never_exceeded_whoever_claims(store: Store) {
    let limits = [("t|a", 3), ("g|acme", 2)];
    for (scope, limit) in limits {
        let rule = Rule { in_flight_limit: Some(limit), ..Rule::default() };
        store.broker.set_rule(&scope.parse().expect("a scope"), rule).await.expect("answered");
    }
    for lane in ["1|a|", "2|a|acme", "2|b|acme", "3|b|"] {
        store.fill(lane, 20).await;
    }
    let (mut one, mut other) = (store.process().await, store.process().await);
    let mut running: Vec<(usize, lab::queue::broker::Claimed)> = Vec::new();
    let holds = |running: &[(usize, lab::queue::broker::Claimed)]| {
        let kind = running.iter().filter(|(_, task)| task.lane.kind.as_str() == "a").count();
        let group = running.iter().filter(|(_, task)| task.lane.group.is_some()).count();
        assert!(kind <= 3 && group <= 2, "{kind} of type a, {group} of the group");
    };
    for step in 0_usize..60 {
        let (which, process): (usize, &mut Process<'_>) =
            if step.is_multiple_of(2) { (0, &mut one) } else { (1, &mut other) };
        // Every third of a process's tasks ends in this round.
        let (ended, kept): (Vec<_>, Vec<_>) = running
            .into_iter()
            .partition(|(of, task)| *of == which && task.delivery as usize + step % 3 == 1);
        running = kept;
        let settled = ended.iter().map(|(_, task)| settlement(task, Settle::Succeeded)).collect();
        let claimed = process.trade(settled, 7).await.claimed;
        running.extend(claimed.into_iter().map(|task| (which, task)));
        holds(&running);
        if step == 20 {
            one.die().await;
            store.broker.reap(lab::queue::broker::CrashRule::default()).await.expect("answered");
            running.retain(|(of, _)| *of == 1);
            one = store.process().await;
        }
    }
    assert!(running.iter().any(|(_, task)| task.lane.kind.as_str() == "a"));
    store.balances().await;
}

async fn a_rate_limit_holds_and_lets_go(store: Store) {
    store.fill("2|a|acme", 50).await;
    let rate = Some(RateLimit { interval_us: 200_000, burst: 2 });
    let scope = "g|acme".parse().expect("a scope");
    store.broker.set_rule(&scope, Rule { rate, ..Rule::default() }).await.expect("answered");
    let mut process = store.process().await;
    let begun = tokio::time::Instant::now();
    let (mut passed_ms, mut total) = (0, 0);
    for step in 0..6 {
        store.broker.promote().await.expect("answered");
        let claimed = process.claim(10).await.len() as u64;
        total += claimed;
        // The machine's clock goes on beside what the test lets pass.
        let elapsed_ms = passed_ms + u64::try_from(begun.elapsed().as_millis()).expect("short");
        assert!(total <= 2 + elapsed_ms / 200 + 1, "{total} in {elapsed_ms} ms");
        match step {
            0 => assert_eq!(claimed, 2, "the burst"),
            1 => {}
            _ => assert!(claimed >= 1, "one start an interval"),
        }
        if step > 0 {
            store.pass(210).await;
            // A real server's clock is the machine's.
            passed_ms += if matches!(store.broker, lab::queue::Broker::Sqlite(_)) { 210 } else { 0 };
        }
    }
    store.balances().await;
}

async fn a_task_past_its_deadline_is_not_started(store: Store) {
    let mut late = super::store::task("2|a|");
    late.spec.deadline_ms = 1_000;
    let good = super::store::task("2|a|");
    store.enqueue(&[late.clone(), good.clone()]).await;
    let claimed = store.process().await.claim(10).await;
    assert_eq!(claimed.iter().map(|task| task.id).collect::<Vec<_>>(), [good.id]);
    assert_eq!(store.broker.stats().await.expect("answered").counts.expired, 1);
    store.balances().await;
}
