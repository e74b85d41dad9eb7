//! Buckets against what a walk over the clocks, minute by minute, finds.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;

pub(super) const MINUTE_MS: i64 = 60_000;
pub(super) const QUARTER_MS: i64 = 15 * MINUTE_MS;
pub(super) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;

pub(super) fn calendar(zone: &str) -> Calendar {
    Calendar::new(zone.parse().unwrap())
}

pub(super) fn at(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// The years 2000 to 2037.
fn range() -> Bucket {
    Bucket { from_ms: at("2000-01-01T00:00Z"), until_ms: at("2038-01-01T00:00Z") }
}

/// Zones that differ between 2000 and 2037, with the moments at which their clocks change.
fn zones() -> Vec<(Calendar, Vec<i64>)> {
    let mut seen = BTreeSet::new();
    let mut zones = Vec::new();
    for name in Zone::names() {
        let calendar = calendar(name);
        let mut changes = Vec::new();
        let mut at_ms = range().from_ms;
        while let Some(change_ms) = calendar.zone.change_after(at_ms, range().until_ms) {
            changes.push(change_ms);
            at_ms = change_ms;
        }
        let offsets: Vec<i64> = changes.iter().map(|at_ms| calendar.zone.offset_ms(*at_ms)).collect();
        if seen.insert((calendar.zone.offset_ms(range().from_ms), changes.clone(), offsets)) {
            zones.push((calendar, changes));
        }
    }
    zones
}

/// What tells a bucket from the one before it: for dates the first date of the interval, of which the latest that was
/// shown counts; for the clock its interval and its offset.
fn shown(calendar: &Calendar, interval: Interval, at_ms: i64) -> (Date, i64, i64) {
    let local = calendar.zone.local(at_ms);
    let first = interval.first_date(local.date(), calendar.week);
    let of_day = i64::from(local.hour()) * HOUR_MS + i64::from(local.minute()) * MINUTE_MS;
    match interval.clock_ms() {
        Some(length_ms) => (first, of_day / length_ms, calendar.zone.offset_ms(at_ms)),
        None => (first, 0, 0),
    }
}

/// The boundaries in a range, by a walk in steps of a minute.
fn walked(calendar: &Calendar, interval: Interval, range: Bucket) -> Vec<i64> {
    let mut last = shown(calendar, interval, range.from_ms);
    let mut boundaries = Vec::new();
    for at_ms in (range.from_ms..range.until_ms).step_by(MINUTE_MS as usize).skip(1) {
        let next = shown(calendar, interval, at_ms);
        let is_date = interval.clock_ms().is_none();
        if next != last && (!is_date || next > last) {
            boundaries.push(at_ms);
            last = next;
        }
    }
    boundaries
}

/// Boundaries by buckets, which are checked to tile.
fn tiled(calendar: &Calendar, interval: Interval, range: Bucket) -> Vec<i64> {
    let buckets: Vec<Bucket> = calendar.buckets(interval, range.from_ms, range.until_ms).collect();
    let (first, last) = (buckets[0], buckets[buckets.len() - 1]);
    assert!(first.from_ms <= range.from_ms && range.from_ms < first.until_ms, "{calendar:?} {interval}");
    assert!(last.from_ms < range.until_ms && range.until_ms <= last.until_ms, "{calendar:?} {interval}");
    assert!(
        buckets.is_sorted_by(|before, after| before.until_ms == after.from_ms),
        "{calendar:?} {interval}"
    );
    for bucket in &buckets {
        for at_ms in [bucket.from_ms, bucket.until_ms - 1] {
            assert_eq!(calendar.bucket(interval, at_ms), *bucket, "{calendar:?} {interval} {at_ms}");
        }
    }
    buckets[1..].iter().map(|bucket| bucket.from_ms).collect()
}

#[test]
fn buckets_are_what_clocks_show() {
    let mut random = ChaCha8Rng::seed_from_u64(2026);
    let zones = zones();
    for _ in 0..25 {
        let (calendar, changes) = &zones[random.random_range(0..zones.len())];
        let mut calendar = calendar.clone();
        calendar.week = WeekStart::ALL[random.random_range(0..WeekStart::ALL.len())];
        let change_ms = match changes.len() {
            0 => random.random_range(range().from_ms..range().until_ms) / MINUTE_MS * MINUTE_MS,
            length => changes[random.random_range(0..length)],
        };
        let around = Bucket { from_ms: change_ms - 26 * HOUR_MS, until_ms: change_ms + 26 * HOUR_MS };
        for interval in Interval::ALL {
            assert_eq!(
                tiled(&calendar, interval, around),
                walked(&calendar, interval, around),
                "{calendar:?} {interval} {change_ms}"
            );
        }
    }
}

/// Where clocks changed at a minute past an hour, buckets of the clock begin off the grid of 15 minutes, on which rollups
/// are kept. Dates never do. New data of zones may add to the list.
#[test]
fn all_buckets_tile_and_begin_on_the_grid_except_where_clocks_changed_off_it() {
    let mut off_grid = BTreeSet::new();
    for (calendar, changes) in zones() {
        assert_eq!(calendar.zone.offset_ms(range().from_ms) % QUARTER_MS, 0, "{calendar:?}");
        for change_ms in changes {
            let around = Bucket { from_ms: change_ms - 2 * HOUR_MS, until_ms: change_ms + 2 * HOUR_MS };
            for interval in [Interval::QuarterHour, Interval::Hour, Interval::Day] {
                let boundaries = tiled(&calendar, interval, around);
                let off = boundaries.iter().filter(|at_ms| **at_ms % QUARTER_MS != 0);
                let year = calendar.zone.local(change_ms).year();
                off_grid.extend(off.map(|_| (calendar.zone.name().to_owned(), interval.label(), year)));
            }
        }
    }
    let mut last_years: BTreeMap<&str, i16> = BTreeMap::new();
    for (zone, interval, year) in &off_grid {
        assert_ne!(*interval, "day", "{zone} {year}");
        last_years.insert(zone, *last_years.get(&**zone).unwrap_or(year).max(year));
    }
    let expect = [
        ("America/Goose_Bay", 2011),
        ("America/Moncton", 2006),
        ("America/St_Johns", 2011),
        ("Antarctica/Casey", 2022),
        ("Asia/Gaza", 2011),
        ("Asia/Hebron", 2011),
    ];
    assert_eq!(last_years, BTreeMap::from(expect));
}

#[test]
fn days_are_as_long_as_their_dates() {
    for (zone, noon, from, hours) in [
        ("Europe/Paris", "2026-03-29T10:00Z", "2026-03-28T23:00Z", 23.0),
        ("Europe/Paris", "2026-10-25T11:00Z", "2026-10-24T22:00Z", 25.0),
        // Clocks go back from 1 to 0: the date begins with the first midnight.
        ("America/Havana", "2025-11-02T17:00Z", "2025-11-02T04:00Z", 25.0),
        // Clocks jump from 0 to 1: there is no midnight.
        ("America/Havana", "2026-03-08T16:00Z", "2026-03-08T05:00Z", 23.0),
        ("Africa/Cairo", "2026-04-24T12:00Z", "2026-04-23T22:00Z", 23.0),
        ("Australia/Lord_Howe", "2026-04-05T01:00Z", "2026-04-04T13:00Z", 24.5),
        ("Asia/Kathmandu", "2026-01-01T06:00Z", "2025-12-31T18:15Z", 24.0),
        // The 30th of December was left out.
        ("Pacific/Apia", "2011-12-30T20:00Z", "2011-12-30T10:00Z", 24.0),
        // Back from 00:01 to 23:01 of the day before, which has ended.
        ("America/St_Johns", "2010-11-07T03:00Z", "2010-11-07T02:30Z", 25.0),
    ] {
        let day = calendar(zone).bucket(Interval::Day, at(noon));
        assert_eq!(day.from_ms, at(from), "{zone} {noon}");
        assert_eq!((day.until_ms - day.from_ms) as f64 / HOUR_MS as f64, hours, "{zone} {noon}");
    }
}

#[test]
fn weeks_begin_as_asked_and_buckets_have_names() {
    let mut paris = calendar("Europe/Paris");
    let names = |calendar: &Calendar| {
        let name = |interval| {
            let bucket = calendar.bucket(interval, at("2026-10-25T00:50Z"));
            calendar.label(interval, bucket)
        };
        Interval::ALL.map(name).join(" ")
    };
    assert_eq!(
        names(&paris),
        "2026-10-25T02:45+02:00 2026-10-25T02:00+02:00 2026-10-25 2026-10-19 2026-10 2026"
    );
    paris.week = WeekStart::Sunday;
    assert_eq!(
        paris.label(Interval::Week, paris.bucket(Interval::Week, at("2026-10-25T12:00Z"))),
        "2026-10-25"
    );
    let caracas = calendar("America/Caracas");
    let hour = caracas.bucket(Interval::Hour, at("2010-01-01T12:00Z"));
    assert_eq!(caracas.label(Interval::Hour, hour), "2010-01-01T07:00-04:30");
}

#[test]
fn extreme_times_have_buckets() {
    for zone in ["UTC", "Pacific/Apia", "America/Havana"] {
        for interval in Interval::ALL {
            for at_ms in [i64::MIN, -1, 0, LATEST_MS - 1, LATEST_MS, i64::MAX] {
                let bucket = calendar(zone).bucket(interval, at_ms);
                assert!(bucket.from_ms <= at_ms.clamp(EARLIEST_MS, LATEST_MS), "{zone} {interval} {at_ms}");
                let unit = Level::ALL.map(|level| level.bucket(&calendar(zone), at_ms));
                assert!(unit.iter().all(|unit| unit.from_ms <= at_ms.clamp(EARLIEST_MS, LATEST_MS)));
            }
            assert!(calendar(zone).buckets(interval, LATEST_MS - DAY_MS, i64::MAX).count() < 200);
        }
        let all = cover(&calendar(zone), Bucket { from_ms: i64::MIN, until_ms: i64::MAX }, 0);
        assert_eq!(all.pieces.iter().filter(|piece| piece.level == Level::Year).count(), 1, "{zone}");
    }
}
