//! What events add to rollups.

use std::collections::BTreeMap;

use super::{
    super::{
        calendar::{Calendar, Level, Zone},
        event::Event,
    },
    key::Key,
    measure::Measure,
    set::RollupSet,
};

/// What `events` add to the quarter-hours of each set, by key, in the order in which rows are written.
pub fn deltas<'a>(events: impl IntoIterator<Item = &'a Event>, sets: &[RollupSet]) -> BTreeMap<Key, Measure> {
    // Quarter-hours are those of universal time, whatever the zone of the site.
    let calendar = Calendar::new(Zone::UTC);
    let mut deltas: BTreeMap<Key, Measure> = BTreeMap::new();
    for event in events {
        let measure = Measure::of(event);
        for set in sets {
            let key = Key {
                site: event.site.clone(),
                set: set.name().clone(),
                bucket_ms: Level::QuarterHour.bucket(&calendar, event.ts_ms).from_ms,
                values: set.values(event),
            };
            deltas.entry(key).or_default().merge(&measure);
        }
    }
    deltas
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::super::event::tests::events, *};

    proptest! {
        /// However events are batched, their deltas add up to the same, and each set counts every event once.
        #[test]
        fn deltas_do_not_depend_on_batches(events in events(24), at in 0_usize..24) {
            let sets: Vec<RollupSet> =
                ["name", "name,page", "page,os,country"].iter().map(|set| set.parse().unwrap()).collect();
            let (before, after) = events.split_at(at.min(events.len()));
            let mut merged = deltas(after, &sets);
            for (key, measure) in deltas(before, &sets) {
                merged.entry(key).or_default().merge(&measure);
            }
            let all = deltas(&events, &sets);
            prop_assert_eq!(&merged, &all);
            prop_assert!(all.keys().all(|key| key.bucket_ms % 900_000 == 0));
            for set in &sets {
                let rows = all.iter().filter(|(key, _)| key.set == *set.name());
                prop_assert_eq!(rows.map(|(_, measure)| measure.count).sum::<u64>(), events.len() as u64);
            }
        }
    }
}
