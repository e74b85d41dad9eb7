//! `lab pipeline simulate`: every policy under the same load, in virtual time.
//!
//! ```text
//!   trace ──seed──> arrivals ──┬─> pipeline with threshold ──> p95 sojourn, worker-seconds, actions, ...
//!                              ├─> pipeline with target    ──> ...
//!                              └─> ...          the same jobs, the same draws, the very engine that serves
//! ```
//!
//! Arrivals do not wait for the pipeline: a job that finds the queue full waits outside, and its sojourn
//! counts from its arrival all the same. A run lasts at least as long as its trace, so that idle workers at the end
//! are paid for too. Repetitions differ in the seed only; their sojourns are counted in
//! one histogram, the other figures are means over them.

mod report;
mod trace;

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Journal, Load, Pipeline, Runtime, board::Scalings, config::Settings, scaling::PolicyName, virtual_time,
};
use crate::{
    latency::{Histogram, Percentiles, milliseconds},
    shutdown::Shutdown,
    telemetry::Instruments,
};

pub use report::{csv, html, text};
pub use trace::Trace;

/// A policy dominates another on a trace if its p95 is lower and it costs at most this much more: less is
/// within what the end of a run makes.
const COST_MARGIN: f64 = 0.01;

/// One policy under one trace, over all repetitions.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = simulate::Policy)]
pub struct Arm {
    /// The policy.
    pub policy: PolicyName,
    /// From intended arrival to end, over all repetitions.
    pub sojourn: Percentiles,
    /// Worker-seconds paid for, mean of the repetitions.
    pub worker_seconds: f64,
    /// The share of them spent working.
    pub utilisation: f64,
    /// Checks that changed the number of workers, mean.
    pub actions: f64,
    /// Changes in the other direction than the one before, mean.
    pub reversals: f64,
    /// From the longest queue to an empty one, milliseconds, mean.
    pub drain_ms: f64,
    /// What happened in the first repetition.
    #[serde(skip)]
    samples: Vec<Sample>,
}

/// The pipeline at a moment.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    at_s: f64,
    workers: u32,
    /// Jobs that wait, in the queue or for room in it.
    waiting: u64,
}

/// The results of all policies under one trace.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = simulate::Trace)]
pub struct TraceReport {
    /// The trace's name.
    pub trace: String,
    /// What it is.
    pub about: String,
    /// Its length, milliseconds.
    pub length_ms: f64,
    /// The policies, the default first.
    pub policies: Vec<Arm>,
    #[serde(skip)]
    load: Vec<(f64, f64)>,
}

impl TraceReport {
    fn arm(&self, policy: PolicyName) -> Option<&Arm> {
        self.policies.iter().find(|arm| arm.policy == policy)
    }

    /// Whether `policy` is better than `threshold` here in p95, and no dearer.
    pub fn dominates(&self, policy: PolicyName) -> bool {
        let p95 = |arm: &Arm| arm.sojourn.p95.value();
        match (self.arm(policy), self.arm(PolicyName::Threshold)) {
            (Some(arm), Some(seeds)) => {
                policy != seeds.policy
                    && p95(arm).zip(p95(seeds)).is_some_and(|(own, seeds)| own < seeds)
                    && arm.worker_seconds <= seeds.worker_seconds * (1.0 + COST_MARGIN)
            }
            _ => false,
        }
    }
}

/// Runs every policy under `trace`, once for each of `seeds`.
///
/// # Errors
/// When there can be no runtime.
pub fn simulate(
    trace: &Trace,
    settings: &Settings,
    seeds: std::ops::Range<u64>,
) -> std::io::Result<TraceReport> {
    let loads: Vec<(u64, Arc<[Duration]>)> = seeds.map(|seed| (seed, trace.arrivals(seed))).collect();
    let length = Duration::from_secs_f64(trace.length_s());
    let arms = PolicyName::ALL.into_iter().map(|policy| arm(policy, settings, &loads, length));
    Ok(TraceReport {
        trace: trace.name.clone(),
        about: trace.about.clone(),
        length_ms: milliseconds(Duration::from_secs_f64(trace.length_s())),
        policies: arms.collect::<Result<_, _>>()?,
        load: trace.steps(),
    })
}

fn arm(
    policy: PolicyName,
    settings: &Settings,
    loads: &[(u64, Arc<[Duration]>)],
    length: Duration,
) -> std::io::Result<Arm> {
    let mut sojourn = Histogram::new();
    let (mut paid, mut busy) = (Duration::ZERO, Duration::ZERO);
    let (mut actions, mut reversals, mut drain_s) = (0, 0, 0.0);
    let mut samples = Vec::new();
    for (seed, arrivals) in loads {
        let run = run(policy, settings, *seed, Load::Trace { at: arrivals.clone(), length })?;
        sojourn.merge(&run.sojourn);
        paid += run.paid;
        busy += run.busy;
        actions += run.actions;
        reversals += run.reversals;
        drain_s += drain(&run.samples);
        if samples.is_empty() {
            samples = run.samples;
        }
    }
    let runs = loads.len().max(1) as f64;
    Ok(Arm {
        policy,
        sojourn: (&sojourn).into(),
        worker_seconds: paid.as_secs_f64() / runs,
        utilisation: if paid.is_zero() { 0.0 } else { busy.as_secs_f64() / paid.as_secs_f64() },
        actions: actions as f64 / runs,
        reversals: reversals as f64 / runs,
        drain_ms: milliseconds(Duration::from_secs_f64(drain_s / runs)),
        samples,
    })
}

