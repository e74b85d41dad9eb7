//! The checker: what a history must not show, whatever was hit. Pure.
//!
//! - What was accepted is done in the end, or was given up where that was expected.
//! - Nothing is started that was not offered; no delivery is started twice.
//! - What is started again had failed, or was in flight when a fault hit its process or all of them.
//! - What is done was done by the delivery that the system names, and not started after.
//! - Of a batch all items were taken, or none.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Event, What};

/// One start of an item.
#[derive(Debug)]
struct Attempt<'a> {
    who: &'a str,
    delivery: u64,
    at_us: u64,
    failed: bool,
    effect_us: Option<u64>,
}

#[derive(Debug, Default)]
struct Item<'a> {
    batch: Option<&'a str>,
    accepted: bool,
    buried: bool,
    attempts: Vec<Attempt<'a>>,
    /// By which delivery, and since when that is known.
    acked: Option<(u64, u64)>,
}

/// A time in which what is in flight may be lost.
struct Gap<'a> {
    /// Of this process; empty: of all.
    who: &'a str,
    from_us: u64,
    to_us: u64,
}

impl Gap<'_> {
    /// Whether an attempt may be lost in it that was started, acknowledged and started again at these times.
    fn excuses(&self, attempt: &Attempt<'_>, acked_us: Option<u64>, again_us: u64) -> bool {
        (self.who.is_empty() || self.who == attempt.who)
            && self.from_us <= again_us
            && attempt.at_us <= self.to_us
            && acked_us.is_none_or(|acked_us| self.from_us <= acked_us)
    }
}

/// What is wrong in a history, which must be ordered by time. `expected`: the items that are to be given up.
pub(crate) fn check(events: &[Event], expected: &BTreeSet<String>) -> Vec<String> {
    let mut items: BTreeMap<&str, Item<'_>> = BTreeMap::new();
    let mut gaps = Vec::new();
    let (mut faults, mut nothing) = (Vec::new(), Item::default());
    for Event { at_us, who, id, what } in events {
        let is_fault = matches!(what, What::Hit { .. } | What::Stalled { .. });
        let item = if is_fault { &mut nothing } else { items.entry(id).or_default() };
        match what {
            What::Offered { batch } => item.batch = Some(batch),
            What::Accepted => item.accepted = true,
            What::Started { delivery } => {
                let (delivery, at_us) = (*delivery, *at_us);
                item.attempts.push(Attempt { who, delivery, at_us, failed: false, effect_us: None });
            }
            What::Failed { delivery } | What::Effect { delivery } => {
                let mut attempts = item.attempts.iter_mut();
                match attempts.find(|attempt| attempt.delivery == *delivery && attempt.who == who) {
                    Some(attempt) if matches!(what, What::Failed { .. }) => attempt.failed = true,
                    Some(attempt) => attempt.effect_us = Some(*at_us),
                    None => faults.push(format!("{id}: delivery {delivery} ended and was not started")),
                }
            }
            What::Acked { delivery } => item.acked = Some((*delivery, *at_us)),
            What::Buried => item.buried = true,
            What::Hit { redo: false, .. } => {}
            What::Hit { from_us, .. } | What::Stalled { from_us } => {
                gaps.push(Gap { who, from_us: *from_us, to_us: *at_us });
            }
        }
    }
    for (id, item) in &mut items {
        item.attempts.sort_by_key(|attempt| attempt.delivery);
        faults.extend(faults_of(item, &gaps, expected.contains(*id)).map(|fault| format!("{id}: {fault}")));
    }
    faults.extend(halves(&items));
    faults
}

