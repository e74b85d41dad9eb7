//! Lanes: what waits in one line.
//!
//! A lane is (priority, type, group). Tasks of one lane are started in the order in which they were enqueued. Pause
//! and limits concern a [`Scope`]: a type, a group, or the whole queue.

use std::{fmt, str::FromStr};

use super::name::Name;
use crate::{choice, config::Invalid};

choice! {
    /// How urgent a task is. Under saturation the three get 6, 3 and 1 of 10 starts.
    pub enum Priority {
        /// Six of ten starts.
        High = "high",
        /// Three of ten starts.
        Normal = "normal",
        /// One of ten starts.
        Low = "low",
    }
}

impl Priority {
    /// What one start costs a priority: the inverse of its weight (6, 3, 1), as whole numbers.
    pub(super) const fn stride(self) -> u64 {
        match self {
            Self::High => 5,
            Self::Normal => 10,
            Self::Low => 30,
        }
    }

    /// Its number in keys and tables, most urgent first: 1, 2, 3.
    pub(super) const fn rank(self) -> u8 {
        match self {
            Self::High => 1,
            Self::Normal => 2,
            Self::Low => 3,
        }
    }

    /// The priority with this number.
    pub(super) fn ranked(rank: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.rank() == rank)
    }
}

/// The tasks that wait in one line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// How urgent they are.
    pub priority: Priority,
    /// Their type.
    pub kind: Name,
    /// The tenant that they belong to.
    pub group: Option<Name>,
}

/// `RANK|TYPE|GROUP`, as keys and records hold it. A name contains no `|`.
impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}|", self.priority.rank(), self.kind)?;
        self.group.iter().try_for_each(|group| write!(f, "{group}"))
    }
}

impl FromStr for Lane {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parse = || {
            let mut parts = text.split('|');
            let (rank, kind, group) = (parts.next()?, parts.next()?, parts.next()?);
            let group = if group.is_empty() { None } else { Some(group.parse().ok()?) };
            let lane =
                Self { priority: Priority::ranked(rank.parse().ok()?)?, kind: kind.parse().ok()?, group };
            parts.next().is_none().then_some(lane)
        };
        parse().ok_or_else(|| Invalid::new(text, "RANK|TYPE|GROUP"))
    }
}

/// What a pause or a limit concerns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// All tasks.
    Queue,
    /// The tasks of a type.
    Kind(Name),
    /// The tasks of a group.
    Group(Name),
}

/// `*`, `t|TYPE` or `g|GROUP`, as keys and tables hold it.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue => f.write_str("*"),
            Self::Kind(name) => write!(f, "t|{name}"),
            Self::Group(name) => write!(f, "g|{name}"),
        }
    }
}

impl FromStr for Scope {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.split_once('|') {
            None if text == "*" => Ok(Self::Queue),
            Some(("t", name)) => name.parse().map(Self::Kind),
            Some(("g", name)) => name.parse().map(Self::Group),
            _ => Err(Invalid::new(text, "*, t|TYPE or g|GROUP")),
        }
    }
}

/// What to change of what a scope allows. `None` leaves it as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleChange {
    /// Whether no task is started.
    pub paused: Option<bool>,
    /// The most tasks in flight; 0: no limit.
    pub in_flight_limit: Option<u32>,
    /// How long one start uses up, in microseconds; 0: no rate.
    pub interval_us: Option<u64>,
    /// How many starts may follow each other at once.
    pub burst: Option<u32>,
}

impl RuleChange {
    /// The rule that replaces `rule`; `None` for a burst without a rate.
    pub(super) fn of(self, rule: Rule) -> Option<Rule> {
        let kept = rule.rate.unwrap_or(RateLimit { interval_us: 0, burst: 0 });
        let interval_us = self.interval_us.unwrap_or(kept.interval_us);
        let burst = self.burst.unwrap_or(kept.burst);
        if interval_us == 0 && self.burst.is_some_and(|burst| burst > 0) {
            return None;
        }
        Some(Rule {
            paused: self.paused.unwrap_or(rule.paused),
            in_flight_limit: self.in_flight_limit.or(rule.in_flight_limit).filter(|&limit| limit > 0),
            rate: (interval_us > 0).then(|| RateLimit { interval_us, burst: burst.max(1) }),
        })
    }
}

