//! Loads over time: built-in ones, or the user's own CSV file.
//!
//! Two columns are a length in seconds and the rate that holds for it; arrivals are then a Poisson process of
//! that rate. One column is the number of arrivals in each second, as counted; they are then spread evenly
//! at random within their second, and their number is exactly that. Comments begin with `#`, and a line of
//! names may come first.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use rand::RngExt as _;

use crate::{
    input,
    sim::{Key, Purpose},
};

const FILE_LIMIT_MIB: u64 = 4;
const LENGTH_LIMIT_S: f64 = 7.0 * 86_400.0;
const ARRIVALS_LIMIT: f64 = 2_000_000.0;
/// The name of traces in the keys of draws.
const SERVICE: char = 'T';

/// A load over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Its name.
    pub name: String,
    /// What it is, if it says.
    pub about: String,
    /// Lengths in seconds, each with its rate a second.
    rows: Vec<(f64, f64)>,
    /// Whether rates are counts.
    counted: bool,
}

/// The shipped traces by name.
const SHIPPED: [(&str, &str); 6] = [
    ("quiet", include_str!("traces/quiet.csv")),
    ("steady", include_str!("traces/steady.csv")),
    ("steps", include_str!("traces/steps.csv")),
    ("daily", include_str!("traces/daily.csv")),
    ("bursts", include_str!("traces/bursts.csv")),
    ("overload", include_str!("traces/overload.csv")),
];

impl Trace {
    /// All shipped traces.
    ///
    /// # Errors
    /// Never: a test reads them.
    pub fn shipped() -> anyhow::Result<Vec<Self>> {
        SHIPPED.into_iter().map(|(name, text)| Self::parse(name, text)).collect()
    }

    /// A shipped trace by its name, or a file's.
    ///
    /// # Errors
    /// When there is none, or it is no trace.
    pub fn open(name: &str) -> anyhow::Result<Self> {
        if let Some((name, text)) = SHIPPED.into_iter().find(|(shipped, _)| *shipped == name) {
            return Self::parse(name, text);
        }
        let names: Vec<&str> = SHIPPED.into_iter().map(|(name, _)| name).collect();
        let text = input::read_text(Path::new(name), FILE_LIMIT_MIB).with_context(|| {
            format!("{name} is no trace ({}), and no file that can be read", names.join(", "))
        })?;
        let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self::parse(&stem, &text).with_context(|| name.to_owned())
    }

