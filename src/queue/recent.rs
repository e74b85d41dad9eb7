//! How attempts ended, how long their tasks had waited and how long they took, by type, over the last five minutes.
//!
//! Each worker keeps its own account, and sends it to the store from time to time beside its lease. Who shows the queue
//! adds up the accounts of all processes that have a lease: attempts of a process that died or stopped are missing.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    ended::{Ended, OTHER},
    name::Name,
};
use crate::latency::SAMPLES_BEYOND;

/// An account covers this time, in slices that are dropped as a whole.
pub(super) const COVERED: Duration = Duration::from_secs(300);
const SLICE: Duration = Duration::from_secs(30);
const SLICES: usize = 10;
/// Types without a handler of their own that have a row; the others share one.
const OTHER_KINDS_LIMIT: usize = 16;
/// A time is kept as a power of this, so a percentile is at most 5% too long.
const STEP: f64 = 1.05;
/// The shortest time told apart, in milliseconds.
const LEAST_MS: f64 = 0.1;

/// How many times there were, by power of [`STEP`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Spread(BTreeMap<u16, u64>);

impl Spread {
    fn record(&mut self, time: Duration) {
        let ms = (time.as_secs_f64() * 1e3).max(LEAST_MS);
        // Rounded up: what is read is never too short.
        let power = (ms / LEAST_MS).ln() / STEP.ln();
        *self.0.entry(power.ceil() as u16).or_default() += 1;
    }

    fn add(&mut self, other: &Self) {
        for (power, count) in &other.0 {
            let sum = self.0.entry(*power).or_default();
            *sum = sum.saturating_add(*count);
        }
    }

    /// How long the share `q` of them took at most, in milliseconds; `None`: too few lie beyond it.
    pub(super) fn percentile(&self, q: f64) -> Option<f64> {
        let n: u64 = self.0.values().sum();
        if n as f64 * (1.0 - q) + 1e-9 < SAMPLES_BEYOND {
            return None;
        }
        let rank = ((n as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.0.iter().find(|(_, count)| {
            seen += **count;
            seen >= rank
        });
        found.map(|(power, _)| LEAST_MS * STEP.powi(i32::from(*power)))
    }
}

/// The account of a type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    /// Attempts that ended well.
    pub(super) succeeded: u64,
    /// Attempts that failed.
    pub(super) failed: u64,
    /// Attempts that came to another end: cancelled, snoozed, handed back.
    pub(super) other: u64,
    /// How long tasks had waited when they were started.
    pub(super) waits: Spread,
    /// How long attempts took that succeeded or failed.
    pub(super) took: Spread,
}

impl Account {
    /// The share of attempts that failed, of those that came to an end of their own; `None`: there were none.
    pub(super) fn failed_share(&self) -> Option<f64> {
        let own = self.succeeded + self.failed;
        (own > 0).then(|| self.failed as f64 / own as f64)
    }

    fn add(&mut self, other: &Self) {
        for (sum, count) in [
            (&mut self.succeeded, other.succeeded),
            (&mut self.failed, other.failed),
            (&mut self.other, other.other),
        ] {
            *sum = sum.saturating_add(count);
        }
        self.waits.add(&other.waits);
        self.took.add(&other.took);
    }
}

/// The accounts of all types.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Accounts(pub(super) BTreeMap<Name, Account>);

impl Accounts {
    fn add(&mut self, other: &Self) {
        for (kind, account) in &other.0 {
            self.0.entry(kind.clone()).or_default().add(account);
        }
    }

    /// Adds up what processes sent. What cannot be read is passed over: an older or newer program may have sent it.
    pub(super) fn sum(sent: &[String]) -> Self {
        let mut sum = Self::default();
        for accounts in sent.iter().filter_map(|text| serde_json::from_str::<Self>(text).ok()) {
            sum.add(&accounts);
        }
        sum
    }
}

/// What a worker remembers.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Types that have a row of their own, and how many of them handlers are configured for.
    kinds: BTreeSet<Name>,
    configured: usize,
    slices: VecDeque<(Instant, Accounts)>,
}

impl Recent {
    /// Types that always have a row of their own.
    pub(super) fn know(&mut self, kinds: impl IntoIterator<Item = Name>) {
        self.kinds.extend(kinds);
        self.configured = self.kinds.len();
    }