impl From<Rule> for RuleChange {
    /// Everything as `rule` has it.
    fn from(rule: Rule) -> Self {
        let Rule { paused, in_flight_limit, rate } = rule;
        let RateLimit { interval_us, burst } = rate.unwrap_or(RateLimit { interval_us: 0, burst: 0 });
        Self {
            paused: Some(paused),
            in_flight_limit: Some(in_flight_limit.unwrap_or(0)),
            interval_us: Some(interval_us),
            burst: Some(burst),
        }
    }
}

/// What a scope allows. The default allows everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rule {
    /// No task is started.
    pub paused: bool,
    /// At most this many tasks are in flight.
    pub in_flight_limit: Option<u32>,
    /// At most this many tasks are started in a time.
    pub rate: Option<RateLimit>,
}

/// A rate limit: one start per interval, and a burst after an idle time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// The time between two starts, in microseconds; at least 1.
    pub interval_us: u64,
    /// How many starts may follow each other at once; at least 1.
    pub burst: u32,
}

/// What a scope's rate limit has used: the generic cell rate algorithm (ITU-T I.371, virtual scheduling).
///
/// `arrival_us` is the theoretical arrival time: the time of the lease clock at which the scope would be as good as
/// unused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) arrival_us: u64,
}

impl RateLimit {
    /// How many starts are allowed at `now_us`.
    pub(super) fn room(self, used: Used, now_us: u64) -> u64 {
        let ahead_us = used.arrival_us.saturating_sub(now_us);
        (self.interval_us * u64::from(self.burst)).saturating_sub(ahead_us) / self.interval_us
    }

    /// When the next start is allowed, after all were used up.
    pub(super) fn next_start_us(self, used: Used) -> u64 {
        used.arrival_us.saturating_sub(self.interval_us * u64::from(self.burst.saturating_sub(1)))
    }

    /// What is used after `starts` more at `now_us`.
    pub(super) fn use_up(self, used: Used, now_us: u64, starts: u64) -> Used {
        Used { arrival_us: used.arrival_us.max(now_us) + starts * self.interval_us }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_lane_and_a_scope_read_what_they_print() {
        for text in ["1|email|", "3|a:b/c|acme"] {
            assert_eq!(text.parse::<Lane>().unwrap().to_string(), text);
        }
        for bad in ["", "1|email", "4|email|", "1||", "1|email|a|b", "x|email|"] {
            assert!(bad.parse::<Lane>().is_err(), "{bad}");
        }
        for text in ["*", "t|email", "g|acme"] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        assert!("x|email".parse::<Scope>().is_err());
    }

    proptest! {
        /// In any window no more is started than the burst and what the rate gives.
        #[test]
        fn a_rate_limit_holds_in_every_window(
            interval_us in 1_u64..100_000, burst in 1_u32..20,
            steps in prop::collection::vec((0_u64..50_000, 0_u64..10), 1..60),
        ) {
            let limit = RateLimit { interval_us, burst };
            let (mut now, mut used, mut starts) = (0, Used::default(), Vec::new());
            for (later, wanted) in steps {
                now += later;
                let taken = wanted.min(limit.room(used, now));
                used = limit.use_up(used, now, taken);
                starts.push((now, taken));
            }
            for from in 0..starts.len() {
                let mut total = 0;
                for &(at, taken) in &starts[from..] {
                    total += taken;
                    prop_assert!(total <= u64::from(burst) + (at - starts[from].0).div_ceil(interval_us));
                }
            }
        }
    }
}
