//! A period, and the one before it.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::{
    bucket::{Bucket, Calendar},
    interval::{Interval, plus_days},
};

/// Days, weeks, months or years that follow each other, such as this month or the last seven days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    unit: Interval,
    first: Date,
    count: u16,
}

/// What clock and calendar on the wall show: the unit of the period, the month, the day, the time in milliseconds.
type Wall = (i64, i8, i64, i64);
/// The same, and for which time it is shown.
type Place = (Wall, u8);

impl Period {
    /// The `count` units that end with the one in which `at_ms` lies, at least one. An hour or a quarter-hour is read as
    /// a day.
    pub fn ending(calendar: &Calendar, unit: Interval, count: u16, at_ms: i64) -> Self {
        let unit = if unit.clock_ms().is_some() { Interval::Day } else { unit };
        let count = count.max(1);
        let last = calendar.bucket(unit, at_ms).from_ms;
        let last = unit.first_date(calendar.zone.local(last).date(), calendar.week);
        Self { unit, first: unit.plus(last, 1 - i64::from(count)), count }
    }

    /// From its first instant to that of the next.
    pub fn range(&self, calendar: &Calendar) -> Bucket {
        let at = |count: u16| calendar.zone.first_instant(self.unit.plus(self.first, count.into()));
        Bucket { from_ms: at(0), until_ms: at(self.count) }
    }

    /// As many units, which end where it begins.
    #[must_use]
    pub fn previous(&self) -> Self {
        Self { first: self.unit.plus(self.first, -i64::from(self.count)), ..*self }
    }

    /// The moment of the previous period at which as much of it has passed as of this at `now_ms`: the same date and time
    /// in the same unit; the end of the unit where it has no such date. At an end of this period, an end of the
    /// previous.
    pub fn elapsed(&self, calendar: &Calendar, now_ms: i64) -> i64 {
        let (range, previous) = (self.range(calendar), self.previous());
        let previous_range = previous.range(calendar);
        if now_ms >= range.until_ms {
            return previous_range.until_ms;
        }
        // Where clocks jump over the midnight at which it begins, they show a later time.
        if now_ms <= range.from_ms {
            return previous_range.from_ms;
        }
        let local = calendar.zone.local(now_ms);
        let index = self.index(local.date());
        let unit = self.unit.plus(previous.first, index);
        let next_ms = calendar.zone.first_instant(self.unit.plus(unit, 1));
        let date = self.counterpart(local.date(), self.unit.plus(self.first, index), unit);
        let at_ms = match date {
            Some(date) => calendar.zone.instant(date.to_datetime(local.time())).min(next_ms),
            // The 30th of February has passed when March begins.
            None if self.unit == Interval::Year => {
                let month = Date::new(unit.year(), local.date().month(), 1).unwrap_or(unit);
                calendar.zone.first_instant(Interval::Month.plus(month, 1))
            }
            None => next_ms,
        };
        at_ms.clamp(previous_range.from_ms, previous_range.until_ms)
    }

    /// The buckets of this period, each with the one of the previous period that has the same place on the wall: the same
    /// date of the month, hour of the day and so on. There may be none: for the 31st, for an hour that the clocks
    /// jumped over or showed twice. Weeks of months and years are paired by their order.
    pub fn pairs(&self, calendar: &Calendar, interval: Interval) -> Vec<(Bucket, Option<Bucket>)> {
        let previous: BTreeMap<Place, Bucket> = self.previous().placed(calendar, interval).collect();
        let these = self.placed(calendar, interval);
        these.map(|(place, bucket)| (bucket, previous.get(&place).copied())).collect()
    }

    fn placed(&self, calendar: &Calendar, interval: Interval) -> impl Iterator<Item = (Place, Bucket)> {
        let Bucket { from_ms, until_ms } = self.range(calendar);
        let mut seen: BTreeMap<Wall, u8> = BTreeMap::new();
        calendar.buckets(interval, from_ms, until_ms).zip(0..).map(move |(bucket, order)| {
            let wall = self.wall(calendar, interval, bucket.from_ms, order);
            let before = seen.entry(wall).or_default();
            *before += 1;
            ((wall, *before), bucket)
        })
    }

