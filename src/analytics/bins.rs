//! Percentiles within 2 %, by sparse log-linear bins.
//!
//! A magnitude below 64 millionths has a bin of its own. Above, each power of two is divided into 32 bins of equal
//! width (HdrHistogram's layout). The middle of a bin is at most 1/64 (1.6 %) away from any value in it. Negative
//! values have the bins of their magnitudes, and 0 has its own. So there are few bins, each a count, and to merge is to
//! add.

use std::collections::BTreeMap;

use super::{
    codec::{Corrupt, Reader, Writer},
    millionths::Millionths,
};

/// The version of the bytes.
const VERSION: u8 = 1;
/// Each power of two has 2^5 bins.
const PART_BITS: u32 = 5;
/// The bin of the largest magnitude, 1e18 millionths.
const INDEX_LIMIT: i16 = magnitude_index(Millionths::MAX.get() as u64);

/// How many values lie in which bin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bins {
    /// By index; a negative one is that of negative values. No count is 0.
    counts: BTreeMap<i16, u64>,
}

/// The bin of a magnitude in millionths: 0 and up, without a gap.
const fn magnitude_index(magnitude: u64) -> i16 {
    let shift = (magnitude | 1).ilog2().saturating_sub(PART_BITS);
    ((shift << PART_BITS) as u64 + (magnitude >> shift)) as i16
}

/// The middle of a bin, in millionths.
const fn middle(index: i16) -> i64 {
    let at = index.unsigned_abs() as u64;
    let shift = (at >> PART_BITS).saturating_sub(1);
    let least = (at - (shift << PART_BITS)) << shift;
    let middle = (least + ((1 << shift) - 1) / 2) as i64;
    if index < 0 { -middle } else { middle }
}

impl Bins {
    /// The longest encoding, in bytes: every bin of both signs with the largest count.
    pub const SIZE_LIMIT_BYTES: usize = 3 + (2 * INDEX_LIMIT as usize + 1) * 12;

    /// Adds a value.
    pub fn add(&mut self, value: Millionths) {
        let index = magnitude_index(value.get().unsigned_abs());
        let index = if value.get() < 0 { -index } else { index };
        let count = self.counts.entry(index).or_default();
        *count = count.saturating_add(1);
    }

    /// Adds the values of another.
    pub fn merge(&mut self, other: &Self) {
        for (index, more) in &other.counts {
            let count = self.counts.entry(*index).or_default();
            *count = count.saturating_add(*more);
        }
    }

    /// How many values there are.
    pub fn count(&self) -> u128 {
        self.counts.values().map(|count| u128::from(*count)).sum()
    }

    /// The percentile `part` / 10,000 by nearest rank, within 2 %: 9,950 asks for the 99.5th. `None` without values.
    ///
    /// 0 is the smallest value; more than 10,000 is read as 10,000. The caller, who knows the smallest and the largest
    /// value, may clamp it to them.
    pub fn percentile(&self, part: u16) -> Option<Millionths> {
        let rank = (self.count() * u128::from(part.min(10_000))).div_ceil(10_000).max(1);
        let mut seen = 0;
        for (index, count) in &self.counts {
            seen += u128::from(*count);
            if seen >= rank {
                // The middle of the last bin lies above 1e12.
                return Some(Millionths::new(middle(*index)).unwrap_or(Millionths::MAX));
            }
        }
        None
    }

