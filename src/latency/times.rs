//! Times in few buckets: what a second of a live chart can afford, where a [`Histogram`](super::Histogram) cannot.

use std::time::Duration;

/// Each doubling is divided into this many buckets, so a bucket's middle is within 3.2 % of its values.
const CUTS: u64 = 16;
/// Below this all buckets are equally wide, 64 µs.
const EVEN_BELOW_US: u64 = 1 << EVEN_BITS;
const EVEN_BITS: u32 = 10;
/// Times of 134 s and more share the last bucket.
const DOUBLINGS: u64 = 17;
const BUCKETS: usize = (CUTS + DOUBLINGS * CUTS) as usize;

/// Counts of times from 0 to two minutes, true to 3.2 % (below a millisecond to 32 µs). It takes 1.2 KB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Times([u32; BUCKETS]);

impl Default for Times {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl Times {
    pub(super) fn record(&mut self, time: Duration) {
        self.0[bucket_of(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))] += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine += theirs;
        }
    }

    /// The time with this rank; the shortest has rank 1. `None` if there are too few.
    pub(super) fn at_rank(&self, rank: u64) -> Option<Duration> {
        let mut passed = 0;
        let bucket = self.0.iter().position(|count| {
            passed += u64::from(*count);
            passed >= rank.max(1)
        })?;
        Some(Duration::from_micros(middle_us(bucket)))
    }
}

fn bucket_of(us: u64) -> usize {
    let bucket = if us < EVEN_BELOW_US {
        us / (EVEN_BELOW_US / CUTS)
    } else {
        let doubling = us.ilog2();
        let cut = (us >> (doubling - CUTS.ilog2())) & (CUTS - 1);
        CUTS + u64::from(doubling - EVEN_BITS) * CUTS + cut
    };
    usize::try_from(bucket).map_or(BUCKETS - 1, |bucket| bucket.min(BUCKETS - 1))
}

fn middle_us(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let Some(above) = bucket.checked_sub(CUTS) else {
        let width = EVEN_BELOW_US / CUTS;
        return bucket * width + width / 2;
    };
    let width = (EVEN_BELOW_US << (above / CUTS)) / CUTS;
    (CUTS + above % CUTS) * width + width / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_buckets_middle_is_near_its_values(us in 0..134_000_000_u64) {
            let middle = middle_us(bucket_of(us));
            let room = (us as f64 * 0.032).max(32.0);
            prop_assert!(middle.abs_diff(us) as f64 <= room, "{us} reads {middle}");
        }

        #[test]
        fn ranks_are_those_of_the_sorted_times(mut us in prop::collection::vec(0..5_000_000_u64, 1..200)) {
            let mut times = Times::default();
            us.iter().for_each(|us| times.record(Duration::from_micros(*us)));
            us.sort_unstable();
            for (rank, us) in (1..).zip(&us) {
                let read = times.at_rank(rank).unwrap().as_micros();
                prop_assert_eq!(read, u128::from(middle_us(bucket_of(*us))));
            }
            prop_assert_eq!(times.at_rank(us.len() as u64 + 1), None);
        }
    }

    #[test]
    fn a_duration_above_the_range_is_in_the_last_bucket() {
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket_of(EVEN_BELOW_US - 1) + 1, bucket_of(EVEN_BELOW_US));
    }
}