    pub(super) fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        let mut about = String::new();
        let mut rows = Vec::new();
        let mut counted = None;
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(comment) = line.strip_prefix('#') {
                about = if about.is_empty() { comment.trim().to_owned() } else { about };
                continue;
            }
            let cells: Vec<&str> = line.split(',').map(str::trim).collect();
            let named =
                rows.is_empty() && counted.is_none() && cells[0].starts_with(|c: char| c.is_alphabetic());
            if line.trim().is_empty() || named {
                continue;
            }
            let numbers: Vec<f64> = cells.iter().filter_map(|cell| cell.parse().ok()).collect();
            let (seconds, rate, count) = match numbers[..] {
                [count] if count.fract() == 0.0 => (1.0, count, true),
                [seconds, rate] => (seconds, rate, false),
                _ => bail!("line {number}: a count of arrivals, or seconds and a rate, is allowed"),
            };
            let allowed = cells.len() == numbers.len()
                && seconds > 0.0
                && seconds <= LENGTH_LIMIT_S
                && (0.0..=ARRIVALS_LIMIT).contains(&rate)
                && *counted.get_or_insert(count) == count;
            ensure!(
                allowed,
                "line {number}: {line:?} is not allowed: numbers that are not negative, one or two on every line"
            );
            rows.push((seconds, rate));
        }
        let trace = Self { name: name.to_owned(), about, rows, counted: counted.unwrap_or(false) };
        ensure!(!trace.rows.is_empty(), "there is no line with a number");
        ensure!(trace.length_s() <= LENGTH_LIMIT_S, "at most {LENGTH_LIMIT_S} s are allowed");
        let arrivals: f64 = trace.rows.iter().map(|(seconds, rate)| seconds * rate).sum();
        ensure!(arrivals <= ARRIVALS_LIMIT, "at most {ARRIVALS_LIMIT} arrivals are allowed, not {arrivals}");
        Ok(trace)
    }

    /// How long it is.
    pub fn length_s(&self) -> f64 {
        self.rows.iter().map(|(seconds, _)| seconds).sum()
    }

    /// Its rate as steps: when each begins, in seconds, and arrivals a second.
    pub fn steps(&self) -> Vec<(f64, f64)> {
        let mut begins_s = 0.0;
        let mut steps: Vec<(f64, f64)> = Vec::with_capacity(self.rows.len() + 1);
        for (seconds, rate) in &self.rows {
            steps.push((begins_s, *rate));
            begins_s += seconds;
        }
        steps.extend(self.rows.last().map(|(_, rate)| (begins_s, *rate)));
        steps
    }

    /// When jobs arrive, in order, on the timers' grid of whole milliseconds.
    pub fn arrivals(&self, seed: u64) -> Arc<[Duration]> {
        let mut rng = Key { seed, request: 0, service: SERVICE, attempt: 0 }.rng(Purpose::Arrival);
        let mut at_s = Vec::new();
        let mut begins_s = 0.0;
        // What is left of the way to the next arrival, in expected arrivals.
        let mut left = -(1.0 - rng.random::<f64>()).ln();
        for (seconds, rate) in &self.rows {
            if self.counted {
                let first = at_s.len();
                at_s.extend((0..*rate as u64).map(|_| begins_s + rng.random::<f64>()));
                at_s[first..].sort_by(f64::total_cmp);
            } else {
                let mut inside_s = 0.0;
                while left < (seconds - inside_s) * rate {
                    inside_s += left / rate;
                    at_s.push(begins_s + inside_s);
                    left = -(1.0 - rng.random::<f64>()).ln();
                }
                left -= (seconds - inside_s) * rate;
            }
            begins_s += seconds;
        }
        at_s.into_iter().map(|at_s| Duration::from_millis((at_s * 1e3).round() as u64)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_traces_arrive_at_their_rate() {
        for trace in Trace::shipped().expect("traces") {
            assert!(!trace.about.is_empty(), "{}", trace.name);
            let expected: f64 = trace.rows.iter().map(|(seconds, rate)| seconds * rate).sum();
            let counts: Vec<usize> = (0..20).map(|seed| trace.arrivals(seed).len()).collect();
            let mean = counts.iter().sum::<usize>() as f64 / 20.0;
            // A Poisson count has the variance of its mean; four standard errors.
            assert!(
                (mean - expected).abs() < 4.0 * (expected / 20.0).sqrt(),
                "{}: {mean}, not {expected}",
                trace.name
            );
            assert!(trace.arrivals(1).is_sorted() && trace.arrivals(1) == trace.arrivals(1));
            assert_ne!(trace.arrivals(1), trace.arrivals(2));
        }
    }

    #[test]
    fn counts_are_kept_to_the_second() {
        let trace = Trace::parse("mine", "arrivals\n3\n0\n5\n").expect("a trace");
        let arrivals = trace.arrivals(9);
        let in_second =
            |second: u64| arrivals.iter().filter(|at| (second..=second).contains(&at.as_secs())).count();
        assert_eq!((trace.length_s(), arrivals.len()), (3.0, 8));
        assert_eq!((in_second(0), in_second(1), in_second(2)), (3, 0, 5));
    }

    #[test]
    fn an_invalid_trace_is_refused_with_the_line() {
        for bad in [
            "", "a,b\n", "1\n1,2\n", "1.5\n", "-1\n", "10,-1\n", "0,1\n", "1,2,3\n", "1,x\n", "1e9,1\n",
            "1\nx\n", "NaN\n",
        ] {
            assert!(Trace::parse("bad", bad).is_err(), "{bad:?}");
        }
        let error = Trace::parse("bad", "seconds,rate\n10,1\n10,-1\n").expect_err("negative").to_string();
        assert!(error.starts_with("line 3: \"10,-1\" is not allowed"), "{error}");
        assert!(Trace::open("nowhere").is_err());
    }
}