fn faults_of<'a>(
    item: &'a Item<'_>,
    gaps: &'a [Gap<'_>],
    is_expected: bool,
) -> impl Iterator<Item = String> + 'a {
    let Item { batch, accepted, buried, attempts, acked } = item;
    let mut faults = Vec::new();
    match (acked, is_expected) {
        (None, false) if *accepted => faults.push("accepted and lost".to_owned()),
        (Some(_), true) => faults.push("done, and was to be given up".to_owned()),
        (None, true) if !buried => faults.push("was to be given up, and was not".to_owned()),
        _ => {}
    }
    if batch.is_none() {
        faults.push("not offered by anybody".to_owned());
    }
    for pair in attempts.windows(2) {
        let [first, again] = pair else { unreachable!("windows of two") };
        let acked_us = acked.filter(|(delivery, _)| *delivery == first.delivery).map(|(_, at_us)| at_us);
        if first.delivery == again.delivery {
            faults.push(format!(
                "delivery {} started twice, by {} and {}",
                again.delivery, first.who, again.who
            ));
        } else if !first.failed && !gaps.iter().any(|gap| gap.excuses(first, acked_us, again.at_us)) {
            faults.push(format!(
                "started again by {} (delivery {}), and no fault hit delivery {} of {}",
                again.who, again.delivery, first.delivery, first.who
            ));
        }
    }
    if let Some((delivery, at_us)) = *acked {
        let mut by = attempts.iter().filter(|attempt| attempt.delivery == delivery);
        if !by.any(|by| by.effect_us.is_some_and(|effect_us| effect_us <= at_us)) {
            faults.push(format!("done by delivery {delivery}, which had no effect before"));
        }
        if let Some(later) = attempts.iter().find(|attempt| attempt.delivery > delivery) {
            faults.push(format!("delivery {} started, after {delivery} had done it", later.delivery));
        }
    }
    faults.into_iter()
}

/// Batches of which a part was taken.
fn halves(items: &BTreeMap<&str, Item<'_>>) -> impl Iterator<Item = String> {
    let mut batches: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for item in items.values() {
        let Some(batch) = item.batch else { continue };
        let (taken, all) = batches.entry(batch).or_default();
        *taken += usize::from(item.accepted || !item.attempts.is_empty());
        *all += 1;
    }
    let halves = batches.into_iter().filter(|(_, (taken, all))| *taken > 0 && taken < all);
    halves.map(|(batch, (taken, all))| format!("batch {batch}: {taken} of {all} were taken"))
}

