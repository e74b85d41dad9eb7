use super::*;
use proptest::prelude::*;

const MS: u64 = 1_000_000;

/// Whether the terms add up.
fn balances(ledger: StationLedger) -> bool {
    let ended = ledger.completed + ledger.failed;
    ledger.started == ended + ledger.cancelled + ledger.in_flight && ledger.orphaned <= ended
}

fn work(ms: u64) -> Work {
    Work { work_ns: ms * MS, fails: false }
}

/// Runs arrivals of (at ms, work ms) and returns (payload, end ms) in order of ending.
fn run(contention: &str, arrivals: &[(u64, u64)]) -> Vec<(usize, u64)> {
    let mut station = Station::new(contention.parse().expect(contention));
    let mut out = Vec::new();
    for (index, &(at, ms)) in arrivals.iter().enumerate() {
        station.advance(at * MS, &mut out);
        station.arrive(at * MS, work(ms), || index);
    }
    station.advance(u64::MAX / 4, &mut out);
    assert!(balances(station.ledger()));
    out.iter().map(|end| (end.payload, (end.at_ns + MS / 2) / MS)).collect()
}

#[test]
fn without_contention_calls_never_meet() {
    assert_eq!(run("off", &[(0, 100), (10, 20), (20, 100)]), [(1, 30), (0, 100), (2, 120)]);
}

#[test]
fn a_pool_serves_in_order_of_arrival_and_refuses_at_a_full_queue() {
    assert_eq!(run("pool:1", &[(0, 100), (10, 20), (20, 100)]), [(0, 100), (1, 120), (2, 220)]);
    // One server, one place: the third is refused.
    assert_eq!(run("pool:1,1", &[(0, 100), (10, 20), (20, 100)]), [(0, 100), (1, 120)]);
    // A zero-time call waits its turn behind a busy server, and its end frees it at once.
    assert_eq!(run("pool:1", &[(0, 10), (1, 0), (2, 5)]), [(0, 10), (1, 10), (2, 15)]);
}

#[test]
fn under_the_law_work_in_progress_slows_down_and_speeds_up() {
    // usl:1,0: with n in progress each runs at 1/n (processor sharing). Two calls of 100 ms: the
    // first runs alone for 50, they share until it ends at 150, the other ends at 200.
    assert_eq!(run("usl:1,0", &[(0, 100), (50, 100)]), [(0, 150), (1, 200)]);
    // A late short call overtakes.
    assert_eq!(run("usl:1,0", &[(0, 100), (50, 10)]), [(1, 70), (0, 110)]);
}

#[test]
fn each_policy_treats_a_lost_caller_as_documented() {
    for (policy, expect) in [
        // (completed, cancelled, orphaned, orphaned ms)
        (OnCallerGone::Abort, (0, 2, 0, 0)),
        (OnCallerGone::Dequeue, (1, 1, 1, 60)),
        (OnCallerGone::Continue, (2, 0, 2, 90)),
    ] {
        let mut station = Station::new("pool:1".parse().expect("a pool"));
        let mut out = Vec::new();
        station.arrive(0, work(100), || ());
        station.arrive(0, work(30), || ());
        station.advance(40 * MS, &mut out);
        station.leave(40 * MS, 0, policy);
        station.leave(40 * MS, 1, policy);
        station.leave(50 * MS, 1, policy);
        station.advance(1_000 * MS, &mut out);
        let ledger = station.ledger();
        let got = (ledger.completed, ledger.cancelled, ledger.orphaned, ledger.orphaned_ns / MS);
        assert_eq!(got, expect, "{policy}");
        assert!(balances(ledger));
        assert_eq!(ledger.in_flight, 0);
    }
}

#[test]
fn a_new_shape_affects_calls_in_progress() {
    let mut station = Station::new("pool:1".parse().expect("a pool"));
    let mut out = Vec::new();
    for payload in 0..4 {
        station.arrive(0, work(100), || payload);
    }
    station.reshape(50 * MS, "pool:4".parse().expect("a pool"));
    station.advance(150 * MS, &mut out);
    assert_eq!(out.iter().map(|end| end.at_ns / MS).collect::<Vec<_>>(), [100, 150, 150, 150]);
}

#[derive(Debug, Clone)]
enum Step {
    Arrive { ms: u64, fails: bool },
    Leave { back: u64, policy: usize },
    Wait { ms: u64 },
    Reshape(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..200_u64, any::<bool>()).prop_map(|(ms, fails)| Step::Arrive { ms, fails }),
        2 => (0..20_u64, 0..3_usize).prop_map(|(back, policy)| Step::Leave { back, policy }),
        4 => (0..120_u64).prop_map(|ms| Step::Wait { ms }),
        1 => (0..4_usize).prop_map(Step::Reshape),
    ];
    prop::collection::vec(step, 0..200)
}

const SHAPES: [&str; 4] = ["off", "pool:2,3", "usl:0.1,0.01", "pool:1"];

proptest! {
    /// The balance holds at every step, nobody is served twice or forgotten, time never goes back.
    #[test]
    fn the_balance_holds_whatever_happens(shape in 0..4_usize, steps in steps()) {
        let mut station = Station::new(SHAPES[shape].parse().expect("a shape"));
        let mut out = Vec::new();
        let (mut now, mut payload, mut last_id, mut at_once) = (0, 0_u64, 0, 0);
        for step in steps {
            station.advance(now, &mut out);
            match step {
                Step::Arrive { ms, fails } => {
                    match station.arrive(now, Work { work_ns: ms * MS, fails }, || payload) {
                        Admission::Admitted(id) => last_id = id,
                        Admission::Done | Admission::Refused => at_once += 1,
                    }
                    payload += 1;
                }
                Step::Leave { back, policy } => {
                    station.leave(now, last_id.saturating_sub(back), OnCallerGone::ALL[policy]);
                }
                Step::Wait { ms } => now += ms * MS,
                Step::Reshape(shape) => station.reshape(now, SHAPES[shape].parse().expect("a shape")),
            }
            prop_assert!(balances(station.ledger()), "{:?}", station.ledger());
        }
        station.advance(u64::MAX / 4, &mut out);
        let ledger = station.ledger();
        prop_assert!(balances(ledger));
        prop_assert_eq!(ledger.in_flight, 0);
        prop_assert!(out.windows(2).all(|pair| pair[0].at_ns <= pair[1].at_ns));
        let mut payloads: Vec<u64> = out.iter().map(|end| end.payload).collect();
        payloads.sort_unstable();
        payloads.dedup();
        prop_assert_eq!(payloads.len(), out.len());
        prop_assert_eq!(out.len() as u64 + at_once + ledger.cancelled, payload);
    }

    /// Looking often or seldom makes no difference: events have times of their own.
    #[test]
    fn how_often_one_looks_does_not_matter(works in prop::collection::vec((0..50_u64, 1..100_u64), 1..60)) {
        let mut arrivals: Vec<(u64, u64)> = works;
        arrivals.sort_unstable();
        for shape in ["off", "pool:2"] {
            let seldom = run(shape, &arrivals);
            let mut station = Station::new(shape.parse().expect("a shape"));
            let mut out = Vec::new();
            let mut next = arrivals.iter().enumerate().peekable();
            for now in 0..10_000 {
                station.advance(now * MS, &mut out);
                while let Some((index, &(_, ms))) = next.next_if(|(_, arrival)| arrival.0 == now) {
                    station.arrive(now * MS, work(ms), || index);
                }
            }
            let often: Vec<_> = out
                .iter()
                .map(|end| (end.payload, end.at_ns / MS))
                .collect();
            prop_assert_eq!(often, seldom);
        }
    }
}