struct Run {
    sojourn: Histogram,
    paid: Duration,
    busy: Duration,
    actions: u64,
    reversals: u64,
    samples: Vec<Sample>,
}

/// One repetition of one policy.
fn run(policy: PolicyName, settings: &Settings, seed: u64, load: Load) -> std::io::Result<Run> {
    Ok(virtual_time::runtime()?.block_on(async {
        let runtime = Runtime { instruments: Instruments::silent(), journal: Journal::silent(), seed };
        let pipeline = Pipeline::new(settings.clone(), runtime);
        pipeline.set(None, Some(policy));
        let shutdown = Shutdown::new(None, Duration::ZERO);
        let ended = pipeline.run(load, None, &shutdown);
        tokio::pin!(ended);
        let mut samples = Vec::new();
        // Between the supervisor's checks.
        let mut next = tokio::time::Instant::now() + Duration::from_millis(501);
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut ended => break ended,
                () = tokio::time::sleep_until(next) => {
                    next += Duration::from_secs(1);
                    let (reading, ledger) = (pipeline.reading(), pipeline.ledger());
                    samples.push(Sample {
                        at_s: reading.at.as_secs_f64(),
                        workers: reading.workers,
                        waiting: reading.waiting + reading.offered.saturating_sub(ledger.created),
                    });
                }
            }
        };
        let reading = pipeline.reading();
        let sojourn = ended.collected.sojourn;
        let Scalings { changes: actions, turns: reversals } = pipeline.scalings();
        Run { sojourn, paid: reading.paid, busy: reading.busy, actions, reversals, samples }
    }))
}

/// From the longest queue to the first moment at which it was empty, seconds.
fn drain(samples: &[Sample]) -> f64 {
    let Some(most) = samples.iter().map(|sample| sample.waiting).max().filter(|most| *most > 0) else {
        return 0.0;
    };
    let from_the_most = || samples.iter().skip_while(|sample| sample.waiting < most);
    let begins_s = from_the_most().next().map_or(0.0, |sample| sample.at_s);
    let over = from_the_most().find(|sample| sample.waiting == 0).or(samples.last());
    over.map_or(0.0, |sample| sample.at_s - begins_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Config;

    #[test]
    fn every_policy_serves_every_job_of_the_same_load() {
        let settings = Config::embedded().settings().expect("settings");
        let trace = Trace::open("steps").expect("a trace");
        let outcome = simulate(&trace, &settings, 1..2).expect("a runtime");
        let offered = trace.arrivals(1).len() as u64;
        for arm in &outcome.policies {
            assert_eq!(arm.sojourn.n, offered, "{}", arm.policy);
            // The same jobs are the same work, whoever is to do it: 3 s each, and one retry in ten.
            let busy_s = arm.worker_seconds * arm.utilisation;
            let expected_s = offered as f64 * 3.0 * (1.0 + 0.1 + 0.01 + 0.001);
            assert!((busy_s / expected_s - 1.0).abs() < 0.05, "{}: {busy_s}, not {expected_s}", arm.policy);
            assert!(arm.samples.iter().all(|sample| (2..=8).contains(&sample.workers)), "{}", arm.policy);
        }
    }

    #[test]
    fn idle_workers_are_paid_for_to_the_end_of_the_trace() {
        let settings = Config::embedded().settings().expect("settings");
        for text in ["600,0\n", "1,1\n600,0\n"] {
            let trace = Trace::parse("idle", text).expect("a trace");
            for arm in simulate(&trace, &settings, 1..2).expect("a runtime").policies {
                let least = 2.0 * trace.length_s();
                assert!(arm.worker_seconds >= least, "{text:?}, {}: {}", arm.policy, arm.worker_seconds);
            }
        }
    }

    #[test]
    fn a_drain_is_from_the_most_to_nobody() {
        let waiting = [0, 3, 9, 4, 0, 2, 0];
        let samples: Vec<Sample> = (0..7)
            .map(|at| Sample { at_s: f64::from(at), workers: 1, waiting: waiting[at as usize] })
            .collect();
        assert_eq!(drain(&samples), 2.0);
        assert_eq!(drain(&samples[..2]), 0.0);
        assert_eq!(drain(&[]), 0.0);
    }
}
