//! Whose turn it is: which lane the next task is claimed from. Pure; the time is an argument.
//!
//! ```text
//!   priority: the one that has had the least, weighed 6:3:1  ──>  lane: the one whose turn is longest ago
//! ```
//!
//! **Priorities** are chosen by stride scheduling (Waldspurger and Weihl, 1995): a start costs a priority the inverse
//! of its weight, and the one that has paid least is next. One without a lane that may be claimed pays as if it kept
//! up, so it saves nothing up for later.
//!
//! **Lanes** of one priority take turns. A lane whose type or group may start nothing now (paused, at its limit, out
//! of rate) is passed over; groups are taken out of the ring, so that many closed ones cost nothing.
//!
//! Redis does the same in `exchange.lua`; the conformance tests compare the order of claims.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    broker::Handles,
    lane::{Lane, Priority, Rule, Scope, Used},
    name::Name,
};

/// The lanes, their turns, and what the scopes use.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// How many tasks wait in each lane; none has 0.
    lengths: HashMap<Lane, u64>,
    /// Per priority and type: the groups whose lane may be claimed, by turn.
    rings: [BTreeMap<Name, Ring>; 3],
    /// The lanes of each group in which something waits.
    lanes_of: HashMap<Name, BTreeSet<Lane>>,
    rules: BTreeMap<Scope, Rule>,
    used: HashMap<Scope, Used>,
    in_flight: HashMap<Scope, u64>,
    /// Scopes of which tasks ended, until they are looked at again.
    freed: BTreeMap<Scope, u64>,
    /// What each priority has paid.
    paid: [u64; 3],
    last_turn: u64,
}

/// The lanes of one priority and type: turn to group, and back.
#[derive(Debug, Default)]
struct Ring {
    by_turn: BTreeMap<u64, Option<Name>>,
    turns: HashMap<Option<Name>, u64>,
}

impl Ring {
    fn set(&mut self, group: Option<Name>, turn: u64) {
        self.remove(&group);
        self.by_turn.insert(turn, group.clone());
        self.turns.insert(group, turn);
    }

    fn remove(&mut self, group: &Option<Name>) {
        if let Some(turn) = self.turns.remove(group) {
            self.by_turn.remove(&turn);
        }
    }
}

fn at(priority: Priority) -> usize {
    usize::from(priority.rank()) - 1
}

/// The scopes of a lane besides the queue: its type, and its group.
pub(super) fn scopes(lane: &Lane) -> impl Iterator<Item = Scope> + use<> {
    let group = lane.group.clone().map(Scope::Group);
    std::iter::once(Scope::Kind(lane.kind.clone())).chain(group)
}

impl Turns {
    /// Tasks now wait in `lane`.
    pub(super) fn add(&mut self, lane: &Lane, tasks: u64, clock_ms: u64) {
        if tasks == 0 {
            return;
        }
        let length = self.lengths.entry(lane.clone()).or_default();
        *length += tasks;
        if *length > tasks {
            return;
        }
        if let Some(group) = &lane.group {
            self.lanes_of.entry(group.clone()).or_default().insert(lane.clone());
            if self.room(&Scope::Group(group.clone()), clock_ms) == 0 {
                return;
            }
        }
        self.put_last(lane);
    }

    /// Tasks no longer wait in `lane`.
    pub(super) fn remove(&mut self, lane: &Lane, tasks: u64) {
        let Some(length) = self.lengths.get_mut(lane) else { return };
        *length = length.saturating_sub(tasks);
        if *length > 0 {
            return;
        }
        self.lengths.remove(lane);
        self.leave_ring(lane);
        if let Some(group) = &lane.group
            && let Some(lanes) = self.lanes_of.get_mut(group)
        {
            lanes.remove(lane);
            if lanes.is_empty() {
                self.lanes_of.remove(group);
            }
        }
    }

    /// The lanes in which something waits, with how much.
    pub(super) fn lanes(&self) -> impl Iterator<Item = (&Lane, u64)> {
        self.lengths.iter().map(|(lane, &length)| (lane, length))
    }

