//! A range as the largest units that are stored.

use super::{
    bucket::{Bucket, Calendar},
    interval::Interval,
    zone::{EARLIEST_MS, LATEST_MS},
};
use crate::labelled;

/// How long the quarter-hours of totals are kept, in days.
pub const TOTAL_QUARTERS_DAYS: i64 = 400;
/// How long the quarter-hours of sets with dimensions are kept, in days.
pub const DIMENSION_QUARTERS_DAYS: i64 = 35;

const QUARTER_MS: i64 = 15 * 60_000;
const HOUR_MS: i64 = 60 * 60_000;
const DAY_MS: i64 = 24 * HOUR_MS;

labelled! {
    /// The units that are stored.
    pub enum Level {
        /// 15 minutes of universal time, kept for a while.
        QuarterHour = "quarter_hour",
        /// An hour of universal time.
        Hour = "hour",
        /// A day of the site's zone.
        Day = "day",
        /// A month of the site's zone.
        Month = "month",
        /// A year of the site's zone.
        Year = "year",
    }
}

impl Level {
    /// The unit in which an instant lies. Days, months and years are those of `site`, the site's calendar. Times out of the
    /// calendar's range lie in its first or last unit.
    pub fn bucket(self, site: &Calendar, at_ms: i64) -> Bucket {
        let at_ms = at_ms.clamp(EARLIEST_MS, LATEST_MS);
        let of_clock = |unit_ms| {
            let from_ms = floor(at_ms, unit_ms);
            Bucket { from_ms, until_ms: from_ms + unit_ms }
        };
        match self {
            Self::QuarterHour => of_clock(QUARTER_MS),
            Self::Hour => of_clock(HOUR_MS),
            Self::Day => site.bucket(Interval::Day, at_ms),
            Self::Month => site.bucket(Interval::Month, at_ms),
            Self::Year => site.bucket(Interval::Year, at_ms),
        }
    }
}

/// Units of one level that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The level.
    pub level: Level,
    /// From the beginning of the first to the end of the last.
    pub range: Bucket,
}

/// What stands for a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// Units that do not overlap, in their order.
    pub pieces: Vec<Piece>,
    /// The smallest unit to which the ends of the range can be resolved: quarter-hours or hours.
    pub resolution: Level,
    /// The pieces are the range. Otherwise an end lies inside a unit: there both ends go to the beginning of the unit, so
    /// that the hours of a series count no event twice. Only a range that begins where a whole day ended, inside an hour,
    /// shares the first part of this hour with it.
    pub exact: bool,
}

/// The time from which quarter-hours are kept, in milliseconds since 1970, at `now_ms`: all of an hour or none.
pub const fn quarters_from_ms(now_ms: i64, kept_days: i64) -> i64 {
    ceil(now_ms - kept_days * DAY_MS, HOUR_MS)
}

/// The levels of dates, largest first.
const DATES: [Level; 3] = [Level::Year, Level::Month, Level::Day];

/// Covers a range with stored units of a site, whose days, months and years are those of `site`. Quarter-hours are there
/// from `quarters_from_ms` on.
pub fn cover(site: &Calendar, range: Bucket, quarters_from_ms: i64) -> Cover {
    let [from_ms, until_ms] =
        [range.from_ms, range.until_ms].map(|at_ms| at_ms.clamp(EARLIEST_MS, LATEST_MS));
    let range = Bucket { from_ms, until_ms };
    let mut cutting = Cutting { site, quarters_from_ms, pieces: Vec::new(), exact: true };
    cutting.by_dates(&DATES, range, false);
    let is_in_quarters = floor(range.from_ms, HOUR_MS) >= quarters_from_ms;
    let resolution = if is_in_quarters { Level::QuarterHour } else { Level::Hour };
    Cover { pieces: cutting.pieces, resolution, exact: cutting.exact }
}

const fn floor(at_ms: i64, unit_ms: i64) -> i64 {
    at_ms - at_ms.rem_euclid(unit_ms)
}

const fn ceil(at_ms: i64, unit_ms: i64) -> i64 {
    floor(at_ms + unit_ms - 1, unit_ms)
}