    /// The bytes: version, number of bins, and of each the distance from the one before and its count.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.byte(VERSION);
        writer.unsigned(self.counts.len() as u128);
        let mut before = -INDEX_LIMIT - 1;
        for (index, count) in &self.counts {
            writer.unsigned((index - before) as u128);
            writer.unsigned(*count);
            before = *index;
        }
        writer.into_bytes()
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// They are no bins of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        let mut reader = Reader::new(bytes, "bins");
        reader.version(VERSION)?;
        let length: usize = reader.unsigned()?;
        let mut counts = BTreeMap::new();
        let mut before = -INDEX_LIMIT - 1;
        for _ in 0..length {
            let distance: i16 = reader.unsigned()?;
            let index = before.checked_add(distance).filter(|index| *index <= INDEX_LIMIT);
            let count = reader.unsigned()?;
            match index {
                Some(index) if distance > 0 && count > 0 => counts.insert(index, count),
                _ => return Err(reader.corrupt()),
            };
            before = index.unwrap_or(before);
        }
        reader.end()?;
        Ok(Self { counts })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values of every magnitude.
    pub(crate) fn values() -> impl Strategy<Value = Vec<Millionths>> {
        let value = (0_u32..60, any::<i64>()).prop_map(|(bits, random)| {
            let magnitude = ((random.unsigned_abs() % (2 << bits)) as i64).min(Millionths::MAX.get());
            Millionths::new(if random < 0 { -magnitude } else { magnitude }).unwrap()
        });
        prop::collection::vec(value, 0..80)
    }

    fn of(values: &[Millionths]) -> Bins {
        let mut bins = Bins::default();
        values.iter().for_each(|value| bins.add(*value));
        bins
    }

    #[test]
    fn bins_follow_each_other_without_a_gap() {
        let mut index = 0;
        for exponent in 0..60 {
            for part in 0..64_u64 {
                let magnitude = (1_u64 << exponent) + ((u128::from(part) << exponent) >> 6) as u64;
                let next = magnitude_index(magnitude);
                assert!(next == index || next == index + 1, "{magnitude}");
                index = next;
            }
        }
        assert_eq!((0..64).map(magnitude_index).collect::<Vec<_>>(), (0..64).collect::<Vec<_>>());
        assert_eq!(INDEX_LIMIT, 1_783);
        assert_eq!(Bins::default().percentile(5_000), None);
    }

    #[test]
    fn the_largest_encoding_is_below_its_limit() {
        let counts = (-INDEX_LIMIT..=INDEX_LIMIT).map(|index| (index, u64::MAX)).collect();
        let all = Bins { counts };
        assert!(all.encode().len() <= Bins::SIZE_LIMIT_BYTES, "{}", all.encode().len());
        assert_eq!(Bins::decode(&all.encode()), Ok(all));
    }

    proptest! {
        #[test]
        fn a_percentile_is_within_2_percent_of_the_nearest_rank(values in values(), part in 0_u16..=10_000) {
            let mut sorted = values.clone();
            sorted.sort();
            let found = of(&values).percentile(part);
            let rank = (values.len() * usize::from(part)).div_ceil(10_000).max(1);
            let exact = sorted.get(rank - 1).copied();
            prop_assert_eq!(found.is_some(), exact.is_some());
            if let (Some(found), Some(exact)) = (found, exact) {
                let error = i128::from(found.get()) - i128::from(exact.get());
                prop_assert!(error.abs() * 50 <= i128::from(exact.get()).abs(), "{} for {}", found, exact);
            }
        }

        #[test]
        fn bins_merge_in_any_order(a in values(), b in values(), c in values()) {
            let all = of(&[a.clone(), b.clone(), c.clone()].concat());
            let mut left = of(&a);
            left.merge(&of(&b));
            left.merge(&of(&c));
            let mut right = of(&c);
            right.merge(&of(&b));
            right.merge(&of(&a));
            prop_assert_eq!(&left, &all);
            prop_assert_eq!(&right, &all);
            prop_assert_eq!(all.count(), (a.len() + b.len() + c.len()) as u128);
            prop_assert_eq!(Bins::decode(&all.encode()), Ok(all));
        }

        #[test]
        fn other_bytes_are_an_error_or_read_as_written(mut bytes: Vec<u8>, is_this_version: bool) {
            if let (true, Some(first)) = (is_this_version, bytes.first_mut()) {
                *first = VERSION;
            }
            if let Ok(bins) = Bins::decode(&bytes) {
                prop_assert_eq!(bins.encode(), bytes);
            }
        }
    }
}
