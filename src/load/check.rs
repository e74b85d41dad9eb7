//! Checks that a run must pass, such as `p95<800ms,good>99%`.
//!
//! ```text
//!   CHECK[,CHECK...]     CHECK = WHAT OP LIMIT      OP = < <= > >=
//!   p50 .. p99.99        percentiles over all offered requests, from the intended start; a time such as 800ms
//!   max                  the longest answer, if all were answered; a time
//!   good                 successes within the objective, of the offered; a share such as 99% or 0.99
//!   ok                   successes, of the offered; a share
//!   failed               requests without a success, of the offered; a share
//!   not_sent             not sent by the generator, of the offered; a share
//!   rate                 requests sent a second; a rate such as 100 or 6000/m
//! ```
//!
//! A check that cannot be decided, such as a percentile of too few requests, does not hold, and the finding says why. A percentile that is not reached is slower than any limit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Measured;
use super::finding::{Finding, Verdict};
use super::stats::Share;
use crate::config::{Allowed, Invalid, ShareText, Span, TimeText, counted, read_rate, read_share};
use crate::labelled;
use crate::latency::{Outcome, Percentiles, Quantile, Rate};

/// The most checks at once.
const CHECKS_LIMIT: usize = 32;

/// Checks that all must hold, at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Checks(Vec<Check>);

/// One check.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    what: What,
    op: Op,
    limit: Limit,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    /// In percent, as given.
    Percentile(f64),
    Max,
    Good,
    Ok,
    Failed,
    NotSent,
    Rate,
}

labelled! {
    /// The comparison; an operator comes before its own prefix.
    enum Op {
        AtMost = "<=",
        AtLeast = ">=",
        Below = "<",
        Above = ">",
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    Time(Duration),
    Share(f64),
    Number(f64),
}

impl Op {
    fn holds(self, found: f64, limit: f64) -> bool {
        match self {
            Self::Below => found < limit,
            Self::AtMost => found <= limit,
            Self::Above => found > limit,
            Self::AtLeast => found >= limit,
        }
    }

    const fn wants_little(self) -> bool {
        matches!(self, Self::Below | Self::AtMost)
    }
}

impl Checks {
    /// Each check with what was found.
    #[must_use]
    pub fn evaluate(&self, measured: &Measured) -> Vec<Finding> {
        self.0.iter().map(|check| check.evaluate(measured)).collect()
    }

    /// Whether they hold for the server that was measured: each is a share of requests (of those within
    /// the time, of those that are good), compared with its limit by its interval. A check that is no
    /// such share is taken as found.
    #[must_use]
    pub fn verdict(&self, measured: &Measured) -> Verdict {
        let verdicts = || self.0.iter().map(|check| check.verdict(measured));
        if verdicts().any(|verdict| verdict == Verdict::Failed) {
            Verdict::Failed
        } else if verdicts().all(|verdict| verdict == Verdict::Held) {
            Verdict::Held
        } else {
            Verdict::Undecided
        }
    }

    /// How many requests a run needs before these checks can be decided.
    #[must_use]
    pub fn requests_needed(&self) -> u64 {
        let needed = self.0.iter().map(|check| match (check.what, check.limit) {
            // Ten beyond the percentile are shown; an interval that can exclude needs some more.
            (What::Percentile(percent), _) => 20.0 / (1.0 - percent / 100.0),
            (_, Limit::Share(share)) => 20.0 / share.min(1.0 - share).max(0.001),
            _ => 100.0,
        });
        needed.fold(100.0, f64::max).ceil() as u64
    }

    /// The smallest share of requests that one of them requires to be good, 0 to 1.
    #[must_use]
    pub fn least_share(&self) -> f64 {
        let shares = self.0.iter().map(|check| match (check.what, check.limit) {
            (What::Percentile(percent), _) => percent / 100.0,
            (_, Limit::Share(share)) if check.op.wants_little() => 1.0 - share,
            (_, Limit::Share(share)) => share,
            _ => 1.0,
        });
        shares.fold(1.0, f64::min).max(0.01)
    }

    /// The longest time limit among them; `slo` for a check of `good`.
    #[must_use]
    pub fn slowest(&self, slo: Duration) -> Duration {
        let times = self.0.iter().filter_map(|check| match (check.what, check.limit) {
            (_, Limit::Time(limit)) => Some(limit),
            (What::Good, _) => Some(slo),
            _ => None,
        });
        times.max().unwrap_or(slo)
    }
}

impl Check {
    fn evaluate(&self, measured: &Measured) -> Finding {
        let headline = measured.recorder.headline();
        let finding = |held, found| Finding::new(self.to_string(), held, found);
        match (self.what, self.limit) {
            (What::Percentile(percent), Limit::Time(limit)) => {
                let found = headline.percentile(percent / 100.0);
                let text = match found {
                    Quantile::TooFew { n } => {
                        let needed = (10.0 / (1.0 - percent / 100.0)).ceil();
                        format!("not known: {}, but {needed} are needed", counted(n, "request", "requests"))
                    }
                    told => told.to_string(),
                };
                finding(self.holds_for(found, limit), text).time(found)
            }
            (What::Max, Limit::Time(limit)) => {
                let found = Percentiles::from(headline).max;
                let text = match found {
                    Quantile::Value(_) => found.to_string(),
                    Quantile::NotReached if headline.answered() > 0 => "not all were answered".to_owned(),
                    Quantile::NotReached | Quantile::TooFew { .. } => "nothing was answered".to_owned(),
                };
                finding(self.holds_for(found, limit), text).time(found)
            }
            (_, Limit::Number(limit)) => {
                let found = measured.sent_per_second();
                finding(Some(self.op.holds(found, limit)), format!("{found:.1} /s")).per_second(found)
            }
            (what, Limit::Share(limit)) => {
                let found = share_of(what, measured);
                let held = found.fraction().map(|found| self.op.holds(found, limit));
                finding(held, found.to_string()).share(found)
            }
            // Not built by the parser.
            (_, Limit::Time(_)) => finding(None, "cannot be told".to_owned()),
        }
    }

    /// Whether it holds for a time; `None` if that is unknown. A percentile that is not reached is slower than any
    /// limit.
    fn holds_for(&self, found: Quantile, limit: Duration) -> Option<bool> {
        match found {
            Quantile::Value(found) => Some(self.op.holds(found.as_secs_f64(), limit.as_secs_f64())),
            Quantile::NotReached => Some(!self.op.wants_little()),
            Quantile::TooFew { .. } => None,
        }
    }

    fn verdict(&self, measured: &Measured) -> Verdict {
        let headline = measured.recorder.headline();
        let (rate, limit, wants_much) = match (self.what, self.limit) {
            // p95 < 800 ms says that more than 95 % are within 800 ms.
            (What::Percentile(percent), Limit::Time(time)) => {
                (headline.within(time), percent / 100.0, self.op.wants_little())
            }
            (What::Max | What::Rate, _) | (_, Limit::Time(_) | Limit::Number(_)) => {
                return self.evaluate(measured).verdict;
            }
            (what, Limit::Share(limit)) => (share_of(what, measured), limit, !self.op.wants_little()),
        };
        match Share::of(rate).beside(limit) {
            None => Verdict::Undecided,
            Some(above) if above == wants_much => Verdict::Held,
            Some(_) => Verdict::Failed,
        }
    }
}

fn share_of(what: What, measured: &Measured) -> Rate {
    let (ok, whole) = (measured.count(Outcome::Ok), measured.offered());
    let part = match what {
        What::Good => measured.recorder.good(measured.series.slo()).part,
        What::Failed => whole - ok,
        What::NotSent => measured.count(Outcome::NotSent),
        _ => ok,
    };
    Rate { part, whole }
}

impl Allowed for Checks {
    const ALLOWED: &'static str = "checks with commas between: p50 to p99.99 or max against a time, good, ok, failed or \
         not_sent against a share, rate against a rate; with <, <=, > or >=; such as p95<800ms,good>99%";
}

impl FromStr for Checks {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let checks = text
            .split(',')
            .map(|part| read(part.trim()).unwrap_or_else(|| Err(Invalid::new(part.trim(), Self::ALLOWED))));
        let checks: Vec<Check> = checks.collect::<Result<_, _>>()?;
        if checks.len() > CHECKS_LIMIT {
            return Err(Invalid::new(text, "at most 32 checks"));
        }
        Ok(Self(checks))
    }
}

