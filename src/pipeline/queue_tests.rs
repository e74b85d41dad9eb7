//! The queue under any sequence of steps.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy)]
enum Step {
    Push,
    Take,
    Retry { worker: usize, wait_ms: u64 },
    End { worker: usize, succeeded: bool },
    Pass { ms: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Push),
        3 => Just(Step::Take),
        2 => (0..8_usize, 0..50_u64).prop_map(|(worker, wait_ms)| Step::Retry { worker, wait_ms }),
        1 => (0..8_usize, any::<bool>()).prop_map(|(worker, succeeded)| Step::End { worker, succeeded }),
        1 => (0..30_u64).prop_map(|ms| Step::Pass { ms }),
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    #[test]
    fn it_balances_is_bounded_and_always_takes_a_retry_back(
        steps in steps(), capacity in 1..6_usize, workers in 1..6_usize,
    ) {
        let mut queue = Queue::new(capacity);
        let mut now = Instant::now();
        let mut running: Vec<Job> = Vec::new();
        for step in steps {
            match step {
                Step::Push => {
                    let room = queue.has_room();
                    prop_assert_eq!(queue.push(now, now, None).is_some(), room);
                }
                Step::Take if running.len() < workers => {
                    let before = queue.ledger();
                    match queue.take(now) {
                        Taken::Job(job) => {
                            prop_assert!(job.ready_at <= now, "handed out before its time");
                            running.push(job);
                        }
                        Taken::NotBefore(due) => prop_assert!(due > now && before.queued == 0),
                        Taken::Nothing => prop_assert_eq!(before.queued + before.retrying, 0),
                        Taken::Closed => prop_assert!(false, "nobody closed it"),
                    }
                }
                Step::Retry { worker, wait_ms } if worker < running.len() => {
                    let before = queue.ledger();
                    let job = running.swap_remove(worker);
                    queue.retry(job, now + Duration::from_millis(wait_ms));
                    let after = queue.ledger();
                    prop_assert_eq!((after.in_progress + 1, after.retrying), (before.in_progress, before.retrying + 1));
                }
                Step::End { worker, succeeded } if worker < running.len() => {
                    running.swap_remove(worker);
                    queue.end(succeeded);
                }
                Step::Pass { ms } => now += Duration::from_millis(ms),
                _ => {}
            }
            let ledger = queue.ledger();
            prop_assert!(ledger.balances(), "{:?}", ledger);
            prop_assert!(ledger.backlog <= (capacity + workers) as u64, "{:?}", ledger);
        }
    }
}

#[test]
fn jobs_are_taken_in_the_order_in_which_they_became_ready() {
    let mut queue = Queue::new(10);
    let start = Instant::now();
    let at = |ms: u64| start + Duration::from_millis(ms);
    let taken = |queue: &mut Queue, now| match queue.take(now) {
        Taken::Job(job) => job,
        other => panic!("{other:?}"),
    };
    assert_eq!(queue.push(at(0), at(0), None), Some(1));
    let first = taken(&mut queue, at(0));
    assert_eq!(queue.push(at(5), at(5), None), Some(2));
    assert_eq!(queue.push(at(30), at(30), None), Some(3));
    queue.retry(first, at(20));
    assert_eq!(taken(&mut queue, at(40)).id, 2);
    let retried = taken(&mut queue, at(40));
    assert_eq!((retried.id, retried.failed_attempts), (1, 1));
    assert_eq!(taken(&mut queue, at(40)).id, 3);
    queue.retry(retried, at(90));
    assert!(matches!(queue.take(at(50)), Taken::NotBefore(due) if due == at(90)));
    queue.close();
    assert_eq!(queue.push(at(60), at(60), None), None);
    assert_eq!(taken(&mut queue, at(90)).id, 1);
    assert!(matches!(queue.take(at(90)), Taken::Closed));
}
