//! How calls share a service, and what happens to a call whose caller has left.

use std::{fmt, str::FromStr};

use crate::{
    choice,
    config::{Allowed, Fraction, Invalid},
    documented,
};

const SERVERS_LIMIT: u32 = 100_000;
const QUEUE_LIMIT: u32 = 1_000_000;
/// The waiting room of a pool when none is given.
const QUEUE_DEFAULT: u32 = 10_000;

/// How calls in progress share a service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Contention {
    /// Infinitely many servers: a call never waits for another.
    Off,
    /// `servers` calls at a time, the others in one first-in-first-out queue of `queue_capacity`.
    Pool {
        /// Calls served at a time.
        servers: u32,
        /// Calls that may wait; one more is refused.
        queue_capacity: u32,
    },
    /// The Universal Scalability Law: with n calls in progress each takes
    /// `1 + contention (n - 1) + coherency n (n - 1)` times as long (Gunther, "A Simple Capacity
    /// Model of Massively Parallel Transaction Systems", CMG 1993), and its pace changes as n does.
    Usl {
        /// The serial share, 0 to 1 (sigma).
        contention: f64,
        /// The cost of coordination between calls, 0 to 1 (kappa).
        coherency: f64,
    },
}

impl Contention {
    /// How many calls are served at a time; the others wait.
    pub fn servers(&self) -> usize {
        match *self {
            Self::Pool { servers, .. } => servers as usize,
            Self::Off | Self::Usl { .. } => usize::MAX,
        }
    }

    /// How many calls may wait.
    pub fn queue_capacity(&self) -> usize {
        match *self {
            Self::Pool { queue_capacity, .. } => queue_capacity as usize,
            Self::Off | Self::Usl { .. } => 0,
        }
    }

    /// Work done a unit of time by each of `n` calls in progress, 0 to 1.
    pub fn pace(&self, n: usize) -> f64 {
        match *self {
            Self::Off | Self::Pool { .. } => 1.0,
            Self::Usl { contention, coherency } => {
                let n = n.max(1) as f64;
                1.0 / (1.0 + contention * (n - 1.0) + coherency * n * (n - 1.0))
            }
        }
    }
}

impl Allowed for Contention {
    const ALLOWED: &'static str = "off, pool:SERVERS[,QUEUE] (1 to 100000 servers, a queue of 0 to 1000000, default 10000) \
         or usl:S,K (each 0 to 1)";
}

impl FromStr for Contention {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parsed = || {
            let text = text.trim();
            if text == "off" {
                return Some(Self::Off);
            }
            let (kind, arguments) = text.split_once(':')?;
            let mut arguments = arguments.split(',').map(str::trim);
            let (first, second, rest) = (arguments.next()?, arguments.next(), arguments.next());
            if rest.is_some() {
                return None;
            }
            match kind {
                "pool" => {
                    let servers = first.parse().ok().filter(|n| (1..=SERVERS_LIMIT).contains(n))?;
                    let queue_capacity = match second {
                        Some(text) => text.parse().ok().filter(|n| *n <= QUEUE_LIMIT)?,
                        None => QUEUE_DEFAULT,
                    };
                    Some(Self::Pool { servers, queue_capacity })
                }
                "usl" => {
                    let share = |text: &str| text.parse::<Fraction>().ok().map(Fraction::get);
                    Some(Self::Usl { contention: share(first)?, coherency: share(second?)? })
                }
                _ => None,
            }
        };
        parsed().ok_or_else(|| Invalid::new(text, Self::ALLOWED))
    }
}

impl fmt::Display for Contention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Pool { servers, queue_capacity } => write!(f, "pool:{servers},{queue_capacity}"),
            Self::Usl { contention, coherency } => write!(f, "usl:{contention},{coherency}"),
        }
    }
}
documented!(Contention as String);

choice! {
    /// What a service does with a call whose caller has left.
    pub enum OnCallerGone {
        /// Drops it, running or waiting.
        Abort = "abort",
        /// Finishes what runs, drops what waits.
        Dequeue = "dequeue",
        /// Carries on with both.
        Continue = "continue",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_as_people_write_it_survives_a_round_trip() {
        for text in ["off", "pool:32,10000", "pool:1,0", "usl:0.05,0.001"] {
            assert_eq!(text.parse::<Contention>().expect(text).to_string(), text);
        }
        assert_eq!("pool:32".parse::<Contention>().map(|c| c.queue_capacity()), Ok(10_000));
        for bad in ["", "on", "pool", "pool:0", "pool:1,2,3", "pool:-1", "usl:1", "usl:2,0", "usl:NaN,0"] {
            assert!(bad.parse::<Contention>().is_err(), "{bad}");
        }
        for policy in OnCallerGone::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert!("stop".parse::<OnCallerGone>().is_err());
    }

    #[test]
    fn the_law_peaks_at_the_computed_concurrency() {
        let law: Contention = "usl:0.05,0.001".parse().expect("a law");
        let throughput = |n: usize| n as f64 * law.pace(n);
        let peak = (1..200).max_by(|&a, &b| throughput(a).total_cmp(&throughput(b)));
        // sqrt((1 - s) / k) = 30.8
        assert_eq!(peak, Some(31));
        assert_eq!(law.pace(1), 1.0);
    }
}
