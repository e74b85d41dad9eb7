//! How often each kind of fault hit.

use std::{collections::BTreeMap, fmt};

use parking_lot::Mutex;

/// The seed and size of a run, from the environment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// From which all faults and times are drawn.
    pub(crate) seed: u64,
    /// Hits of all kinds together; `None`: the small run.
    pub(crate) hits: Option<u64>,
}

impl Plan {
    /// `CHAOS_SEED` and `CHAOS_HITS`, as `scripts/chaos` sets them.
    pub(crate) fn of_environment() -> Self {
        let number = |name: &str| {
            let value = std::env::var(name).ok()?;
            Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a whole number")))
        };
        Self { seed: number("CHAOS_SEED").unwrap_or(1), hits: number("CHAOS_HITS") }
    }
}

/// Counts faults that hit and those that met nothing, by kind.
#[derive(Debug, Default)]
pub(crate) struct Hits {
    counts: Mutex<BTreeMap<&'static str, (u64, u64)>>,
}

impl Hits {
    /// Counts a fault of a kind.
    pub(crate) fn count(&self, kind: &'static str, hit: bool) {
        let mut counts = self.counts.lock();
        let (hits, misses) = counts.entry(kind).or_default();
        *if hit { hits } else { misses } += 1;
    }

    /// How often a kind has hit.
    pub(crate) fn of(&self, kind: &str) -> u64 {
        self.counts.lock().get(kind).map_or(0, |(hits, _)| *hits)
    }
}

/// A table: kind, hits, faults that met nothing.
impl fmt::Display for Hits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts.lock();
        writeln!(f, "{:<32} {:>6} {:>6}", "kind", "hits", "missed")?;
        for (kind, (hits, misses)) in &*counts {
            writeln!(f, "{kind:<32} {hits:>6} {misses:>6}")?;
        }
        let all: u64 = counts.values().map(|(hits, _)| hits).sum();
        writeln!(f, "{:<32} {all:>6}", "all")
    }
}

#[test]
fn hits_are_counted_by_kind() {
    let hits = Hits::default();
    for hit in [true, false, true] {
        hits.count("kill", hit);
    }
    hits.count("cut", true);
    assert_eq!((hits.of("kill"), hits.of("cut"), hits.of("none")), (2, 1, 0));
    let table = hits.to_string();
    let rows: Vec<Vec<&str>> = table.lines().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows[1..], [vec!["cut", "1", "0"], vec!["kill", "2", "1"], vec!["all", "3"]]);
}