struct Cutting<'a> {
    site: &'a Calendar,
    quarters_from_ms: i64,
    pieces: Vec<Piece>,
    exact: bool,
}

impl Cutting<'_> {
    fn push(&mut self, level: Level, from_ms: i64, until_ms: i64) {
        if from_ms < until_ms {
            self.pieces.push(Piece { level, range: Bucket { from_ms, until_ms } });
        }
    }

    /// Takes the whole units of the first level out of the middle, and covers both sides with finer ones. A range
    /// `follows` if a piece ends where it begins.
    fn by_dates(&mut self, levels: &[Level], range: Bucket, follows: bool) {
        let Bucket { from_ms, until_ms } = range;
        if from_ms >= until_ms {
            return;
        }
        let Some((level, finer)) = levels.split_first() else {
            return self.by_clock(range, follows);
        };
        let begun = level.bucket(self.site, from_ms);
        let first_ms = if begun.from_ms == from_ms { from_ms } else { begun.until_ms };
        let last_ms = level.bucket(self.site, until_ms).from_ms;
        if first_ms >= last_ms {
            return self.by_dates(finer, range, follows);
        }
        self.by_dates(finer, Bucket { from_ms, until_ms: first_ms }, follows);
        self.push(*level, first_ms, last_ms);
        self.by_dates(finer, Bucket { from_ms: last_ms, until_ms }, true);
    }

    fn by_clock(&mut self, range: Bucket, follows: bool) {
        let unit_ms = |at_ms| {
            if floor(at_ms, HOUR_MS) >= self.quarters_from_ms { QUARTER_MS } else { HOUR_MS }
        };
        let to_unit = if follows { ceil } else { floor };
        let from_ms = to_unit(range.from_ms, unit_ms(range.from_ms));
        let until_ms = floor(range.until_ms, unit_ms(range.until_ms));
        self.exact &= (Bucket { from_ms, until_ms }) == range;
        let (first_ms, last_ms) = (ceil(from_ms, HOUR_MS), floor(until_ms, HOUR_MS));
        if first_ms <= last_ms {
            self.push(Level::QuarterHour, from_ms, first_ms);
            self.push(Level::Hour, first_ms, last_ms);
            self.push(Level::QuarterHour, last_ms, until_ms);
        } else {
            self.push(Level::QuarterHour, from_ms, until_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{
            tests::{MINUTE_MS, at, calendar},
            zone::Zone,
        },
        *,
    };

    /// What is shown of a cover: `level` and hours, in order.
    fn pieces(cover: &Cover) -> String {
        let shown = |piece: &Piece| {
            let length_ms = piece.range.until_ms - piece.range.from_ms;
            format!("{} {}", piece.level.label(), length_ms as f64 / HOUR_MS as f64)
        };
        cover.pieces.iter().map(shown).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_range_is_cut_into_the_largest_units() {
        let cut = |zone: &str, from: &str, until: &str, quarters_from: &str| {
            let range = Bucket { from_ms: at(from), until_ms: at(until) };
            let cover = cover(&calendar(zone), range, at(quarters_from));
            format!(
                "{}; {}{}",
                pieces(&cover),
                cover.resolution.label(),
                if cover.exact { "" } else { ", not exact" }
            )
        };
        for (zone, from, until, quarters_from, expect) in [
            (
                "Europe/Paris",
                "2025-12-31T21:30Z",
                "2027-02-02T00:15Z",
                "2025-01-01T00:00Z",
                "quarter_hour 0.5, hour 1, year 8760, month 744, day 24, hour 1, quarter_hour 0.25; quarter_hour",
            ),
            ("UTC", "2026-01-01T00:00Z", "2026-01-01T00:00Z", "2025-01-01T00:00Z", "; quarter_hour"),
            // Too old for quarter-hours: both ends go to the beginning of their hour.
            ("UTC", "2026-01-01T10:15Z", "2026-01-01T12:45Z", "2026-02-01T00:00Z", "hour 2; hour, not exact"),
            ("UTC", "2026-01-01T10:15Z", "2026-01-01T10:45Z", "2026-02-01T00:00Z", "; hour, not exact"),
            (
                "UTC",
                "2026-01-01T10:15Z",
                "2026-01-01T10:45Z",
                "2026-01-01T00:00Z",
                "quarter_hour 0.5; quarter_hour",
            ),
            // Days of a zone that is half an hour off stay exact, hours beside them do not overlap.
            ("Asia/Kolkata", "2025-12-31T18:30Z", "2026-01-02T18:30Z", "2026-02-01T00:00Z", "day 48; hour"),
            (
                "Asia/Kolkata",
                "2026-01-01T17:00Z",
                "2026-01-02T20:00Z",
                "2026-02-01T00:00Z",
                "hour 1, day 24, hour 1; hour, not exact",
            ),
            // The end is new enough for quarter-hours, the beginning is not.
            (
                "UTC",
                "2026-01-01T10:15Z",
                "2026-01-01T12:45Z",
                "2026-01-01T12:00Z",
                "hour 2, quarter_hour 0.75; hour, not exact",
            ),
        ] {
            assert_eq!(cut(zone, from, until, quarters_from), expect, "{zone} {from} {until}");
        }
        assert_eq!(quarters_from_ms(at("2026-02-05T10:20Z"), 35), at("2026-01-01T11:00Z"));
    }

    proptest! {
        /// Pieces are whole units, do not overlap, and are the range if they say so. Ranges that follow each other count
        /// no moment twice, but for the part of an hour that is documented.
        #[test]
        fn covers_are_sound(
            zone in prop::sample::select(Zone::names().collect::<Vec<_>>()),
            from in 0_i64..900 * 96, lengths in prop::array::uniform2(0_i64..500 * 96), shift in 0_i64..15, kept in 0_i64..900,
        ) {
            let site = calendar(zone);
            let begin = at("2024-06-01T00:00Z") + shift * MINUTE_MS;
            let quarters_from_ms = quarters_from_ms(begin + 900 * DAY_MS, kept);
            let first = Bucket { from_ms: begin + from * QUARTER_MS, until_ms: begin + (from + lengths[0]) * QUARTER_MS };
            let second = Bucket { from_ms: first.until_ms, until_ms: first.until_ms + lengths[1] * QUARTER_MS };
            let covers = [first, second].map(|range| (range, cover(&site, range, quarters_from_ms)));
            for (range, cover) in &covers {
                for Piece { level, range } in &cover.pieces {
                    prop_assert_eq!(level.bucket(&site, range.from_ms).from_ms, range.from_ms);
                    prop_assert_eq!(level.bucket(&site, range.until_ms).from_ms, range.until_ms);
                    prop_assert!(*level != Level::QuarterHour || range.from_ms >= quarters_from_ms);
                }
                let is_whole = cover.pieces.is_sorted_by(|before, after| before.range.until_ms == after.range.from_ms)
                    && cover.pieces.first().map_or(range.until_ms, |first| first.range.from_ms) == range.from_ms
                    && cover.pieces.last().map_or(range.from_ms, |last| last.range.until_ms) == range.until_ms;
                prop_assert_eq!(cover.exact, is_whole || range.from_ms == range.until_ms);
                let is_on_grid = shift == 0 && range.from_ms >= quarters_from_ms;
                prop_assert!(cover.exact || !is_on_grid);
            }
            // What the second range shares with a day at the end of the first.
        let ends_with_dates = covers[0].1.pieces.last().is_some_and(|last| last.level >= Level::Day);
        let shared_ms = if ends_with_dates { second.from_ms % HOUR_MS } else { 0 };
        let all: Vec<Bucket> = covers.iter().flat_map(|(_, cover)| &cover.pieces).map(|piece| piece.range).collect();
        let (ones, others) = all.split_at(covers[0].1.pieces.len());
        for pieces in [ones, others] {
            prop_assert!(pieces.is_sorted_by(|before, after| before.until_ms <= after.from_ms), "{:?}", all);
        }
        if let (Some(last), Some(first)) = (ones.last(), others.first()) {
            prop_assert!(last.until_ms - shared_ms <= first.from_ms, "{:?}", all);
        }
        }
    }
}
