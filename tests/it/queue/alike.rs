//! Both brokers answer alike, whatever is asked in whatever order.

use lab::queue::{
    RateLimit, Rule,
    broker::{Batch, Caps, CrashRule, Exchanged, Handles, Settlement},
    settle::{DeathReason, Settle},
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::store::{LEASE_MS, Store, settlement, task};

const LANES: [&str; 8] = ["1|a|", "1|a|x", "1|b|y", "2|a|y", "2|b|", "3|a|x", "3|c|", "3|c|y"];
const SCOPES: [&str; 5] = ["t|a", "t|c", "g|x", "g|y", "*"];

/// Asks both the same, and compares each answer.
async fn run(seed: u64, steps: usize) {
    let stores = [Store::sqlite(), Store::redis().await];
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut processes: Vec<Vec<_>> = Vec::new();
    for store in &stores {
        processes.push(vec![store.process().await, store.process().await, store.process().await]);
    }
    let mut running: [Vec<lab::queue::broker::Claimed>; 3] = Default::default();
    let mut ids = Vec::new();
    for step in 0..steps {
        let at = |what: &str| format!("seed {seed}, step {step}: {what}");
        match random.random_range(0..20) {
            0..6 => {
                let lane = LANES[random.random_range(0..LANES.len())];
                let tasks: Vec<_> = (0..random.random_range(1..6)).map(|_| task(lane)).collect();
                ids.extend(tasks.iter().map(|task| task.id));
                let caps = Caps { tasks: 60, ..Caps::default() };
                let [one, other] =
                    stores.each_ref().map(|store| store.broker.enqueue(&tasks, Batch::Each, &caps));
                assert_eq!(one.await, other.await, "{}", at("enqueue"));
            }
            6..14 => {
                let which = random.random_range(0..3);
                let want = random.random_range(0..40);
                let handles = match random.random_range(0..3) {
                    0 => Handles::Only(vec!["b".parse().expect("a name"), "c".parse().expect("a name")]),
                    _ => Handles::Any,
                };
                let ended = running[which].len() * random.random_range(0..3) / 2;
                let ended: Vec<_> = running[which].drain(..ended.min(running[which].len())).collect();
                let settled: Vec<Settlement> = ended
                    .iter()
                    .map(|task| {
                        let error = "no".to_owned();
                        let settle = match random.random_range(0..6) {
                            0 => Settle::Retry { delay_ms: 0, error },
                            1 => Settle::HandBack,
                            2 => Settle::Bury { reason: DeathReason::Exhausted, error },
                            3 => Settle::Snooze { delay_ms: 3_600_000 },
                            _ => Settle::Succeeded,
                        };
                        settlement(task, settle)
                    })
                    .collect();
                let one = processes[0][which].exchange(settled.clone(), want, handles.clone()).await;
                let other = processes[1][which].exchange(settled, want, handles).await;
                match (one, other) {
                    (Exchanged::Done(one), Exchanged::Done(other)) => {
                        assert_eq!(one.settled, other.settled, "{}", at("settled"));
                        assert_eq!(one.empty_yourself, other.empty_yourself, "{}", at("empty"));
                        let shown = |task: &lab::queue::broker::Claimed| {
                            (
                                task.id,
                                task.lane.to_string(),
                                task.delivery,
                                task.failures,
                                task.crashes,
                                task.alone,
                            )
                        };
                        assert_eq!(
                            one.claimed.iter().map(shown).collect::<Vec<_>>(),
                            other.claimed.iter().map(shown).collect::<Vec<_>>(),
                            "{}",
                            at("claimed")
                        );
                        running[which].extend(one.claimed);
                    }
                    (one, other) => assert_eq!(one, other, "{}", at("exchange")),
                }
            }
            14 => {
                let rule = Rule {
                    paused: random.random_range(0..4) == 0,
                    in_flight_limit: Some(random.random_range(0..4)).filter(|&limit| limit > 0),
                    // So slow that the clocks of the two, which differ, do not show.
                    rate: (random.random_range(0..4) == 0)
                        .then_some(RateLimit { interval_us: 3_600_000_000, burst: 2 }),
                };
                let rule = if random.random_range(0..2) == 0 { Rule::default() } else { rule };
                let scope = SCOPES[random.random_range(0..SCOPES.len())].parse().expect("a scope");
                for store in &stores {
                    store.broker.set_rule(&scope, rule).await.expect("answered");
                }
            }
            15 => {
                let which = random.random_range(0..3);
                running[which].clear();
                let mut reaped = Vec::new();
                for (store, processes) in stores.iter().zip(&mut processes) {
                    processes[which].die().await;
                    reaped.push(store.broker.reap(CrashRule::default()).await);
                    processes[which] = store.process().await;
                }
                assert_eq!(reaped[0], reaped[1], "{}", at("reap"));
            }
            16 if !ids.is_empty() => {
                let id = ids[random.random_range(0..ids.len())];
                let [one, other] = stores.each_ref().map(|store| store.broker.cancel(id));
                assert_eq!(one.await, other.await, "{}", at("cancel"));
            }
            17 if !ids.is_empty() => {
                let some: Vec<_> = (0..5).map(|_| ids[random.random_range(0..ids.len())]).collect();
                let replays = random.random_range(0..2) == 0;
                let mut moved = Vec::new();
                for store in &stores {
                    moved.push(if replays {
                        store.broker.replay(&some).await
                    } else {
                        store.broker.discard(&some).await
                    });
                }
                assert_eq!(moved[0], moved[1], "{}", at("dead letters"));
            }
            18 if !ids.is_empty() => {
                let id = ids[random.random_range(0..ids.len())];
                let [one, other] = stores.each_ref().map(|store| store.broker.run_now(id));
                assert_eq!(one.await, other.await, "{}", at("run now"));
            }
            _ => {
                // All clocks have passed the due time of what waits for no time.
                for store in &stores {
                    store.pass(1).await;
                }
                let [one, other] = stores.each_ref().map(|store| store.broker.promote());
                let (one, other) = (one.await.expect("answered"), other.await.expect("answered"));
                assert_eq!(one.moved, other.moved, "{}", at("promote"));
                for (store, processes) in stores.iter().zip(&processes) {
                    for process in processes {
                        store.broker.beat(&process.epoch, LEASE_MS).await.expect("answered");
                    }
                }
            }
        }
        let mut counts = Vec::new();
        for store in &stores {
            store.balances().await;
            counts.push(store.broker.stats().await.expect("answered").counts);
        }
        assert_eq!(counts[0], counts[1], "{}", at("counts"));
    }
}

#[tokio::test]
async fn the_brokers_answer_alike_whatever_is_asked() {
    for seed in 0..5 {
        run(seed, 250).await;
    }
}