    fn wall(&self, calendar: &Calendar, interval: Interval, at_ms: i64, order: i64) -> Wall {
        let local = calendar.zone.local(at_ms);
        let date = local.date();
        let index = self.index(date);
        match (interval, self.unit) {
            (Interval::Month, Interval::Year) => (index, date.month(), 0, 0),
            (Interval::Month, Interval::Month) | (Interval::Year, Interval::Year) => (index, 0, 0, 0),
            (Interval::Week | Interval::Month | Interval::Year, _) => (order, 0, 0, 0),
            (Interval::Day | Interval::Hour | Interval::QuarterHour, unit) => {
                let time_ms = i64::from(local.hour()) * 3_600_000 + i64::from(local.minute()) * 60_000;
                let begun_ms = interval.clock_ms().map_or(0, |length_ms| time_ms / length_ms * length_ms);
                match unit {
                    Interval::Year => (index, date.month(), date.day().into(), begun_ms),
                    _ => (index, 0, days_between(unit.plus(self.first, index), date), begun_ms),
                }
            }
        }
    }

    /// Which unit a date lies in.
    fn index(&self, date: Date) -> i64 {
        let months = |date: Date| i64::from(date.year()) * 12 + i64::from(date.month());
        match self.unit {
            Interval::QuarterHour | Interval::Hour | Interval::Day => days_between(self.first, date),
            Interval::Week => days_between(self.first, date).div_euclid(7),
            Interval::Month => months(date) - months(self.first),
            Interval::Year => i64::from(date.year()) - i64::from(self.first.year()),
        }
    }

    /// The date that has the same place in the unit that begins on `to` as `date` has in the one that begins on `from`.
    fn counterpart(&self, date: Date, from: Date, to: Date) -> Option<Date> {
        match self.unit {
            Interval::Year => Date::new(to.year(), date.month(), date.day()).ok(),
            Interval::Month => Date::new(to.year(), to.month(), date.day()).ok(),
            _ => Some(plus_days(to, days_between(from, date))),
        }
    }
}