    /// How many tasks of each scope are in flight.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = (Scope, u64)> {
        self.in_flight.iter().map(|(scope, &tasks)| (scope.clone(), tasks)).filter(|(_, tasks)| *tasks > 0)
    }

    /// The rules in force.
    pub(super) fn rules(&self) -> impl Iterator<Item = (&Scope, Rule)> {
        self.rules.iter().map(|(scope, &rule)| (scope, rule))
    }

    /// What a scope allows.
    pub(super) fn rule(&self, scope: &Scope) -> Rule {
        self.rules.get(scope).copied().unwrap_or_default()
    }

    /// Sets what a scope allows. What was started counts on under the same rate.
    pub(super) fn set_rule(&mut self, scope: Scope, rule: Rule, clock_ms: u64) {
        if self.rule(&scope).rate != rule.rate {
            self.used.remove(&scope);
        }
        if rule == Rule::default() {
            self.rules.remove(&scope);
        } else {
            self.rules.insert(scope.clone(), rule);
        }
        self.reopen(&scope, clock_ms);
    }

    /// Tasks of `lane` were started, other than by [`took`](Self::took).
    pub(super) fn start(&mut self, lane: &Lane, tasks: u64, clock_ms: u64) {
        for scope in scopes(lane) {
            *self.in_flight.entry(scope.clone()).or_default() += tasks;
            self.reopen(&scope, clock_ms);
        }
    }

    /// A task of `lane` is no longer in flight. It counts from the next [`settle`](Self::settle) on.
    pub(super) fn end(&mut self, lane: &Lane) {
        for scope in scopes(lane) {
            *self.freed.entry(scope).or_default() += 1;
        }
    }

    /// Counts what has [`end`](Self::end)ed, and opens the scopes that may start more now.
    pub(super) fn settle(&mut self, clock_ms: u64) {
        let freed = std::mem::take(&mut self.freed);
        for (scope, ended) in &freed {
            if let Some(tasks) = self.in_flight.get_mut(scope) {
                *tasks = tasks.saturating_sub(*ended);
                if *tasks == 0 {
                    self.in_flight.remove(scope);
                }
            }
        }
        for scope in freed.keys() {
            self.reopen(scope, clock_ms);
        }
    }

    /// Whether a task of `lane` may be started now.
    pub(super) fn may_start(&self, lane: &Lane, clock_ms: u64) -> bool {
        self.room(&Scope::Queue, clock_ms) > 0 && scopes(lane).all(|scope| self.room(&scope, clock_ms) > 0)
    }

    /// The lane whose turn it is, and how many of its tasks to take, at most `most`. `None`: there is none of these
    /// types. Call [`took`](Self::took) before the next.
    pub(super) fn next(&mut self, handles: &Handles, most: u64, clock_ms: u64) -> Option<(Lane, u64)> {
        self.thaw(clock_ms);
        if self.room(&Scope::Queue, clock_ms) == 0 {
            return None;
        }
        let heads = Priority::ALL.map(|priority| self.head(priority, handles, clock_ms));
        let has_head = |priority: &Priority| heads[at(*priority)].is_some();
        let next =
            Priority::ALL.into_iter().filter(has_head).min_by_key(|&priority| self.paid[at(priority)])?;
        let least = self.paid[at(next)];
        for priority in Priority::ALL.into_iter().filter(|priority| !has_head(priority)) {
            self.paid[at(priority)] = self.paid[at(priority)].max(least);
        }
        let lane = heads.into_iter().nth(at(next))??;
        let room = scopes(&lane).map(|scope| self.room(&scope, clock_ms)).min().unwrap_or(u64::MAX);
        Some((lane, room.min(most)))
    }

    /// `left` tasks were taken out of `lane`, of which `started` were started.
    pub(super) fn took(&mut self, lane: &Lane, left: u64, started: u64, clock_ms: u64) {
        self.paid[at(lane.priority)] += lane.priority.stride() * started;
        self.remove(lane, left);
        if self.lengths.contains_key(lane) {
            self.put_last(lane);
        }
        for scope in scopes(lane) {
            if started > 0 {
                *self.in_flight.entry(scope.clone()).or_default() += started;
                if let Some(Rule { rate: Some(rate), .. }) = self.rules.get(&scope) {
                    let used = self.used.entry(scope.clone()).or_default();
                    *used = rate.use_up(*used, clock_ms * 1_000, started);
                }
            }
            self.reopen(&scope, clock_ms);
        }
    }

    /// When a rate that is used up allows the next start, in milliseconds from `clock_ms`.
    pub(super) fn next_start_in_ms(&self, clock_ms: u64) -> Option<u64> {
        let next_us = |(scope, rule): (&Scope, &Rule)| {
            let (rate, used) = (rule.rate?, *self.used.get(scope)?);
            (rate.room(used, clock_ms * 1_000) == 0).then(|| rate.next_start_us(used))
        };
        let next_us = self.rules.iter().filter_map(next_us).min()?;
        Some(next_us.div_ceil(1_000).saturating_sub(clock_ms).max(1))
    }

    /// How many more tasks of a scope may be started now.
    fn room(&self, scope: &Scope, clock_ms: u64) -> u64 {
        let Some(rule) = self.rules.get(scope) else { return u64::MAX };
        if rule.paused {
            return 0;
        }
        let in_flight = self.in_flight.get(scope).copied().unwrap_or(0);
        let below_limit =
            rule.in_flight_limit.map_or(u64::MAX, |limit| u64::from(limit).saturating_sub(in_flight));
        let used = self.used.get(scope).copied().unwrap_or_default();
        let in_rate = rule.rate.map_or(u64::MAX, |rate| rate.room(used, clock_ms * 1_000));
        below_limit.min(in_rate)
    }

    /// The lane of a priority whose turn is longest ago.
    fn head(&self, priority: Priority, handles: &Handles, clock_ms: u64) -> Option<Lane> {
        let rings = &self.rings[at(priority)];
        let head = |kind: &Name, ring: &Ring| {
            let (&turn, group) = ring.by_turn.first_key_value()?;
            let open = self.room(&Scope::Kind(kind.clone()), clock_ms) > 0;
            open.then(|| (turn, Lane { priority, kind: kind.clone(), group: group.clone() }))
        };
        let first = match handles {
            Handles::Any => rings.iter().filter_map(|(kind, ring)| head(kind, ring)).min(),
            Handles::Only(kinds) => kinds.iter().filter_map(|kind| head(kind, rings.get(kind)?)).min(),
        };
        first.map(|(_, lane)| lane)
    }

    fn put_last(&mut self, lane: &Lane) {
        self.last_turn += 1;
        let ring = self.rings[at(lane.priority)].entry(lane.kind.clone()).or_default();
        ring.set(lane.group.clone(), self.last_turn);
    }

    fn leave_ring(&mut self, lane: &Lane) {
        let rings = &mut self.rings[at(lane.priority)];
        if let Some(ring) = rings.get_mut(&lane.kind) {
            ring.remove(&lane.group);
            if ring.turns.is_empty() {
                rings.remove(&lane.kind);
            }
        }
    }

    /// Takes the lanes of a group out of their rings, or puts them back, as its rule now says. Types are looked at
    /// when their turn comes.
    fn reopen(&mut self, scope: &Scope, clock_ms: u64) {
        let Scope::Group(group) = scope else { return };
        let Some(lanes) = self.lanes_of.get(group) else { return };
        let open = self.room(scope, clock_ms) > 0;
        for lane in lanes.clone() {
            let ring = self.rings[at(lane.priority)].get(&lane.kind);
            let is_in = ring.is_some_and(|ring| ring.turns.contains_key(&lane.group));
            match open {
                true if !is_in => self.put_last(&lane),
                false if is_in => self.leave_ring(&lane),
                _ => {}
            }
        }
    }

    /// Looks again at the groups whose rate had been used up.
    fn thaw(&mut self, clock_ms: u64) {
        let limited = |(scope, rule): (&Scope, &Rule)| {
            let is_group = matches!(scope, Scope::Group(_));
            (is_group && rule.rate.is_some() && self.used.contains_key(scope)).then(|| scope.clone())
        };
        let groups: Vec<Scope> = self.rules.iter().filter_map(limited).collect();
        for group in groups {
            self.reopen(&group, clock_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::queue::lane::RateLimit;

    fn lane(text: &str) -> Lane {
        text.parse().unwrap()
    }

    fn claim(turns: &mut Turns, handles: &Handles) -> Option<Lane> {
        let (lane, take) = turns.next(handles, 1, 0)?;
        turns.took(&lane, take, take, 0);
        Some(lane)
    }

    #[test]
    fn lanes_of_one_priority_take_turns() {
        let mut turns = Turns::default();
        for text in ["2|a|", "2|a|x", "2|b|"] {
            turns.add(&lane(text), 10, 0);
        }
        let order: Vec<String> =
            (0..6).map(|_| claim(&mut turns, &Handles::Any).unwrap().to_string()).collect();
        assert_eq!(order, ["2|a|", "2|a|x", "2|b|", "2|a|", "2|a|x", "2|b|"]);
    }

    #[test]
    fn priorities_share_six_to_three_to_one_and_lend_what_they_do_not_use() {
        let mut turns = Turns::default();
        let shares = |turns: &mut Turns, claims: u32| {
            let mut shares = [0_u32; 3];
            for _ in 0..claims {
                shares[at(claim(turns, &Handles::Any).unwrap().priority)] += 1;
            }
            shares
        };
        turns.add(&lane("2|a|"), 10_000, 0);
        turns.add(&lane("3|a|"), 10_000, 0);
        assert_eq!(shares(&mut turns, 400), [0, 300, 100]);
        // It has saved nothing up while it was empty.
        turns.add(&lane("1|a|"), 10_000, 0);
        let shares = shares(&mut turns, 1_000);
        let off = shares.iter().zip([600, 300, 100]).map(|(share, fair)| share.abs_diff(fair)).max();
        assert!(off <= Some(1), "{shares:?}");
    }

    #[test]
    fn a_closed_lane_is_passed_over() {
        let mut turns = Turns::default();
        for text in ["2|a|", "2|b|", "2|c|acme"] {
            turns.add(&lane(text), 10, 0);
        }
        let limit = |limit| Rule { in_flight_limit: Some(limit), ..Rule::default() };
        turns.set_rule("t|a".parse().unwrap(), limit(1), 0);
        turns.set_rule("g|acme".parse().unwrap(), Rule { paused: true, ..Rule::default() }, 0);
        let order: Vec<String> =
            (0..3).map(|_| claim(&mut turns, &Handles::Any).unwrap().to_string()).collect();
        assert_eq!(order, ["2|a|", "2|b|", "2|b|"]);
        turns.end(&lane("2|a|"));
        turns.settle(0);
        turns.set_rule("g|acme".parse().unwrap(), Rule::default(), 0);
        let order: Vec<String> =
            (0..3).map(|_| claim(&mut turns, &Handles::Any).unwrap().to_string()).collect();
        assert_eq!(order, ["2|a|", "2|b|", "2|c|acme"]);
        turns.set_rule(Scope::Queue, Rule { paused: true, ..Rule::default() }, 0);
        assert_eq!(claim(&mut turns, &Handles::Any), None);
    }

    #[test]
    fn a_worker_gets_only_types_that_it_handles() {
        let mut turns = Turns::default();
        turns.add(&lane("1|a|"), 10, 0);
        turns.add(&lane("3|b|"), 1, 0);
        let only = |name: &str| Handles::Only(vec![name.parse().unwrap()]);
        assert_eq!(claim(&mut turns, &only("b")), Some(lane("3|b|")));
        assert_eq!(claim(&mut turns, &only("b")), None);
        assert_eq!(claim(&mut turns, &only("c")), None);
    }

    proptest! {
        /// Whatever happens, what waits is claimed once, and no limit is exceeded.
        #[test]
        fn limits_hold_and_nothing_is_lost(
            moves in prop::collection::vec((0_u8..6, 0_usize..8, 1_u64..5), 1..200),
        ) {
            let lanes: Vec<Lane> = ["1|a|", "1|a|x", "1|b|y", "2|a|y", "2|b|", "3|a|x", "3|c|", "3|c|y"].map(lane).into();
            let mut turns = Turns::default();
            let rule = Rule {
                paused: false,
                in_flight_limit: Some(3),
                rate: Some(RateLimit { interval_us: 2_000, burst: 2 }),
            };
            let (mut waiting, mut running) = (HashMap::<Lane, u64>::new(), Vec::<Lane>::new());
            let mut clock_ms = 0;
            for (what, which, n) in moves {
                match what {
                    0 | 1 => {
                        turns.add(&lanes[which], n, clock_ms);
                        *waiting.entry(lanes[which].clone()).or_default() += n;
                    }
                    2 => turns.set_rule("g|y".parse().unwrap(), rule, clock_ms),
                    3 => turns.set_rule("t|a".parse().unwrap(), rule, clock_ms),
                    4 => {
                        if !running.is_empty() {
                            turns.end(&running.swap_remove(which % running.len()));
                            turns.settle(clock_ms);
                        }
                        clock_ms += n;
                    }
                    _ => {
                        if let Some((lane, take)) = turns.next(&Handles::Any, n, clock_ms) {
                            prop_assert!(take >= 1 && take <= n);
                            let take = take.min(waiting[&lane]);
                            turns.took(&lane, take, take, clock_ms);
                            *waiting.get_mut(&lane).unwrap() -= take;
                            running.extend(std::iter::repeat_n(lane, take as usize));
                        }
                    }
                }
                for (scope, rule) in turns.rules() {
                    let in_scope = |lane: &&Lane| scopes(lane).any(|other| other == *scope);
                    if let Some(limit) = rule.in_flight_limit
                        && what == 5
                    {
                        let count = running.iter().filter(in_scope).count() as u64;
                        prop_assert!(count <= u64::from(limit) || turns.room(scope, clock_ms) == 0);
                    }
                }
                waiting.retain(|_, length| *length > 0);
                let lengths: HashMap<Lane, u64> = turns.lanes().map(|(lane, length)| (lane.clone(), length)).collect();
                prop_assert_eq!(&lengths, &waiting);
            }
            // Without rules, all that waits can be claimed.
            turns.set_rule("g|y".parse().unwrap(), Rule::default(), clock_ms);
            turns.set_rule("t|a".parse().unwrap(), Rule::default(), clock_ms);
            let total: u64 = waiting.values().sum();
            for _ in 0..total {
                prop_assert!(claim(&mut turns, &Handles::Any).is_some());
            }
            prop_assert_eq!(claim(&mut turns, &Handles::Any), None);
        }
    }
}
