//! What a row of a rollup holds.

use super::super::{
    bins::Bins,
    codec::{Corrupt, Reader, Writer},
    event::Event,
    millionths::{Millionths, Sum},
    sketch::Sketch,
};

/// The version of the bytes.
const VERSION: u8 = 1;

/// What is known of some events. The default is that of none. To merge is commutative and associative.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Measure {
    /// How many there are.
    pub count: u64,
    /// The sum of their values. How many have one, say the bins.
    pub sum: Sum,
    /// The smallest and the largest value; `None` if none has one.
    pub extremes: Option<(Millionths, Millionths)>,
    /// Their users; an event without one adds none, and its session does not stand for it.
    pub users: Sketch,
    /// The distribution of their values.
    pub bins: Bins,
}

impl Measure {
    /// Of one event.
    pub fn of(event: &Event) -> Self {
        let mut measure = Self { count: 1, ..Self::default() };
        if let Some(user) = &event.user {
            measure.users.add(user.as_str());
        }
        if let Some(value) = event.value {
            measure.sum = Sum::default().plus(value);
            measure.extremes = Some((value, value));
            measure.bins.add(value);
        }
        measure
    }

    /// Adds the events of another.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.merged(other.sum);
        self.extremes = match (self.extremes, other.extremes) {
            (Some((min, max)), Some((other_min, other_max))) => {
                Some((min.min(other_min), max.max(other_max)))
            }
            (one, other) => one.or(other),
        };
        self.users.merge(&other.users);
        self.bins.merge(&other.bins);
    }

    /// The percentile `part` / 10,000 of the values by nearest rank, within 2 %. `None` without values.
    pub fn percentile(&self, part: u16) -> Option<Millionths> {
        let (min, max) = self.extremes?;
        self.bins.percentile(part).map(|value| value.clamp(min, max))
    }

    /// The bytes: version, count, sum, whether there are values and the extremes, sketch, bins. Equal measures have equal
    /// bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.byte(VERSION);
        writer.unsigned(self.count);
        writer.signed(self.sum.get());
        writer.byte(self.extremes.is_some().into());
        if let Some((min, max)) = self.extremes {
            writer.signed(min.get());
            writer.signed(max.get());
        }
        writer.bytes(&self.users.encode());
        writer.bytes(&self.bins.encode());
        writer.into_bytes()
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// They are no measure of this version, or one that no events have.
    pub fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        let mut reader = Reader::new(bytes, "a measure");
        reader.version(VERSION)?;
        let count = reader.unsigned()?;
        let sum = Sum::new(reader.signed()?);
        let extremes = match reader.byte()? {
            0 => None,
            1 => Some((read_value(&mut reader)?, read_value(&mut reader)?)),
            _ => return Err(reader.corrupt()),
        };
        let users = Sketch::decode(reader.bytes()?)?;
        let bins = Bins::decode(reader.bytes()?)?;
        reader.end()?;
        let measure = Self { count, sum, extremes, users, bins };
        if measure.is_possible() { Ok(measure) } else { Err(reader.corrupt()) }
    }

    /// Whether its parts go together.
    fn is_possible(&self) -> bool {
        let values = self.bins.count();
        if values > self.count.into() {
            return false;
        }
        // At most 2^64 values of 10^18 each, so that no product overflows.
        let bound = |extreme: Millionths| values as i128 * i128::from(extreme.get());
        match self.extremes {
            None => values == 0 && self.sum == Sum::default(),
            Some((min, max)) => values > 0 && (bound(min)..=bound(max)).contains(&self.sum.get()),
        }
    }
}

fn read_value(reader: &mut Reader) -> Result<Millionths, Corrupt> {
    Millionths::new(reader.signed()?).ok_or(reader.corrupt())
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::Index};

    use super::{super::super::event::tests::events, *};

    fn of(events: &[Event]) -> Measure {
        let mut all = Measure::default();
        events.iter().for_each(|event| all.merge(&Measure::of(event)));
        all
    }

    proptest! {
        #[test]
        fn measures_merge_in_any_order_and_grouping(a in events(5), b in events(5), c in events(5)) {
            let all = of(&[&a[..], &b, &c].concat());
            let [a, b, c] = [a, b, c].map(|events| of(&events));
            let merged = |one: &Measure, other: &Measure| {
                let mut merged = one.clone();
                merged.merge(other);
                merged
            };
            prop_assert_eq!(&merged(&merged(&a, &b), &c), &all);
            prop_assert_eq!(&merged(&a, &merged(&b, &c)), &all);
            prop_assert_eq!(&merged(&c, &merged(&b, &a)), &all);
            prop_assert_eq!(merged(&merged(&c, &b), &a).encode(), all.encode());
        }

        #[test]
        fn a_measure_is_what_a_recomputation_finds(events in events(12)) {
            let measure = of(&events);
            let mut values: Vec<i128> =
                events.iter().filter_map(|event| event.value).map(|value| value.get().into()).collect();
            values.sort_unstable();
            prop_assert_eq!(measure.count, events.len() as u64);
            prop_assert_eq!(measure.sum.get(), values.iter().sum::<i128>());
            let extremes = measure.extremes.map(|(min, max)| (min.get().into(), max.get().into()));
            prop_assert_eq!(extremes, values.first().copied().zip(values.last().copied()));
            prop_assert_eq!(measure.percentile(0).is_some(), !values.is_empty());
            let users: std::collections::BTreeSet<_> = events.iter().filter_map(|event| event.user.as_ref()).collect();
            prop_assert!((measure.users.estimate() - users.len() as f64).abs() < 0.01);
            prop_assert_eq!(Measure::decode(&measure.encode()), Ok(measure));
        }

        #[test]
        fn damaged_bytes_are_an_error_or_read_as_written(events in events(3), at: Index, byte: u8, other: Vec<u8>) {
            let mut bytes = of(&events).encode();
            let at = at.index(bytes.len());
            prop_assert!(Measure::decode(&bytes[..at]).is_err());
            bytes[at] = byte;
            for bytes in [bytes, other] {
                if let Ok(measure) = Measure::decode(&bytes) {
                    prop_assert_eq!(measure.encode(), bytes);
                }
            }
        }
    }
}