/// Parses one check: `None` if it is not a check, and an error if only its time is invalid.
fn read(part: &str) -> Option<Result<Check, Invalid>> {
    let at = part.find(['<', '>'])?;
    let (name, rest) = part.split_at(at);
    let (op, limit) = Op::ALL.into_iter().find_map(|op| Some((op, rest.strip_prefix(op.label())?.trim())))?;
    let what = match name.trim() {
        "max" => What::Max,
        "good" => What::Good,
        "ok" => What::Ok,
        "failed" => What::Failed,
        "not_sent" => What::NotSent,
        "rate" => What::Rate,
        name => {
            let percent: f64 = name.strip_prefix('p')?.parse().ok()?;
            What::Percentile(Some(percent).filter(|percent| (1.0..=99.99).contains(percent))?)
        }
    };
    let limit = match what {
        What::Percentile(_) | What::Max => match limit.parse::<Span>() {
            Ok(limit) => Limit::Time(limit.get()),
            Err(refusal) => return Some(Err(Invalid::new(part, refusal.allowed))),
        },
        What::Rate => Limit::Number(read_rate(limit)?),
        _ => Limit::Share(read_share(limit).filter(|share| (0.0..=1.0).contains(share))?),
    };
    Some(Ok(Check { what, op, limit }))
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Percentile(percent) => write!(f, "p{percent}")?,
            What::Max => f.write_str("max")?,
            What::Good => f.write_str("good")?,
            What::Ok => f.write_str("ok")?,
            What::Failed => f.write_str("failed")?,
            What::NotSent => f.write_str("not_sent")?,
            What::Rate => f.write_str("rate")?,
        }
        f.write_str(self.op.label())?;
        match self.limit {
            Limit::Time(limit) => TimeText(limit).fmt(f),
            Limit::Share(share) => ShareText(share).fmt(f),
            Limit::Number(number) => write!(f, "{number}"),
        }
    }
}

impl fmt::Display for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, check) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            check.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
