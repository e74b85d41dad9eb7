//! The pipeline as a whole, in virtual time.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{config::Config, virtual_time::Run, *};
use crate::output::Writer;

/// A writer that a test can read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn run(config: Config, seed: u64, length_s: u64) -> (String, PipelineEnd) {
    run_at(config, seed, length_s, Rate::Generator)
}

fn run_at(config: Config, seed: u64, length_s: u64, rate: Rate) -> (String, PipelineEnd) {
    let log = Log::default();
    let settings = config.settings().expect("good settings");
    let run = Run { settings, seed, rate, length: Duration::from_secs(length_s) };
    let ended = run.run(Writer::direct("log", log.clone())).expect("a runtime");
    (log.text(), ended)
}

/// The numbers of workers after each change.
fn totals(log: &str) -> Vec<u32> {
    log.lines()
        .filter_map(|line| line.split_once("worker (total ")?.1.trim_end_matches(')').parse().ok())
        .collect()
}

#[test]
fn the_default_run_grows_to_eight_and_shrinks_to_two_in_every_cycle() {
    let cycle_s = 160;
    let (log, ended) = run(Config::embedded(), 1, 3 * cycle_s);
    let mut cycles = vec![Vec::new(); 3];
    for line in log.lines() {
        let Some((_, total)) = line.split_once("worker (total ") else { continue };
        let clock = &line[11..19];
        let mut parts = clock.split(':').map(|part| part.parse::<u64>().expect("a number"));
        let mut next = || parts.next().expect("a part");
        let at_s = (next() - 10) * 3600 + next() * 60 + next();
        if let Some(cycle) = cycles.get_mut((at_s / cycle_s) as usize) {
            cycle.push(total.trim_end_matches(')').parse::<u32>().expect("a number"));
        }
    }
    for cycle in &cycles {
        assert_eq!(cycle.iter().max(), Some(&8), "{cycles:?}");
        assert_eq!(cycle.iter().min(), Some(&2), "{cycles:?}");
    }
    assert!(totals(&log).iter().all(|total| (2..=8).contains(total)));
    assert!(ended.drained && ended.statistics.ledger.balances());
    assert_eq!(ended.statistics.ledger.backlog, 0);
}

fn every(interval: &str) -> Rate {
    interval.parse().expect("a rate")
}

#[test]
fn the_threshold_swings_for_ever_under_a_constant_load() {
    // A job each 600 ms, one attempt in ten fails: 5.6 busy workers on average, well inside 2..8.
    let (log, _) = run_at(Config::embedded(), 1, 7_200, every("600ms"));
    let totals = totals(&log);
    let turns = totals.windows(3).filter(|three| (three[0] < three[1]) != (three[1] < three[2])).count();
    assert!(turns > 60, "{turns} turns in two hours: {totals:?}");
    assert_eq!((totals.iter().min(), totals.iter().max()), (Some(&2), Some(&8)), "{totals:?}");
    // The controller beside it, on the same load.
    let mut config = Config::embedded();
    config.policy = scaling::PolicyName::Pid;
    let (log, _) = run_at(config, 1, 7_200, every("600ms"));
    let settled = log.lines().skip_while(|line| !line.contains("10:20:"));
    let settled: Vec<&str> = settled.take_while(|line| !line.contains("signal received")).collect();
    let settled = settled.join("\n");
    let settled: Vec<u32> = self::totals(&settled);
    assert!(settled.iter().all(|total| (4..=7).contains(total)), "{settled:?}");
}

#[test]
fn a_third_failing_four_times_is_one_in_eighty_one() {
    let mut config = Config::embedded();
    config.failure_rate = config::FailureRate::try_from(3).expect("in range");
    config.work = crate::sim::Profile::parse("uniform:1,5").expect("a profile");
    config.retry_backoff = "0s".parse().expect("in range");
    config.min_workers = config.max_workers;
    let (_, ended) = run_at(config, 3, 201, every("1ms"));
    let ledger = ended.statistics.ledger;
    assert!(ledger.created >= 200_000 && ended.drained && ledger.balances(), "{ledger:?}");
    let (jobs, p) = (ledger.created as f64, 1.0 / 81.0);
    let share = ledger.permanently_failed as f64 / jobs;
    let error = (p * (1.0 - p) / jobs).sqrt();
    assert!((share - p).abs() < 3.0 * error, "{share} is not {p} within 3 x {error}");
}

