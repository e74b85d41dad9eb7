//! How many values a rollup keeps apart.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::{measure::Measure, values::Values};

/// The most combinations of values of a site, a set and an hour, besides that of all others.
pub const VALUES_LIMIT: usize = 1_000;

/// What of `deltas` is added to which rows of one site, set and hour, of which `known` are there.
///
/// A combination that has a row keeps it. New ones get one while there is room: those with the most events first, of
/// equal ones the first in order. What finds none is merged into the row of all others, so that totals stay exact and
/// what a sender of random values can fill is bounded. In that row all dimensions are other: kept apart by one of
/// them, it would be as many rows again.
pub fn cap(known: &BTreeSet<Values>, deltas: BTreeMap<Values, Measure>) -> BTreeMap<Values, Measure> {
    let is_known = |values: &Values| known.contains(values) || *values == values.to_other();
    let (mut rows, new): (BTreeMap<_, _>, BTreeMap<_, _>) =
        deltas.into_iter().partition(|(values, _)| is_known(values));
    let known_count = known.iter().filter(|values| **values != values.to_other()).count();
    let room = VALUES_LIMIT.saturating_sub(known_count);
    let mut new: Vec<(Values, Measure)> = new.into_iter().collect();
    // The sort is stable, and they come in order.
    new.sort_by_key(|(_, measure)| Reverse(measure.count));
    for (at, (values, measure)) in new.into_iter().enumerate() {
        let values = if at < room { values } else { values.to_other() };
        rows.entry(values).or_default().merge(&measure);
    }
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::values::Value, *};

    fn values(number: u64) -> Values {
        Values::new([Value::text("view"), Value::text(&number.to_string())])
    }

    fn measure(count: u64) -> Measure {
        Measure { count, ..Measure::default() }
    }

    #[test]
    fn a_hundred_thousand_random_values_take_a_thousand_rows_and_one() {
        let mut known = BTreeSet::new();
        let mut counts: BTreeMap<Values, u64> = BTreeMap::new();
        for batch in 0..50 {
            let deltas = (0..2_000).map(|at| (values(batch * 2_000 + at), measure(1))).collect();
            for (values, measure) in cap(&known, deltas) {
                *counts.entry(values.clone()).or_default() += measure.count;
                known.insert(values);
            }
        }
        assert_eq!(counts.len(), VALUES_LIMIT + 1);
        assert_eq!(counts.values().sum::<u64>(), 100_000);
        assert_eq!(counts[&values(0).to_other()], 99_000);
    }

    proptest! {
        #[test]
        fn known_rows_keep_their_place_and_totals_are_exact(
            known in prop::sample::subsequence((0_u64..1_200).collect::<Vec<_>>(), 950..=1_000),
            counts in prop::collection::btree_map(0_u64..1_200, 1_u64..5, 0..300),
        ) {
            let rows_before: BTreeSet<Values> = known.iter().map(|number| values(*number)).collect();
            let deltas: BTreeMap<Values, Measure> =
                counts.iter().map(|(number, count)| (values(*number), measure(*count))).collect();
            let rows = cap(&rows_before, deltas.clone());
            let total = |rows: &BTreeMap<Values, Measure>| rows.values().map(|row| row.count).sum::<u64>();
            prop_assert_eq!(total(&rows), total(&deltas));
            for (number, count) in counts.iter().filter(|(number, _)| known.contains(number)) {
                prop_assert_eq!(rows[&values(*number)].count, *count);
            }
            let other = values(0).to_other();
            let all: BTreeSet<&Values> = rows.keys().chain(&rows_before).filter(|row| **row != other).collect();
            prop_assert!(all.len() <= VALUES_LIMIT);
            // Room is used up before anything goes to the others.
            prop_assert!(!rows.contains_key(&other) || all.len() == VALUES_LIMIT);
        }
    }
}
