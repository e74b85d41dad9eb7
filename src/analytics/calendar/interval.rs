//! Lengths of buckets.

use jiff::civil::{Date, Weekday};

use crate::choice;

choice! {
    /// The length of a bucket.
    pub enum Interval {
        /// 15 minutes of the zone's clock.
        QuarterHour = "quarter_hour",
        /// An hour of the zone's clock.
        Hour = "hour",
        /// A date.
        Day = "day",
        /// Seven dates.
        Week = "week",
        /// A month.
        Month = "month",
        /// A year.
        Year = "year",
    }
}

choice! {
    /// The first day of a week.
    pub enum WeekStart {
        /// As ISO 8601 has it.
        Monday = "monday",
        /// As in North America.
        Sunday = "sunday",
        /// As in much of the Middle East.
        Saturday = "saturday",
    }
}

impl WeekStart {
    const fn weekday(self) -> Weekday {
        match self {
            Self::Monday => Weekday::Monday,
            Self::Sunday => Weekday::Sunday,
            Self::Saturday => Weekday::Saturday,
        }
    }
}

impl Interval {
    /// The length of the clock's intervals, in milliseconds; `None` for dates.
    pub(super) const fn clock_ms(self) -> Option<i64> {
        match self {
            Self::QuarterHour => Some(15 * 60_000),
            Self::Hour => Some(60 * 60_000),
            _ => None,
        }
    }

    /// The first date of the interval in which a date lies. The clock's intervals count as days.
    pub(super) fn first_date(self, date: Date, week: WeekStart) -> Date {
        match self {
            Self::QuarterHour | Self::Hour | Self::Day => date,
            Self::Week => {
                let days = date.weekday().since(week.weekday());
                plus_days(date, -i64::from(days))
            }
            Self::Month => date.first_of_month(),
            Self::Year => date.first_of_year(),
        }
    }

    /// The first date that is `count` intervals after the one that begins on `first`.
    pub(super) fn plus(self, first: Date, count: i64) -> Date {
        match self {
            Self::QuarterHour | Self::Hour | Self::Day => plus_days(first, count),
            Self::Week => plus_days(first, count.saturating_mul(7)),
            Self::Month => plus_months(first, count),
            Self::Year => plus_months(first, count.saturating_mul(12)),
        }
    }
}

/// Dates end in the year 9999, which is after the last time of a calendar.
pub(super) fn plus_days(date: Date, days: i64) -> Date {
    let span = jiff::Span::new().try_days(days);
    span.map_or(date, |span| date.saturating_add(span))
}

fn plus_months(date: Date, months: i64) -> Date {
    let span = jiff::Span::new().try_months(months);
    span.map_or(date, |span| date.saturating_add(span))
}