#[test]
fn workers_that_all_fail_at_a_full_queue_get_out_of_it() {
    for (capacity, backoff) in [(1, "0s"), (1, "5s"), (8, "0s"), (8, "5s")] {
        let mut config = Config::embedded();
        config.failure_rate = config::FailureRate::try_from(1).expect("in range");
        config.queue_capacity = config::QueueCapacity::try_from(capacity).expect("in range");
        config.min_workers = config.max_workers;
        config.retry_backoff = backoff.parse().expect("in range");
        // A deadlock would let this run for ever in virtual time: the drain would never end.
        let (log, ended) = run_at(config, 1, 120, every("10ms"));
        assert!(ended.drained && ended.statistics.ledger.balances(), "{:?}", ended.statistics.ledger);
        assert!(
            ended.statistics.ledger.permanently_failed > 20 && ended.statistics.ledger.succeeded == 0,
            "{:?}",
            ended.statistics.ledger
        );
        assert_eq!(ended.statistics.ledger.created, ended.statistics.ledger.permanently_failed);
        for line in
            ["failed, retrying (1/3)", "failed, retrying (3/3)", "permanently failed", "ERROR: simulated"]
        {
            assert!(log.contains(line), "{line}");
        }
    }
}

#[test]
fn a_drain_under_load_ends_at_zero_and_logs_its_steps_in_order() {
    let (log, ended) = run(Config::embedded(), 1, 8);
    assert!(
        ended.drained && ended.statistics.ledger.balances() && ended.statistics.ledger.backlog == 0,
        "{:?}",
        ended.statistics.ledger
    );
    let text: Vec<&str> = log.lines().map(|line| &line[27..]).collect();
    let at = |wanted: &str| {
        text.iter().position(|line| *line == wanted).unwrap_or_else(|| panic!("{wanted}: {log}"))
    };
    assert_eq!(at("pipeline running — press Ctrl+C to start graceful drain"), 0);
    let signal = at("signal received — stopping producer, beginning drain");
    let drained = at("draining backlog=0");
    let closed = at("jobs channel closed — stopping workers and supervisor");
    assert!(signal < drained && drained < closed && text[text.len() - 1] == "graceful exit complete");
    // The backlog falls, a line each half second, and nothing is created any more.
    let draining: Vec<u64> =
        text.iter().filter_map(|line| line.strip_prefix("draining backlog=")?.parse().ok()).collect();
    assert!(draining.len() > 20 && draining.is_sorted_by(|a, b| a >= b) && draining[0] > 50, "{draining:?}");
    // A stop without a drain deadline took the time it took: longer than a server's 30 s would allow.
    let ends = text.iter().filter(|line| line.contains("handled by worker")).count() as u64;
    assert_eq!(ends, ended.statistics.ledger.created);
}

#[test]
fn worker_numbers_are_never_used_again() {
    let (log, _) = run(Config::embedded(), 1, 500);
    let mut last_seen = std::collections::BTreeMap::new();
    for (number, line) in log.lines().enumerate() {
        if let Some((_, rest)) = line.split_once("handled by worker ") {
            let worker: u64 = rest.split(',').next().and_then(|id| id.parse().ok()).expect("a number");
            last_seen.entry(worker).or_insert((number, number)).1 = number;
        }
    }
    let added = log.matches("added worker").count();
    assert!(last_seen.len() > 8 && last_seen.len() <= 2 + added, "{last_seen:?}");
    // Between its first and its last job a worker is there; more than 8 at a time there never are.
    for (from, _) in last_seen.values() {
        let there = last_seen.values().filter(|(first, last)| first <= from && from <= last).count();
        assert!(there <= 8, "{there} at line {from}");
    }
}

#[test]
fn waits_before_retries_double_up_to_their_limit_and_vary() {
    let ms = |retry, jitter| {
        let (base, limit) = (Duration::from_millis(100), Duration::from_secs(1));
        work::backoff(base, limit, retry, jitter).as_millis()
    };
    assert_eq!(
        [ms(0, 1.0), ms(1, 1.0), ms(2, 1.0), ms(3, 1.0), ms(4, 1.0), ms(99, 1.0)],
        [100, 200, 400, 800, 1_000, 1_000]
    );
    assert_eq!([ms(0, 0.0), ms(0, 0.5), ms(3, 0.0)], [50, 75, 400]);
}