    pub(super) fn waited(&mut self, kind: &Name, wait: Duration) {
        self.account(kind).waits.record(wait);
    }

    pub(super) fn ended(&mut self, kind: &Name, ended: Ended, took: Duration) {
        let account = self.account(kind);
        match ended {
            Ended::Succeeded => account.succeeded += 1,
            Ended::Failed => account.failed += 1,
            Ended::Cancelled | Ended::Snoozed | Ended::HandedBack => account.other += 1,
        }
        if matches!(ended, Ended::Succeeded | Ended::Failed) {
            account.took.record(took);
        }
    }

    /// The account of the last minutes, as it is sent.
    pub(super) fn text(&mut self) -> String {
        self.forget();
        let mut sum = Accounts::default();
        for (_, accounts) in &self.slices {
            sum.add(accounts);
        }
        // Names and numbers can always be written.
        serde_json::to_string(&sum).unwrap_or_default()
    }

    fn account(&mut self, kind: &Name) -> &mut Account {
        let kind = if self.kinds.contains(kind) || self.kinds.len() < self.configured + OTHER_KINDS_LIMIT {
            self.kinds.insert(kind.clone());
            kind.clone()
        } else {
            Name::known(OTHER)
        };
        self.forget();
        if self.slices.back().is_none_or(|(since, _)| since.elapsed() >= SLICE) {
            self.slices.push_back((Instant::now(), Accounts::default()));
        }
        let last = self.slices.len() - 1;
        self.slices[last].1.0.entry(kind).or_default()
    }

    fn forget(&mut self) {
        while self.slices.len() > SLICES
            || self.slices.front().is_some_and(|(since, _)| since.elapsed() >= COVERED)
        {
            self.slices.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn accounts_of_processes_add_up_and_are_forgotten() {
        let (mut one, mut two) = (Recent::default(), Recent::default());
        for recent in [&mut one, &mut two] {
            recent.know([name("email")]);
            for ms in 1..=100 {
                recent.waited(&name("email"), Duration::from_millis(ms));
                let ended = if ms % 4 == 0 { Ended::Failed } else { Ended::Succeeded };
                recent.ended(&name("email"), ended, Duration::from_millis(10 * ms));
            }
            recent.ended(&name("email"), Ended::HandedBack, Duration::from_secs(60));
        }
        let sum = Accounts::sum(&[one.text(), "no account".to_owned(), two.text()]);
        let email = &sum.0["email"];
        assert_eq!((email.succeeded, email.failed, email.other), (150, 50, 2));
        assert_eq!(email.failed_share(), Some(0.25));
        let near = |found: Option<f64>, expected: f64| {
            let found = found.unwrap();
            assert!((expected..=expected * 1.051).contains(&found), "{found} for {expected}");
        };
        near(email.waits.percentile(0.5), 50.0);
        near(email.waits.percentile(0.95), 95.0);
        near(email.took.percentile(0.95), 950.0);
        assert_eq!(email.took.percentile(0.99), None, "two lie beyond it");

        tokio::time::advance(Duration::from_secs(200)).await;
        one.ended(&name("email"), Ended::Failed, Duration::ZERO);
        tokio::time::advance(Duration::from_secs(150)).await;
        let left = &Accounts::sum(&[one.text(), two.text()]).0["email"];
        assert_eq!((left.succeeded, left.failed), (0, 1));
        assert_eq!((left.waits.percentile(0.5), left.failed_share()), (None, Some(1.0)));
    }

    #[test]
    fn types_beyond_the_limit_share_a_row() {
        let mut recent = Recent::default();
        recent.know([name("email")]);
        for number in 0..40 {
            recent.ended(&name(&format!("t{number}")), Ended::Succeeded, Duration::ZERO);
        }
        recent.ended(&name("email"), Ended::Succeeded, Duration::ZERO);
        let sum = Accounts::sum(&[recent.text()]).0;
        assert_eq!(sum.len(), 1 + OTHER_KINDS_LIMIT + 1);
        assert_eq!((sum[OTHER].succeeded, sum["email"].succeeded), (24, 1));
    }
}