/// The items that were accepted and are not done, and those that were done and had to run again.
pub(crate) fn lost(events: &[Event]) -> BTreeSet<&str> {
    let of = |what: &What| {
        let events = events.iter().filter(move |event| event.what == *what);
        events.map(|event| event.id.as_str()).collect::<BTreeSet<_>>()
    };
    let done = events.iter().filter(|event| matches!(event.what, What::Acked { .. }));
    let done: BTreeSet<&str> = done.map(|event| event.id.as_str()).collect();
    of(&What::Accepted).difference(&done).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads lines `WHO ID WHAT [DELIVERY]`, one a microsecond; `hit` takes the time since when, and `redo` or not.
    fn events(text: &str) -> Vec<Event> {
        let event = |(at_us, line): (usize, &str)| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = || words[3].parse().expect("a number");
            let what = match words[2] {
                "offered" => What::Offered { batch: (*words.get(3).unwrap_or(&words[1])).to_owned() },
                "accepted" => What::Accepted,
                "started" => What::Started { delivery: number() },
                "failed" => What::Failed { delivery: number() },
                "effect" => What::Effect { delivery: number() },
                "acked" => What::Acked { delivery: number() },
                "buried" => What::Buried,
                "hit" => What::Hit {
                    kind: "kind".to_owned(),
                    from_us: number(),
                    redo: words.get(4) == Some(&"redo"),
                },
                "stalled" => What::Stalled { from_us: number() },
                other => panic!("{other}"),
            };
            let nothing = |word: &str| if word == "-" { String::new() } else { word.to_owned() };
            Event { at_us: at_us as u64, who: nothing(words[0]), id: nothing(words[1]), what }
        };
        text.trim().lines().enumerate().map(event).collect()
    }

    /// What is found in a history that begins with the item `t` accepted.
    fn found(text: &str) -> Vec<String> {
        check(&events(&format!("a t offered\na t accepted\n{text}")), &BTreeSet::new())
    }

    #[test]
    fn what_is_done_once_is_right() {
        assert_eq!(found("w t started 1\nw t effect 1\no t acked 1"), [""; 0]);
        assert_eq!(found("w t started 1\nw t failed 1\nv t started 2\nv t effect 2\no t acked 2"), [""; 0]);
    }

    #[test]
    fn what_is_accepted_and_not_done_is_lost() {
        assert_eq!(found("w t started 1\nw t effect 1"), ["t: accepted and lost"]);
        assert_eq!(found("w t buried"), ["t: accepted and lost"]);
        let history = events("a t offered\na t accepted\na u accepted\nw u acked 1");
        assert_eq!(lost(&history), BTreeSet::from(["t"]));
        // What was never accepted may be lost.
        assert_eq!(check(&events("a t offered"), &BTreeSet::new()), [""; 0]);
    }

    #[test]
    fn what_is_to_be_given_up_is_buried_and_not_done() {
        let expected = BTreeSet::from(["t".to_owned()]);
        let found = |text: &str| check(&events(&format!("a t offered\na t accepted\n{text}")), &expected);
        assert_eq!(found("o t buried"), [""; 0]);
        assert_eq!(found(""), ["t: was to be given up, and was not"]);
        let done = "w t started 1\nw t effect 1\no t acked 1";
        assert_eq!(found(done), ["t: done, and was to be given up"]);
    }

    #[test]
    fn a_second_start_needs_a_fault_that_hit_the_first() {
        let again = "v t started 2\nv t effect 2\no t acked 2";
        let unexcused = ["t: started again by v (delivery 2), and no fault hit delivery 1 of w"];
        assert_eq!(found(&format!("w t started 1\n{again}")), unexcused);
        assert_eq!(found(&format!("w t started 1\nw - hit 2 redo\n{again}")), [""; 0]);
        assert_eq!(found(&format!("w t started 1\n- - hit 2 redo\n{again}")), [""; 0]);
        assert_eq!(found(&format!("w t started 1\nw - stalled 2\n{again}")), [""; 0]);
        // It ends after the second start, as that of a process that was stopped and goes on.
        assert_eq!(found(&format!("w t started 1\n{again}\nw - hit 3 redo")), [""; 0]);
        // Another process was hit, or nothing can be lost by the fault, or it was over, or came later.
        assert_eq!(found(&format!("w t started 1\nx - hit 2 redo\n{again}")), unexcused);
        assert_eq!(found(&format!("w t started 1\nw - hit 2\n{again}")), unexcused);
        assert_eq!(found(&format!("w - hit 2 redo\nw t started 1\n{again}")), unexcused);
        assert_eq!(found(&format!("w t started 1\n{again}\nw - hit 6 redo")), unexcused);
        // It was known to be done before.
        let done = "w t started 1\nw t effect 1\no t acked 1\nw - hit 5 redo\nv t started 2";
        assert_eq!(found(done), [unexcused[0], "t: delivery 2 started, after 1 had done it"]);
    }

    #[test]
    fn a_delivery_is_started_once_and_only_of_what_was_offered() {
        let twice = "w t started 1\nv t started 1\nv t effect 1\no t acked 1";
        assert_eq!(found(twice), ["t: delivery 1 started twice, by w and v"]);
        let unknown = "w u started 1\nw u effect 1\no u acked 1";
        assert_eq!(check(&events(unknown), &BTreeSet::new()), ["u: not offered by anybody"]);
    }

    #[test]
    fn an_end_belongs_to_its_delivery() {
        let late = "w t started 1\nw - hit 2 redo\nv t started 2\nw t effect 1\no t acked 2\nv t effect 2";
        assert_eq!(found(late), ["t: done by delivery 2, which had no effect before"]);
        assert_eq!(found("o t acked 1"), ["t: done by delivery 1, which had no effect before"]);
    }

    #[test]
    fn a_batch_is_taken_as_a_whole() {
        let half = "a t offered b\na u offered b\na t accepted\nw t started 1\nw t effect 1\no t acked 1";
        assert_eq!(check(&events(half), &BTreeSet::new()), ["batch b: 1 of 2 were taken"]);
    }
}