fn days_between(from: Date, to: Date) -> i64 {
    to.duration_since(from).as_hours() / 24
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{
            tests::{at, calendar},
            zone::Zone,
        },
        *,
    };

    fn shown_pairs(
        zone: &str,
        unit: Interval,
        count: u16,
        now: &str,
        interval: Interval,
    ) -> Vec<(String, String)> {
        let calendar = calendar(zone);
        let period = Period::ending(&calendar, unit, count, at(now));
        let label = |bucket| calendar.label(interval, bucket);
        let pairs = period.pairs(&calendar, interval);
        pairs.into_iter().map(|(this, other)| (label(this), other.map_or("none".to_owned(), label))).collect()
    }

    fn pair(this: &str, other: &str) -> (String, String) {
        (this.to_owned(), other.to_owned())
    }

    #[test]
    fn periods_are_paired_by_what_the_wall_shows() {
        let months = shown_pairs("Europe/Paris", Interval::Month, 1, "2026-03-10T00:00Z", Interval::Day);
        assert_eq!((months.len(), &months[27]), (31, &pair("2026-03-28", "2026-02-28")));
        assert_eq!(months[28..], ["2026-03-29", "2026-03-30", "2026-03-31"].map(|day| pair(day, "none")));

        // 25 hours against 24, then 23 against 24.
        let hours = shown_pairs("Europe/Paris", Interval::Day, 1, "2026-10-25T10:00Z", Interval::Hour);
        assert_eq!(hours[2], pair("2026-10-25T02:00+02:00", "2026-10-24T02:00+02:00"));
        assert_eq!(hours[3], pair("2026-10-25T02:00+01:00", "none"));
        assert_eq!(hours[24], pair("2026-10-25T23:00+01:00", "2026-10-24T23:00+02:00"));
        let hours = shown_pairs("Europe/Paris", Interval::Day, 1, "2026-03-29T10:00Z", Interval::Hour);
        assert_eq!((hours.len(), &hours[2]), (23, &pair("2026-03-29T03:00+02:00", "2026-03-28T03:00+01:00")));
        let quarters =
            shown_pairs("Europe/Paris", Interval::Day, 1, "2026-10-25T10:00Z", Interval::QuarterHour);
        assert_eq!(quarters.iter().filter(|(_, other)| other == "none").count(), 4);

        let weeks = shown_pairs("Asia/Kolkata", Interval::Week, 1, "2026-11-26T00:00Z", Interval::Day);
        assert_eq!((weeks.len(), &weeks[6]), (7, &pair("2026-11-29", "2026-11-22")));
        let days = shown_pairs("UTC", Interval::Day, 7, "2026-11-26T00:00Z", Interval::Day);
        assert_eq!((days.len(), &days[0]), (7, &pair("2026-11-20", "2026-11-13")));

        let years = shown_pairs("UTC", Interval::Year, 1, "2024-06-01T00:00Z", Interval::Day);
        assert_eq!(years[59..61], [pair("2024-02-29", "none"), pair("2024-03-01", "2023-03-01")]);
        let years = shown_pairs("UTC", Interval::Year, 1, "2024-06-01T00:00Z", Interval::Month);
        assert_eq!(years[11], pair("2024-12", "2023-12"));
        let years = shown_pairs("UTC", Interval::Year, 2, "2024-06-01T00:00Z", Interval::Year);
        assert_eq!(years, [pair("2023", "2021"), pair("2024", "2022")]);
        let years = shown_pairs("UTC", Interval::Year, 1, "2024-06-01T00:00Z", Interval::Week);
        assert_eq!(years[1], pair("2024-01-08", "2023-01-02"));

        // The day without midnight is the counterpart of one with it.
        let days = shown_pairs("America/Havana", Interval::Week, 1, "2026-03-08T16:00Z", Interval::Day);
        assert_eq!(days[6], pair("2026-03-08", "2026-03-01"));
        // The 30th of December 2011 was left out.
        let days = shown_pairs("Pacific/Apia", Interval::Month, 1, "2012-01-10T00:00Z", Interval::Day);
        assert_eq!(
            days[28..],
            [pair("2012-01-29", "2011-12-29"), pair("2012-01-30", "none"), pair("2012-01-31", "2011-12-31")]
        );
    }

    #[test]
    fn an_unfinished_period_meets_the_same_elapsed_part() {
        for (zone, unit, count, now, expect) in [
            ("UTC", Interval::Month, 1, "2026-11-15T14:37:22Z", "2026-10-15T14:37:22Z"),
            ("UTC", Interval::Month, 1, "2026-03-30T10:00:00Z", "2026-03-01T00:00:00Z"),
            ("UTC", Interval::Year, 1, "2024-02-29T10:00:00Z", "2023-03-01T00:00:00Z"),
            ("UTC", Interval::Year, 1, "2026-11-15T14:37:22Z", "2025-11-15T14:37:22Z"),
            ("UTC", Interval::Day, 7, "2026-11-15T14:37:22Z", "2026-11-08T14:37:22Z"),
            ("UTC", Interval::Week, 1, "2026-11-15T14:37:22Z", "2026-11-08T14:37:22Z"),
            // Clocks jumped from 0 to 1 as 2004 began: its first instant is that of a year with a midnight, too.
            ("Asia/Khandyga", Interval::Year, 1, "2003-12-31T15:00:00Z", "2002-12-31T15:00:00Z"),
            // The same time of the clock, another offset.
            ("Europe/Paris", Interval::Day, 1, "2026-10-25T14:00:00Z", "2026-10-24T13:00:00Z"),
            // 02:30 of the day before, which its clocks jumped over.
            ("Europe/Paris", Interval::Day, 1, "2026-03-30T00:30:00Z", "2026-03-29T01:30:00Z"),
        ] {
            let calendar = calendar(zone);
            let period = Period::ending(&calendar, unit, count, at(now));
            assert_eq!(period.elapsed(&calendar, at(now)), at(expect), "{zone} {unit} {now}");
        }
    }

    proptest! {
        #[test]
        fn the_previous_period_ends_where_this_begins(
            zone in prop::sample::select(Zone::names().collect::<Vec<_>>()),
            unit in prop::sample::select(Interval::ALL.to_vec()), count in 0_u16..14, seconds in 946_684_800_i64..2_145_916_800,
        ) {
            let calendar = calendar(zone);
            let now_ms = seconds * 1_000;
            let period = Period::ending(&calendar, unit, count, now_ms);
            let (this, previous) = (period.range(&calendar), period.previous().range(&calendar));
            prop_assert!(this.from_ms <= now_ms && now_ms < this.until_ms);
            prop_assert_eq!(previous.until_ms, this.from_ms);
            let elapsed_ms = period.elapsed(&calendar, now_ms);
            prop_assert!(previous.from_ms <= elapsed_ms && elapsed_ms <= previous.until_ms);
            prop_assert_eq!(period.elapsed(&calendar, this.from_ms), previous.from_ms);
            prop_assert_eq!(period.elapsed(&calendar, this.until_ms), previous.until_ms);
        }
    }
}
