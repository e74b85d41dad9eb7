//! The pipeline as a whole, in virtual time.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{config::Config, virtual_time::Run, *};

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

fn run(config: Config, seed: u64, length_s: u64) -> (String, Ended) {
    let log = Log::default();
    let settings = config.settings().expect("good settings");
    let run = Run { settings, seed, rate: Rate::Generator, length: Duration::from_secs(length_s) };
    let ended = run.run(log.clone()).expect("a runtime");
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
    assert!(ended.drained && ended.ledger.balances());
    assert_eq!(ended.ledger.backlog, 0);
    println!("{log}");
}

#[test]
fn the_same_seed_writes_the_same_bytes_and_another_does_not() {
    let (first, _) = run(Config::embedded(), 7, 200);
    let (again, _) = run(Config::embedded(), 7, 200);
    let (other, _) = run(Config::embedded(), 8, 200);
    assert_eq!(first, again);
    assert_ne!(first, other);
}
