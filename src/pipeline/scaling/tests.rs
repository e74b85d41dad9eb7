//! What holds for every policy, and how each behaves in a closed loop.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::pipeline::config::Config;

fn settings() -> Settings {
    Config::embedded().settings().expect("the built-in settings")
}

/// The policy `name` with the built-in aims.
fn policy(name: PolicyName) -> impl Fn(&Observation<'_>) -> Decision {
    let settings = settings();
    move |seen| decide(name, &settings, seen)
}

fn readings() -> impl Strategy<Value = Reading> {
    let counts = (0..2_000_u64, 0..1_000_u64, any::<u32>(), any::<u32>(), any::<u32>());
    let times = (0..u64::from(u32::MAX), any::<u32>(), any::<u32>(), any::<u32>());
    (0..1_200_u32, counts, times).prop_map(|(workers, counts, times)| {
        let (waiting, running, offered, retried, attempts) = counts;
        let (at, service, busy, paid) = times;
        Reading {
            at: Duration::from_millis(at),
            workers,
            waiting,
            running,
            offered: offered.into(),
            retried: retried.into(),
            attempts: attempts.into(),
            service: Duration::from_millis(service.into()),
            busy: Duration::from_millis(busy.into()),
            paid: Duration::from_millis(paid.into()),
        }
    })
}

