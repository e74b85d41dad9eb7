//! Buckets.

use std::iter;

use super::{
    interval::{Interval, WeekStart},
    zone::{LATEST_MS, Zone},
};

/// A range of instants, the end excluded, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    /// Its first instant.
    pub from_ms: i64,
    /// The first instant of the next.
    pub until_ms: i64,
}

/// A zone and how its weeks begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// Whose clocks count.
    pub zone: Zone,
    /// The first day of a week.
    pub week: WeekStart,
}

impl Calendar {
    /// Of a zone whose weeks begin on Monday.
    pub const fn new(zone: Zone) -> Self {
        Self { zone, week: WeekStart::Monday }
    }

    /// The bucket in which an instant lies. Times out of the calendar's range lie in its first or last bucket.
    pub fn bucket(&self, interval: Interval, at_ms: i64) -> Bucket {
        let at_ms = at_ms.clamp(super::EARLIEST_MS, LATEST_MS);
        match interval.clock_ms() {
            Some(length_ms) => self.clock_bucket(length_ms, at_ms),
            None => self.date_bucket(interval, at_ms),
        }
    }

    /// The buckets that hold any instant from `from_ms` to before `until_ms`, in their order. The caller, who knows how
    /// many it can use, takes no more.
    pub fn buckets(&self, interval: Interval, from_ms: i64, until_ms: i64) -> impl Iterator<Item = Bucket> {
        let until_ms = until_ms.min(LATEST_MS);
        let first = (from_ms < until_ms).then(|| self.bucket(interval, from_ms));
        iter::successors(first, move |before| {
            (before.until_ms < until_ms).then(|| self.bucket(interval, before.until_ms))
        })
    }

    /// What the bucket is called: its date, month or year, or the clock's time at which it begins.
    pub fn label(&self, interval: Interval, bucket: Bucket) -> String {
        let local = self.zone.local(bucket.from_ms);
        match interval {
            Interval::Day | Interval::Week => local.date().to_string(),
            Interval::Month => local.strftime("%Y-%m").to_string(),
            Interval::Year => local.strftime("%Y").to_string(),
            Interval::QuarterHour | Interval::Hour => {
                let minutes = self.zone.offset_ms(bucket.from_ms) / 60_000;
                let (sign, minutes) = (if minutes < 0 { '-' } else { '+' }, minutes.abs());
                format!("{}{sign}{:02}:{:02}", local.strftime("%Y-%m-%dT%H:%M"), minutes / 60, minutes % 60)
            }
        }
    }

    /// As long as the clock's hour and its offset stay the same. So an hour that is shown twice is two buckets, and where
    /// the clocks jump by half an hour (Lord Howe) a bucket has half an hour.
    fn clock_bucket(&self, length_ms: i64, at_ms: i64) -> Bucket {
        let offset_ms = self.zone.offset_ms(at_ms);
        let from_ms = (at_ms + offset_ms).div_euclid(length_ms) * length_ms - offset_ms;
        let until_ms = from_ms + length_ms;
        Bucket {
            from_ms: self.zone.change_before(at_ms, from_ms).unwrap_or(from_ms),
            until_ms: self.zone.change_after(at_ms, until_ms).unwrap_or(until_ms),
        }
    }

    fn date_bucket(&self, interval: Interval, at_ms: i64) -> Bucket {
        let mut first = interval.first_date(self.zone.local(at_ms).date(), self.week);
        let mut from_ms = self.zone.first_instant(first);
        loop {
            let next = interval.plus(first, 1);
            let until_ms = self.zone.first_instant(next);
            // Past it where the clocks went back over midnight: the next date has begun, although they show this one.
            if until_ms > at_ms || next == first || from_ms >= LATEST_MS {
                return Bucket { from_ms, until_ms };
            }
            (first, from_ms) = (next, until_ms);
        }
    }
}