fn pasts() -> impl Strategy<Value = Past> {
    let decision = (any::<u32>(), any::<u32>(), -1e9..1e9_f64)
        .prop_map(|(workers, recommended, output)| Decision { workers, recommended, output });
    prop::collection::vec((readings(), decision), 0..80).prop_map(|mut checks| {
        checks.sort_by_key(|(reading, _)| reading.at);
        let mut past = Past::default();
        checks.into_iter().for_each(|(reading, decision)| past.remember(reading, decision));
        past
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever was seen, in whatever state.
    #[test]
    fn every_policy_stays_inside_its_bounds(
        now in readings(), past in pasts(), min in 1..20_u32, more in 0..1_000_u32, service_ms in 0..600_000_u64,
    ) {
        let expected_service = Duration::from_millis(service_ms);
        let seen = Observation { now, past: &past, min, max: min + more, expected_service };
        for name in PolicyName::ALL {
            let decision = policy(name)(&seen);
            prop_assert!((min..=min + more).contains(&decision.workers), "{name}: {decision:?}");
            prop_assert!(decision.output.is_finite(), "{name}: {decision:?}");
            prop_assert_eq!(decision, policy(name)(&seen), "{} is not a function of what it sees", name);
        }
    }

    #[test]
    fn no_policy_grows_without_backlog_and_arrivals(
        now in readings(), past in pasts(), min in 1..20_u32, more in 0..1_000_u32, workers in 0..1_000_u32,
    ) {
        let max = min + more;
        // Nothing came since the oldest check that is looked at: all counts stand where they stood.
        let now = Reading { workers: workers.clamp(min, max), waiting: 0, running: 0, ..now };
        let mut still = Past::default();
        for (reading, decision) in past.since(Duration::ZERO).collect::<Vec<_>>().into_iter().rev() {
            let (offered, retried) = (now.offered, now.retried);
            still.remember(Reading { offered, retried, ..*reading }, *decision);
        }
        let (offered, retried) = (now.offered, now.retried);
        for _ in 0..10 {
            still.remember(Reading { offered, retried, ..now }, Decision::plain(now.workers));
        }
        let seen = Observation { now, past: &still, min, max, expected_service: Duration::from_secs(3) };
        for name in PolicyName::ALL {
            let decision = policy(name)(&seen);
            prop_assert!(decision.workers <= now.workers, "{name}: {decision:?}");
        }
    }
}

/// A pipeline as a fluid: work arrives at a constant rate, each worker does 1/S of a job a second.
struct Fluid {
    arrivals_per_s: f64,
    service_s: f64,
    inside: f64,
    offered: f64,
    attempts: f64,
    busy_s: f64,
    paid_s: f64,
    at_s: f64,
}

impl Fluid {
    fn new(arrivals_per_s: f64, service_s: f64, inside: f64) -> Self {
        let sums = (0.0, 0.0, 0.0, 0.0, 0.0);
        let (offered, attempts, busy_s, paid_s, at_s) = sums;
        Self { arrivals_per_s, service_s, inside, offered, attempts, busy_s, paid_s, at_s }
    }

    fn reading(&self, workers: u32) -> Reading {
        let running = self.inside.min(f64::from(workers));
        Reading {
            at: Duration::from_secs_f64(self.at_s),
            workers,
            waiting: (self.inside - running).round() as u64,
            running: running.round() as u64,
            offered: self.offered as u64,
            retried: 0,
            attempts: self.attempts as u64,
            // Of whole attempts only, as a pipeline counts it.
            service: Duration::from_secs_f64(self.service_s * self.attempts.floor()),
            busy: Duration::from_secs_f64(self.busy_s),
            paid: Duration::from_secs_f64(self.paid_s),
        }
    }

    /// A second with `workers`, in steps short against a service time.
    fn pass_a_second(&mut self, workers: u32) {
        for _ in 0..100 {
            let running = self.inside.min(f64::from(workers));
            let done = running / self.service_s * 0.01;
            self.inside = (self.inside + self.arrivals_per_s * 0.01 - done).max(0.0);
            self.offered += self.arrivals_per_s * 0.01;
            self.attempts += done;
            self.busy_s += running * 0.01;
            self.paid_s += f64::from(workers) * 0.01;
        }
        self.at_s += 1.0;
    }
}

/// The workers after each of `checks` checks, a second apart.
fn closed_loop(name: PolicyName, mut fluid: Fluid, mut workers: u32, max: u32, checks: usize) -> Vec<u32> {
    let (mut past, policy) = (Past::default(), policy(name));
    let expected_service = Duration::from_secs_f64(fluid.service_s);
    let mut counts = Vec::with_capacity(checks);
    for _ in 0..checks {
        fluid.pass_a_second(workers);
        let now = fluid.reading(workers);
        let seen = Observation { now, past: &past, min: 1, max, expected_service };
        let decision = policy(&seen);
        past.remember(now, decision);
        workers = decision.workers;
        counts.push(workers);
    }
    counts
}

/// The checks after which a policy has settled, from any start with up to 60 jobs inside: for `pid` three
/// of its settling times, from the far end of its bounds.
fn settled_after_checks(name: PolicyName) -> usize {
    if name == PolicyName::Pid { 720 } else { 240 }
}

/// The workers that a load of `load` busy ones needs: those for which utilisation is what the policy aims
/// at. `keda` and `pid` aim at a queue, which keeps every worker busy.
fn need(name: PolicyName, load: f64) -> f64 {
    match name {
        PolicyName::Target | PolicyName::Little => load / settings().target_utilisation.get(),
        PolicyName::Keda | PolicyName::Pid | PolicyName::Threshold => load,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Jobs of 1 to 5 s, pools of up to 10: there the tolerance of `target` is less than a worker.
    #[test]
    fn under_constant_load_workers_settle_within_one_of_the_need(
        load in 1.2..7.0_f64, service_s in 1.0..5.0_f64, start in 1..10_u32, inside in 0.0..60.0_f64,
    ) {
        for name in [PolicyName::Target, PolicyName::Keda, PolicyName::Little, PolicyName::Pid] {
            // A queue is keda's memory; it must not run dry within the stabilisation window.
            let shortest_s = match name {
                PolicyName::Keda => settings().stabilisation.get().as_secs_f64() / 2.0,
                _ => 0.0,
            };
            let service_s = service_s.max(shortest_s);
            let fluid = Fluid::new(load / service_s, service_s, inside);
            let counts = closed_loop(name, fluid, start, 10, settled_after_checks(name) + 300);
            let need = need(name, load);
            let settled = &counts[settled_after_checks(name)..];
            let (low, high) = (settled.iter().min().copied(), settled.iter().max().copied());
            let (low, high) = (f64::from(low.unwrap_or(0)), f64::from(high.unwrap_or(0)));
            prop_assert!(
                low >= need.floor() - 1.0 && high <= need.ceil() + 1.0,
                "{name}: load {load:.2}, service {service_s:.2}: need {need:.2}, got {low}..{high}: {counts:?}"
            );
        }
    }
}

#[test]
fn policies_decide_according_to_their_formulas() {
    let look = |name: PolicyName, now: Reading, past: &Past| {
        let expected_service = Duration::from_secs(3);
        policy(name)(&Observation { now, past, min: 2, max: 8, expected_service }).workers
    };
    let none = Past::default();
    let now = |workers, waiting, running, offered| Reading {
        at: Duration::from_secs(10),
        workers,
        waiting,
        running,
        offered,
        busy: Duration::from_secs(10 * running),
        paid: Duration::from_secs(10 * u64::from(workers)),
        ..Reading::default()
    };
    for (name, workers, waiting, running, offered, expect) in [
        (PolicyName::Threshold, 4, 46, 4, 0, 5),
        (PolicyName::Threshold, 8, 60, 8, 0, 8),
        (PolicyName::Threshold, 4, 45, 4, 0, 4),
        (PolicyName::Threshold, 4, 6, 4, 0, 3),
        (PolicyName::Threshold, 2, 0, 2, 0, 2),
        // 4 x 1.0 / 0.8 = 5; 0.75 / 0.8 is within 10%.
        (PolicyName::Target, 4, 9, 4, 0, 5),
        (PolicyName::Target, 4, 0, 3, 0, 4),
        (PolicyName::Target, 8, 0, 4, 0, 5),
        // 2 jobs a worker: 9 / 2.
        (PolicyName::Keda, 3, 6, 3, 0, 5),
        (PolicyName::Keda, 4, 4, 4, 0, 4),
        // 3 s x 1.5/s / 0.8 = 5.6; with 10 waiting, 3 x (1.5 + 1) / 0.8 = 9.4.
        (PolicyName::Little, 2, 0, 2, 15, 6),
        (PolicyName::Little, 2, 10, 2, 15, 8),
        (PolicyName::Little, 8, 0, 0, 0, 2),
    ] {
        let answer = look(name, now(workers, waiting, running, offered), &none);
        assert_eq!(answer, expect, "{name}: {workers} workers, {waiting} waiting, {running} running");
    }
}

#[test]
fn the_behaviour_is_the_autoscalers() {
    let window = Duration::from_secs(30);
    let reading =
        |at_s: u64, workers: u32| Reading { at: Duration::from_secs(at_s), workers, ..Reading::default() };
    let shape = |past: &Past, now: Reading, recommended: u32| {
        let expected_service = Duration::from_secs(3);
        let seen = Observation { now, past, min: 1, max: 100, expected_service };
        behaviour::shape(&seen, f64::from(recommended), window).workers
    };
    let mut past = Past::default();
    past.remember(reading(0, 6), Decision::plain(6));
    past.remember(reading(20, 6), Decision::plain(4));
    assert_eq!(shape(&past, reading(25, 6), 2), 6, "held by the 6 of 25 s ago");
    assert_eq!(shape(&past, reading(40, 6), 2), 4, "the 6 is out of the window, the 4 is not");
    assert_eq!(shape(&past, reading(60, 6), 2), 2);
    assert_eq!(shape(&past, reading(25, 6), 100), 12, "at most twice in 15 s");
    let mut few = Past::default();
    few.remember(reading(0, 2), Decision::plain(2));
    assert_eq!(shape(&few, reading(5, 2), 100), 6, "or four more");
    few.remember(reading(5, 2), Decision::plain(6));
    assert_eq!(shape(&few, reading(6, 6), 100), 6, "the limit counts from what there was");
}
